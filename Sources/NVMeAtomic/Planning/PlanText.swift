extension MissingFact: CustomStringConvertible {
  /// A clause that says what is missing.
  public var description: String {
    switch self {
    case .statx: "statx(2) says nothing of the target"
    case .identify(let reason): reason
    case .identifyInvalid: "the drive reports a logical block size that cannot be"
    case .blockSizesDiffer(let kernel, let drive):
      "the kernel works with \(ByteText(kernel)) blocks and the drive with \(ByteText(drive)) "
        + "blocks"
    case .remote(let transport):
      "the namespace is remote (\(transport)), and such targets often derive the limit from a "
        + "block size"
    case .writeAtomicityNormal: "feature 0Ah (Write Atomicity Normal) could not be read"
    case .start: "where the partition begins could not be read"
    case .size: "the size of the device could not be read"
    case .limitsDisagree:
      "the kernel offers more than the drive keeps whole, and may merge neighbours up to that"
    case .queue(let name): "queue/\(name) could not be read"
    case .filesystem(let type): "how \(type) writes is not known here"
    case .stacked(let kind): "the target rests on \(kind), which this version does not look through"
    case .placement: "which blocks of the drive the range falls on is not known"
    case .metadata: "the namespace has a metadata format"
    case .paths: "the namespace has several paths, which may have different limits"
    case .layer(let clause): clause
    }
  }
}

extension Assumption: CustomStringConvertible {
  /// A clause that says what is assumed.
  public var description: String {
    switch self {
    case .volatileCacheKeepsWritesWhole:
      "a completed write that is still in the drive's volatile cache is expected, not specified,"
        + " to stay whole"
    case .kernelWordOnly(let fact): "the kernel's word alone: \(fact)"
    case .nothingCaches(let fact):
      "the kernel sends no flush, on its word alone that nothing below caches writes: \(fact)"
    case .flushesReachStableStorage(let fact):
      "that flushes reach stable storage, which could not be looked at: \(fact)"
    case .fabricsClaim(let transport): MissingFact.remote(transport: transport).description
    case .soleUser(let clause): "no other host writes there: \(clause)"
    }
  }
}

extension PlanRefusal: CustomStringConvertible {
  /// A clause that says why not, with the numbers.
  public var description: String {
    switch self {
    case .empty: "there is nothing to write"
    case .overflows: "the range ends beyond any address"
    case .buffered: "page-cache writes are split and merged by the kernel as it likes"
    case .ordinaryWrite: "an ordinary write may be split, and nobody keeps it whole"
    case .otherWriter(let writer): "a \(writer.rawValue) writer does not use this path"
    case .notWritable(let kind): "a \(kind.rawValue) node takes no such writes"
    case .kernelOffersNone: "the kernel takes no RWF_ATOMIC here"
    case .notPowerOfTwo(let length): "\(ByteText(length)) is not a power of two"
    case .belowMinimum(let length, let minimum):
      "\(ByteText(length)) is less than the kernel's smallest atomic write, \(ByteText(minimum))"
    case .exceedsKernelLimit(let length, let limit):
      "\(ByteText(length)) exceeds the kernel's largest atomic write here, \(ByteText(limit))"
    case .exceedsPowerFailLimit(let length, let limit):
      "\(ByteText(length)) exceeds what the drive keeps whole over a power failure, "
        + "\(ByteText(limit))"
    case .vendorLength(let length, let allowed):
      "\(ByteText(length)) is not a length that the vendor's torn-write bytes keep whole ("
        + allowed.map { ByteText($0).description }.joined(separator: ", ") + ")"
    case .exceedsNormalLimit(let length, let limit):
      "\(ByteText(length)) exceeds what the drive keeps apart from other commands, "
        + "\(ByteText(limit))"
    case .exceedsTransferLimit(let length, let limit):
      "\(ByteText(length)) exceeds one command, \(ByteText(limit))"
    default: placementText
    }
  }

  private var placementText: String {
    switch self {
    case .misaligned(let offset, let alignment):
      "offset \(offset) is not a multiple of \(ByteText(alignment))"
    case .partialBlock(let length, let block):
      "\(ByteText(length)) is not a whole number of \(ByteText(block)) blocks"
    case .crossesBoundary(let boundary, _):
      "a write would cross the atomic boundary, every \(ByteText(boundary.sizeBytes))"
        + (boundary.offsetBytes == 0 ? "" : " from \(ByteText(boundary.offsetBytes)) on")
    case .mirrorLosesMerged(let command):
      "a member of the mirror may merge neighbouring atomic writes to \(ByteText(command)) and "
        + "refuse them, which md reports as success"
    case .crossesSeam(let length, let granule):
      "\(ByteText(length)) may lie across a seam of the devices below, which are joined at "
        + "multiples of \(ByteText(granule))"
    case .beyondEnd(let end, let size):
      "the range ends at \(end), beyond the end of the target at \(size)"
    case .exceedsFileSizeLimit(let end, let limit):
      "the range ends at \(end), beyond the file size limit of \(limit)"
    case .canBeSplit(let limit, let name):
      "the block layer splits writes above \(ByteText(limit)) (\(name))"
    case .canBeMerged(let command):
      "the block layer may merge neighbouring writes into commands of up to \(ByteText(command)),"
        + " which the drive does not keep whole"
    case .filesystemMayMove(let type): "\(type) may put a write elsewhere, in several parts"
    case .exceedsFilesystemBlock(let length, let block):
      "\(ByteText(length)) is not within one filesystem block of \(ByteText(block)), and the "
        + "filesystem may split it"
    case .noDirectIO: "the file takes no direct I/O"
    case .noDrive: "there is no drive below"
    case .seenInParts: "readers see some of it in place before the rest"
    case .softwareIsSeenTorn: "XFS works in software here, and readers see such writes torn"
    case .normalAtomicityDisabled: "DN is set (feature 0Ah), so commands are not kept apart"
    case .journalNotKept: "ext4 has no journal here, or its barriers are off"
    case .cacheNeverFlushed:
      "the drive caches writes and queue/write_cache tells the kernel not to flush"
    case .metadataFormat(let bytes): "the format has \(bytes) bytes of metadata per block"
    case .obstacle(let clause), .inUse(let clause), .shared(let clause): clause
    default: ""
    }
  }
}
