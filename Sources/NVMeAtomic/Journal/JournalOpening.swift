import LinuxIO
import SystemPackage

/// A target that is locked, and about to be opened together with its journal.
///
/// The order keeps a journal findable: it is made and durable before the target is marked, and the
/// mark before the first record.
struct JournalOpening {
  /// What the journal is opened for.
  enum Purpose: Hashable {
    /// To write. A file's journal is recovered first, and made where there is none; a block
    /// device's must be clean.
    case write
    /// To bring in place what it has; where a signature has appeared only if that is accepted.
    case recover(dryRun: Bool, overwrites: Bool)
    /// To make one where none is.
    case make

    /// Whether nothing is written, so that permission to read is enough.
    var onlyReads: Bool {
      if case .recover(dryRun: true, _) = self { true } else { false }
    }
  }

  let report: TargetReport
  let purpose: Purpose
  let target: JournalTarget
  /// What the system calls the target.
  let name: String
  /// What the target's own bytes say it is; empty for a file.
  let signature: String
  let mark: JournalFileMark
  /// Keeps other nodes of the same device away.
  private let claim: NameClaim?
  var isFile: Bool { report.kind == .file }

  /// Locks a target that is open.
  init(
    _ report: TargetReport,
    _ target: consuming OwnedFileDescriptor,
    _ purpose: Purpose
  ) throws(AtomicWriteError) {
    try self.init(report, target, purpose, locks: true)
  }

  private init(
    _ report: TargetReport,
    _ target: consuming OwnedFileDescriptor,
    _ purpose: Purpose,
    locks: Bool
  ) throws(AtomicWriteError) {
    let cached = try TargetOpening.reopen(target, report, onlyReads: purpose.onlyReads)
    if locks {
      let kind: RangeLock.Kind = purpose.onlyReads ? .shared : .exclusive
      try Self.lock(cached, report, kind)
      if report.kind == .file { try Self.waitForPlaces(target, report, kind) }
    }
    if report.kind != .file { try TargetOpening.checkStack(of: target, report, .journal) }
    if report.kind == .file {
      name = try JournalTargetName.file(target)
      (claim, signature) = (nil, "")
      mark = try Self.mark(of: cached)
    } else {
      guard let number = report.identity?.represented else { throw .missingFact(.size) }
      name = try JournalTargetName.device(number, LiveMachine())
      claim = locks ? try Self.claim(name) : nil
      let found = try TargetOpening.openErrors(report) { () throws(Errno) in
        try BlockSignature.name(on: cached)
      }
      signature = found ?? ""
      mark = JournalFileMark()
    }
    self.report = report
    self.purpose = purpose
    self.target = JournalTarget(direct: target, cached: cached)
  }

  /// Keeps every other path and process of this library from the target.
  static func lock(
    _ descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport,
    _ kind: RangeLock.Kind = .exclusive
  ) throws(AtomicWriteError) {
    let isFree = try TargetOpening.openErrors(report) { () throws(Errno) in
      try descriptor.lock(RangeLock.journal, kind)
    }
    if !isFree { throw .busy("somebody else has it open for writing by this library") }
  }

  /// Waits for writes in place of a program that was killed: they would land over what recovery and
  /// whoever comes after it write. A block device is held exclusively for as long.
  private static func waitForPlaces(
    _ descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport,
    _ kind: RangeLock.Kind
  ) throws(AtomicWriteError) {
    for _ in 0..<mostWaits {
      let isFree = try TargetOpening.openErrors(report) { () throws(Errno) in
        try descriptor.lock(RangeLock.placing, kind)
      }
      if isFree { return }
      if HostProcess.stopSignal != 0 { break }
      HostProcess.pause(milliseconds: 2)
    }
    throw .busy("writes of a program that was ended are still on their way to it; try again later")
  }

  /// A minute: longer than a drive takes for anything but failing.
  private static let mostWaits = 30_000

  /// Holds a block device by what the system calls it, which all of its nodes share.
  private static func claim(_ name: String) throws(AtomicWriteError) -> NameClaim {
    let bytes = Array(name.utf8)
    // SAFETY: the bytes outlive the call.
    let checksum = unsafe bytes.withUnsafeBytes { bytes in
      unsafe JournalChecksum(of: UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }
    let identity = JournalIdentity(low: checksum.low, high: checksum.high)
    do throws(Errno) {
      return NameClaim(try OwnedFileDescriptor(claiming: "nvme-atomic-journal-\(identity.hex)"))
    } catch {
      if error == .addressInUse {
        throw .busy("somebody else has it open for writing by this library, by another node")
      }
      throw .noResources(.descriptor, SystemError(error))
    }
  }

  func files(
    _ journal: consuming OwnedFileDescriptor?,
    lock: consuming OwnedFileDescriptor? = nil,
    _ region: Range<UInt64>?,
    _ journalPath: String?
  ) -> JournalFiles {
    JournalFiles(
      target: target,
      claim: claim,
      journal: journal,
      lock: lock,
      region: region,
      deviceBytes: isFile ? nil : report.sizeBytes,
      folder: journalPath.map { FilePath($0).removingLastComponent().string } ?? "/var/tmp"
    )
  }

  static func mark(
    of descriptor: borrowing OwnedFileDescriptor
  ) throws(AtomicWriteError) -> JournalFileMark {
    let text: String?
    do throws(Errno) {
      text = try descriptor.mark()
    } catch {
      if error == .notSupportedOnSocket { return JournalFileMark() }
      throw .readFailed(FailureCause(error))
    }
    guard let text else { return JournalFileMark(isTaken: true) }
    guard let mark = JournalMark(text) else {
      throw .journal(
        .foreign("its attribute user.nvme-atomic is of no version known here: \(text)")
      )
    }
    return JournalFileMark(mark: mark, isTaken: true)
  }

  /// Opens for writing.
  func open(_ place: JournalPlace) throws(AtomicWriteError) -> JournalSession {
    if case .region(let offset, let length) = place {
      let region = try region(offset, length)
      return try open(nil, region, journalPath: nil)
    }
    let path = try path(place)
    if let found = try find(path) {
      return try open(found, nil, journalPath: path)
    }
    // A device has no mark that would tell of one that is not there just now.
    if mark.mark != nil || !isFile { throw .journal(.missing(path)) }
    return try makeAndOpen(path, byteCount: JournalPlace.usualBytes)
  }

  /// The journal by that path, if it can be the one that is meant; `nil` where nothing is.
  func find(_ path: String) throws(AtomicWriteError) -> OwnedFileDescriptor? {
    guard let found = try JournalFile.open(path, of: target.cached, onlyReads: purpose.onlyReads)
    else { return nil }
    if mark.mark?.isOnSameFilesystem == true, try !isOnSameFilesystem(found) {
      throw .journal(
        .foreign("\(path) is on another filesystem than when it was made: one of them is a copy")
      )
    }
    return found
  }

  func isOnSameFilesystem(
    _ journal: borrowing OwnedFileDescriptor
  ) throws(AtomicWriteError) -> Bool {
    let (one, other) = (
      try JournalFile.status(of: journal), try JournalFile.status(of: target.cached)
    )
    return one.device == other.device
  }

  /// Makes a journal in a file and opens it.
  func makeAndOpen(
    _ path: String,
    byteCount: UInt64
  ) throws(AtomicWriteError) -> JournalSession {
    let new = try make(path, byteCount)
    return try open(try JournalFile.reopenDirect(new.file), nil, journalPath: path, new)
  }

  private func open(
    _ journal: consuming OwnedFileDescriptor?,
    _ region: Range<UInt64>?,
    journalPath: String?,
    _ new: UnnamedJournal? = nil
  ) throws(AtomicWriteError) -> JournalSession {
    let promise = try Self.promise(report, journalPath)
    let files = try lockedFiles(journal, region, journalPath)
    let geometry = try files.geometry(isNew: new != nil, isFile: isFile, report)
    var engine = try files.engine(geometry)
    var found = JournalReport()
    if new != nil {
      var superblock = JournalSuperblock(identity: .random, geometry: geometry)
      (superblock.target, superblock.signature) = (name, signature)
      try Self.journalErrors { () throws(JournalProblem) in try engine.format(superblock) }
    } else {
      let check = JournalCheck(name: name, mark: mark, isFile: isFile)
      let isUnasked = !isFile && purpose == .write
      found = try Self.journalErrors { () throws(JournalProblem) in
        try engine.recover(check: check.check) { !(isUnasked && $0.wasInUse) }
      }
      if isUnasked, found.wasInUse {
        throw .journal(.needsRecovery(transactions: found.transactions))
      }
    }
    try lead(to: engine.superblock, files, journalPath, naming: new)
    return try JournalSession(files, engine, geometry, recovered: found, promise: promise)
  }

  /// With the journal locked, where that is a file.
  func lockedFiles(
    _ journal: consuming OwnedFileDescriptor?,
    _ region: Range<UInt64>?,
    _ journalPath: String?
  ) throws(AtomicWriteError) -> JournalFiles {
    switch consume journal {
    case .some(let journal):
      let lock = try JournalFile.lock(journal, onlyReads: purpose.onlyReads)
      return files(journal, lock: lock, region, journalPath)
    case .none:
      return files(nil, region, journalPath)
    }
  }

  /// Gives a new journal its name, names it in the file, and says how new it is at least.
  func lead(
    to superblock: JournalSuperblock,
    _ files: JournalFiles,
    _ path: String?,
    naming new: UnnamedJournal?
  ) throws(AtomicWriteError) {
    var wanted: JournalMark?
    if let path, mark.isTaken {
      wanted = JournalMark(
        superblock.identity,
        generation: superblock.generation,
        isOnSameFilesystem: !files.isJournalElsewhere,
        path: path
      )
    }
    do throws(JournalNameProblem) {
      try target.lead(to: mark.mark == wanted ? nil : wanted, naming: new)
    } catch {
      throw Self.nameError(error, new?.name ?? "")
    }
  }

  static func nameError(_ problem: JournalNameProblem, _ name: String) -> AtomicWriteError {
    switch problem {
    case .name(let errno): JournalFile.openError(errno, name)
    case .mark(let errno): .notWritten(FailureCause(errno))
    }
  }

  /// Whether a marked file's journal has nothing to be brought in place, as both of its superblocks
  /// say. Nothing is locked.
  static func isClean(
    _ report: TargetReport,
    _ descriptor: borrowing OwnedFileDescriptor
  ) throws(AtomicWriteError) -> Bool {
    let opening = try JournalOpening(report, TargetOpening.open(report), .write, locks: false)
    let path = try opening.path(.automatic)
    guard let found = try opening.find(path) else { throw .journal(.missing(path)) }
    let files = opening.files(found, nil, path)
    let geometry = try files.geometry(isNew: false, isFile: true, report)
    var engine = try files.engine(geometry)
    let check = JournalCheck(name: opening.name, mark: opening.mark, isFile: true)
    let state = try journalErrors { () throws(JournalProblem) in
      try engine.recover(check: check.check) { _ in false }
    }
    return !state.wasInUse && !state.hasOneSuperblock
  }

  static func journalErrors<Value: ~Copyable>(
    _ body: () throws(JournalProblem) -> Value
  ) throws(AtomicWriteError) -> Value {
    do throws(JournalProblem) {
      return try body()
    } catch {
      throw JournalSession.error(error)
    }
  }
}

/// A name that no other process holds meanwhile.
final class NameClaim: Sendable {
  private let descriptor: OwnedFileDescriptor

  init(_ descriptor: consuming OwnedFileDescriptor) {
    self.descriptor = descriptor
  }
}
