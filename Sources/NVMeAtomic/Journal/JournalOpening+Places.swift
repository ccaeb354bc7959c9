import LinuxIO
import SystemPackage

/// Where journals are, and how they are made.
extension JournalOpening {
  /// The path of the journal in a file.
  func path(_ place: JournalPlace) throws(AtomicWriteError) -> String {
    switch place {
    case .file(let path):
      let path = Self.absolute(path)
      try Self.checkText(path)
      return path
    case .region: throw .journal(.place("a region goes with a block device"))
    case .automatic:
      guard isFile else { throw .journal(.unnamed) }
      let target = Self.canonical(report.path)
      try Self.checkText(target)
      guard let mark = mark.mark else { return JournalPlace.usualPath(of: target) }
      // Both may have been moved, or be those of a copy of the filesystem.
      let beside = FilePath(target).removingLastComponent()
        .appending(FilePath(mark.path).lastComponent?.string ?? "").string
      return Self.exists(beside) ? beside : mark.path
    }
  }

  /// A region of the block device.
  func region(
    _ offset: UInt64,
    _ length: UInt64
  ) throws(AtomicWriteError) -> Range<UInt64> {
    guard !isFile else { throw .journal(.place("a region goes with a block device")) }
    guard let size = report.sizeBytes else { throw .missingFact(.size) }
    let (end, overflow) = offset.addingReportingOverflow(length)
    if overflow || end > size { throw .refused(.beyondEnd(endBytes: end, sizeBytes: size)) }
    return offset..<end
  }

  /// A new file, which gets its name once there is a journal in it.
  func make(
    _ path: String,
    _ byteCount: UInt64
  ) throws(AtomicWriteError) -> UnnamedJournal {
    let path = FilePath(path)
    guard let name = path.lastComponent, name.kind == .regular else {
      throw .journal(.place("\(path.string) is no name of a file"))
    }
    let folder: OwnedFileDescriptor
    do throws(Errno) {
      folder = try OwnedFileDescriptor(
        opening: path.removingLastComponent().string,
        .readOnly
      )
    } catch {
      throw JournalFile.openError(error, path.string)
    }
    let file = try JournalFile.make(in: folder, byteCount: byteCount, like: target.cached)
    return UnnamedJournal(file, folder, name.string)
  }

  // MARK: Promises

  /// What transactions are kept to: as durable as flushes of both target and journal are.
  static func promise(
    _ report: TargetReport,
    _ journalPath: String?
  ) throws(AtomicWriteError) -> PathPromise {
    var promise = PathPromise(backing: .software)
    try add(report.limits, to: &promise)
    guard let journalPath else { return promise }
    let path = FilePath(journalPath)
    let isThere = exists(journalPath)
    let journal = Probe().report(
      on: isThere ? path.string : path.removingLastComponent().string
    )
    if let error = journal.error { throw .target(error) }
    try add(journal.limits, to: &promise)
    return promise
  }

  private static func add(
    _ limits: TargetLimits,
    to promise: inout PathPromise
  ) throws(AtomicWriteError) {
    switch Planner(limits).journal {
    case .fails(let refusal): throw .refused(refusal)
    case .unknown(let fact): throw .missingFact(fact)
    case .holds(let flushing):
      for assumption in flushing.assumptions where !promise.assumptions.contains(assumption) {
        promise.assumptions.append(assumption)
      }
    }
  }

  // MARK: Names

  /// Of a path that is not UTF-8 a string has lost something, and leads nowhere.
  private static func checkText(_ path: String) throws(AtomicWriteError) {
    guard path.contains("\u{fffd}"), !exists(FilePath(path).removingLastComponent().string)
    else { return }
    throw .journal(.place("a journal's path is UTF-8, and this is not: \(path)"))
  }

  static func exists(_ path: String) -> Bool { (try? FilePath(path).stat()) != nil }

  /// Without links, so that the mark leads there from everywhere.
  static func canonical(_ path: String) -> String {
    (try? LiveMachine().canonicalPath(of: path)) ?? path
  }

  static func absolute(_ path: String) -> String {
    let file = FilePath(path)
    if exists(path) { return canonical(path) }
    let folder = file.removingLastComponent()
    let parent = canonical(folder.isEmpty ? "." : folder.string)
    return FilePath(parent).appending(file.lastComponent?.string ?? "").string
  }
}

extension JournalFiles {
  /// How the journal is divided: as its superblock says, or as a new one is to be.
  func geometry(
    isNew: Bool,
    isFile: Bool,
    _ report: TargetReport
  ) throws(AtomicWriteError) -> JournalGeometry {
    let granule = try granuleBytes(isFile, report)
    let (start, length) = try extent()
    let block = max(JournalGeometry.usualBlockBytes, granule, try logGranuleBytes())
    if !isNew, let found = try geometryFound(start, block) {
      guard found.lengthBytes == length else {
        let clause = "it was made with \(found.lengthBytes) bytes, and has \(length)"
        throw .journal(region == nil ? .corrupt(clause) : .foreign(clause))
      }
      guard found.granuleBytes >= granule else {
        throw .journal(
          .foreign(
            "it has blocks of \(found.granuleBytes) bytes of the target, which takes \(granule) now"
          )
        )
      }
      return found
    }
    guard
      let geometry = JournalGeometry(
        startBytes: start,
        lengthBytes: length,
        blockBytes: block,
        granuleBytes: granule
      ), geometry.logBytes >= Self.leastLogBytes
    else {
      throw .journal(
        isNew
          ? .place("a journal begins at, and has, a multiple of \(block) bytes, at least 1 MiB")
          : .foreign("there is no journal")
      )
    }
    return geometry
  }

  /// Less would have nearly every transaction wait for a checkpoint.
  private static let leastLogBytes: UInt64 = 512 << 10

  private func extent() throws(AtomicWriteError) -> (start: UInt64, length: UInt64) {
    if let region { return (region.lowerBound, UInt64(region.count)) }
    switch journal {
    case .some(let journal): return (0, try JournalFile.status(of: journal).sizeBytes)
    case .none: throw .journal(.unnamed)
    }
  }

  /// What a superblock that is whole says; `nil` where none is.
  func geometryFound(
    _ start: UInt64,
    _ block: UInt64
  ) throws(AtomicWriteError) -> JournalGeometry? {
    let (_, length) = try extent()
    guard length >= 2 * block, length % block == 0, start % block == 0 else { return nil }
    for place in [start, start + length - block] {
      var memory = try AlignedBuffer(reserving: Int(block))
      let result: Result<JournalSuperblock.Content, Errno>
      // SAFETY: the bytes are lent for the call.
      result = unsafe memory.withMutableBytes { bytes in
        do throws(Errno) {
          guard unsafe try readLog(into: bytes, atBytes: Int64(place)) == bytes.count else {
            return .success(.other)
          }
          // SAFETY: the bytes are lent for the call.
          return .success(
            JournalSuperblock.decode(unsafe JournalBytes(bytes), startBytes: start)
          )
        } catch {
          return .failure(error)
        }
      }
      switch result {
      case .success(.superblock(let superblock)): return superblock.geometry
      case .success(.version(let version)):
        throw JournalSession.error(.version(version))
      case .success: continue
      case .failure(let error): throw .readFailed(FailureCause(error))
      }
    }
    return nil
  }

  private func readLog(
    into bytes: UnsafeMutableRawBufferPointer,
    atBytes offset: Int64
  ) throws(Errno) -> Int {
    switch journal {
    // SAFETY: the bytes are the caller's for the call.
    case .some(let journal): return unsafe try journal.readOnce(into: bytes, atBytes: offset)
    case .none: return unsafe try target.direct.readOnce(into: bytes, atBytes: offset)
    }
  }

  /// A filesystem's block, whatever direct writes want now: it stays what it is when blocks are
  /// shared later. A device's logical block.
  private func granuleBytes(
    _ isFile: Bool,
    _ report: TargetReport
  ) throws(AtomicWriteError) -> UInt64 {
    let direct = UInt64(report.limits.statx?.dioOffsetAlign ?? 0)
    if !isFile {
      guard direct > 0 else { throw .refused(.noDirectIO) }
      return direct
    }
    let block = try Self.fileSystemBlock(target.direct)
    return max(4096, direct, block)
  }

  private func logGranuleBytes() throws(AtomicWriteError) -> UInt64 {
    switch journal {
    case .some(let journal): return try Self.fileSystemBlock(journal)
    case .none: return 512
    }
  }

  private static func fileSystemBlock(
    _ descriptor: borrowing OwnedFileDescriptor
  ) throws(AtomicWriteError) -> UInt64 {
    do throws(Errno) {
      let bytes = UInt64(try FileSystemFacts(of: descriptor).blockSizeBytes)
      return bytes.isPowerOfTwo && bytes <= 65536 ? bytes : 4096
    } catch {
      throw .readFailed(FailureCause(error))
    }
  }

  /// The engine of this target and this journal.
  func engine(
    _ geometry: JournalGeometry
  ) throws(AtomicWriteError) -> JournalEngine<RingOrCallStorage> {
    let limit = HostProcess.fileSizeLimitBytes
    let end = geometry.startBytes + geometry.lengthBytes
    if region == nil, end > limit {
      throw .refused(.exceedsFileSizeLimit(endBytes: end, limitBytes: limit))
    }
    // SAFETY: the bytes are lent for the call.
    return unsafe try JournalEngine(
      log: RingOrCallStorage(
        byCalls: OperationRoute(descriptor: logDescriptor, writeFlags: [])
      ),
      target: RingOrCallStorage(
        OperationRoute(descriptor: target.direct.rawValue, writeFlags: []),
        depth: 64
      ),
      geometry,
      pace: JournalPace { HostProcess.monotonicNanoseconds },
      // SAFETY: as above.
      writeTail: { [self] bytes, offset in unsafe writeTail(bytes, offset) }
    )
  }
}
