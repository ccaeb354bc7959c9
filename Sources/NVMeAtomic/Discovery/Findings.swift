/// What discovery noticed besides limits.
struct FindingFacts {
  var kernel: KernelVersion?
  /// The disk's node, for messages and remedies.
  var diskNode = ""
  /// The disk's kind in the stack, `namespace` or what else.
  var diskKind: String?
  /// The partition or disk that the target is, or that its filesystem is on.
  var backingNode: String?
  /// The partition, when that is one.
  var partition: BlockDevice?
  /// Where the filesystem is mounted, and how.
  var mount: MountTable.Mount?
  /// The hidden disks that a native multipath head passes requests on to.
  var pathDisks: [String] = []
  /// Whether head and path have different queue settings.
  var pathsDisagree = false
  /// Whether the head kept the limits of a path that is gone.
  var headIsOutdated = false
  var driveFailure: String?
  var denials: [DriveAnswers.Denial] = []
  var unreadableAttributes: [String] = []
  /// Why no unnamed file could be made in a directory.
  var noNewFile: String?
}

/// Draws findings from the facts of one target. No I/O.
struct Findings {
  let report: TargetReport
  let facts: FindingFacts

  init(_ report: TargetReport, _ facts: FindingFacts) {
    self.report = report
    self.facts = facts
  }

  var target: TargetLimits { report.limits }
  var device: DeviceLimits? { target.drive.limits }
  /// By the specification's fields alone, which is what the kernel goes by.
  var specified: DeviceLimits? { device?.withoutVendor }
  var queue: QueueLimits { target.queue }
  var diskName: String { facts.diskNode.lastComponent }

  /// All findings, most severe first, else in the order of the layers.
  var all: [Finding] {
    guard report.error == nil else { return [] }
    let drives =
      target.stack == nil ? drive + vendorTornWrite + documented + kernel : tooOld + namespaces
    let found = access + drives + partition + stack + filesystem
    return found.enumerated().sorted {
      ($0.element.severity, $0.offset) < ($1.element.severity, $1.offset)
    }.map(\.element)
  }

  // MARK: What could be asked

  private var access: [Finding] {
    var found = permission
    if let failure = facts.driveFailure {
      found.append(
        Finding(.identifyFailed, .warning, .device, "Not all was learnt of the drive: \(failure).")
      )
    }
    if let reason = facts.noNewFile {
      found.append(
        Finding(
          .noNewFile,
          .warning,
          .filesystem,
          "No file can be made in the directory (\(reason)), so nothing is known of a new one.",
          remedy: "probe a file that is there"
        )
      )
    }
    if !facts.unreadableAttributes.isEmpty {
      found.append(
        Finding(
          .unreadableAttribute,
          .warning,
          .kernel,
          "Not readable, or cut short: \(facts.unreadableAttributes.joined(separator: ", ")).",
          remedy: "nvme-atomic probe \(ShellWord(report.path))"
        )
      )
    }
    if report.kind != .controller, target.drive != .none, facts.diskKind != "namespace",
      report.kind != .generic, report.namespaces.isEmpty
    {
      found.append(
        Finding(
          .notNVMe,
          .info,
          .stack,
          "No NVMe namespace lies below; nothing is known of the hardware."
        )
      )
    }
    return found
  }

  // MARK: The drive

  var drive: [Finding] {
    var found: [Finding] = []
    if report.writeAtomicityNormalDisabled == true {
      found.append(
        Finding(
          .writeAtomicityNormalDisabled,
          .warning,
          .device,
          "DN is set: concurrent commands may be interleaved; only power-fail atomicity holds.",
          remedy: clearDN
        )
      )
    }
    if let cache = report.controller?.identify?.hasVolatileWriteCache, cache,
      device?.volatileWriteCache != false
    {
      found.append(
        Finding(
          .volatileWriteCache,
          .info,
          .device,
          "The drive caches writes: an atomic write is durable only after FUA, RWF_DSYNC or fsync, "
            + "and whole before that only by expectation."
        )
      )
    }
    guard let namespace = report.namespace else { return found }
    if namespace.identify?.hasMultipleAtomicityMode == true {
      found.append(
        Finding(
          .multipleAtomicityMode,
          .info,
          .device,
          "Multiple Atomicity Mode: a write across a boundary is whole in parts, not as a whole."
        )
      )
    }
    if namespace.identify?.isShared == true {
      found.append(
        Finding(
          .sharedNamespace,
          .info,
          .device,
          "The namespace can be attached to several controllers; other hosts may write to it."
        )
      )
    }
    if let bytes = namespace.identify?.metadataBytes, bytes != 0 {
      found.append(
        Finding(
          .metadataFormat,
          .warning,
          .device,
          "The format has \(bytes) bytes of metadata per block; passthrough is not used on it.",
          remedy: format(
            blockBytes: [device?.logicalBlockSize.bytes ?? 4096, 4096, 512]
          )
        )
      )
    }
    if namespace.paths == 0 {
      found.append(
        Finding(
          .pathsNotExamined,
          .warning,
          .device,
          "Which paths lead to the namespace could not be read; the smallest limit of all would "
            + "count."
        )
      )
    }
    if facts.pathsDisagree, let path = facts.pathDisks.first {
      found.append(
        Finding(
          .pathsDisagree,
          .warning,
          .kernel,
          "Requests to \(facts.diskNode) pass through \(path), whose queue settings differ; only "
            + "what both say is counted."
        )
      )
    }
    if let fabric = target.fabric {
      found.append(
        Finding(
          .fabricsClaimDerived,
          .warning,
          .device,
          "The namespace is remote (\(fabric)): such targets often report a block size as their "
            + "atomic unit."
        )
      )
    }
    return found + contradictions
  }

  // MARK: Partition, stack, filesystem

  private var partition: [Finding] {
    guard report.kind == .partition || report.kind?.isFile == true, let start = target.startBytes,
      start > 0
    else { return [] }
    let kernelLines = AtomicBoundary(sizeBytes: queue.atomicWriteBoundaryBytes ?? 0)
    guard let lines = kernelLines ?? device?.powerFailBoundary ?? vendorLines,
      start % lines.sizeBytes != lines.offsetBytes % lines.sizeBytes
    else { return [] }
    return [
      Finding(
        .partitionMisaligned,
        // Of a vendor's promise RWF_ATOMIC has nothing to lose.
        kernelLines == nil && device?.powerFailSource == .vendor ? .warning : .blocking,
        .partition,
        "The partition begins at \(start), off the drive's atomic boundary of "
          + "\(ByteText(lines.sizeBytes)).",
        remedy: move(toLinesOf: lines)
      )
    ]
  }

  var offersNothing: Bool { target.statx?.acceptsAtomicWrites != true }

  private var filesystem: [Finding] {
    guard let filesystem = target.filesystem else { return [] }
    if filesystem.type == "unknown" { return [] }
    guard ["ext4", "xfs"].contains(filesystem.type) else {
      return [
        Finding(
          .filesystemWithoutAtomics,
          .blocking,
          .filesystem,
          "\(filesystem.type) has no atomic writes.",
          remedy: "put the file on XFS, or on ext4 with bigalloc"
        )
      ]
    }
    if let statx = target.statx, statx.atomicWriteUnitMax ?? 0 > 0, statx.dioOffsetAlign == 0 {
      return [
        Finding(
          .journalledData,
          .blocking,
          .filesystem,
          "The file takes no direct I/O, as where its data are journalled, inline or verified: the "
            + "kernel takes RWF_ATOMIC on it and does not keep it.",
          remedy: endJournalling
        )
      ]
    }
    if offersNothing { return filesystemOffersNothing(filesystem) }
    return oneBlockOnly(filesystem) + software
  }

  private func filesystemOffersNothing(_ filesystem: FileSystemReport) -> [Finding] {
    // Where device or partition offer nothing either, that is the cause, and is reported.
    guard partition.isEmpty, let unitMax = queue.atomicWriteUnitMaxBytes, unitMax > 0,
      let block = filesystem.blockSize
    else { return [] }
    if facts.kernel.map({ $0 < KernelVersion(6, 13) }) == true { return [] }
    return [
      Finding(
        .filesystemWithoutAtomics,
        .blocking,
        .filesystem,
        "\(filesystem.type) with \(ByteText(block)) blocks offers no atomic writes on a device "
          + "that takes up to \(ByteText(unitMax)).",
        remedy: smallerBlocks(filesystem, upTo: unitMax)
      )
    ]
  }

  private func oneBlockOnly(_ filesystem: FileSystemReport) -> [Finding] {
    // The real-time device is another one.
    guard filesystem.realtime != true, let block = filesystem.blockSize,
      let unitMax = target.statx?.atomicWriteUnitMax, UInt64(unitMax) == block,
      queue.atomicWriteUnitMaxBytes ?? 0 > block
    else { return [] }
    return [
      Finding(
        .filesystemSingleBlock,
        .warning,
        .filesystem,
        "\(filesystem.type) writes one block of \(ByteText(block)) atomically and no more; the "
          + "device would take \(ByteText(queue.atomicWriteUnitMaxBytes ?? 0)).",
        remedy: severalBlocks(filesystem, upTo: queue.atomicWriteUnitMaxBytes ?? 0)
      )
    ]
  }

  private var software: [Finding] {
    let split = target.hardwareAndSoftware
    guard let largest = split.softwareMaximumBytes, largest > 0 else { return [] }
    guard let hardware = split.hardwareMaximumBytes, hardware > 0 else {
      return [
        Finding(
          .softwareBacked,
          .warning,
          .filesystem,
          "XFS keeps atomic writes of up to \(ByteText(largest)) whole by copy-on-write: slower, "
            + "and readers may see them torn."
        )
      ]
    }
    if let placed = placedRange(hardware) { return placed }
    return [
      Finding(
        .rangeFallsToSoftware,
        .warning,
        .filesystem,
        "Up to \(ByteText(hardware)) the drive keeps a write whole where the range is one aligned "
          + "extent; anything else falls to XFS's copy-on-write without a sign.",
        remedy: alignedExtents(ofBytes: hardware)
      )
    ]
  }
}
