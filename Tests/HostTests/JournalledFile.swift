import Foundation
import LinuxIO
import NVMeAtomic
import SystemPackage
import Testing

/// A file that is written to by a journal, removed with its owner together with that.
final class JournalledFile {
  static let filesystems = ["ext4", "xfs", "btrfs"]

  let path: String

  /// One on a filesystem of the rig; `nil` has its journal made when that is first needed.
  convenience init(
    _ byteCount: Int,
    fill: UInt8 = 0x5a,
    on filesystem: String = "ext4",
    journalBytes: UInt64? = 1 << 20
  ) throws {
    // Journals are long: they have an XFS of their own.
    let folder = HostRig.path(filesystem == "xfs" ? "journal" : filesystem)
    try self.init(byteCount, fill: fill, in: folder, journalBytes: journalBytes)
  }

  init(_ byteCount: Int, fill: UInt8 = 0x5a, in folder: String, journalBytes: UInt64?) throws {
    path = "\(folder)/\(UUID().uuidString)"
    try Data(repeating: fill, count: byteCount).write(to: URL(fileURLWithPath: path))
    guard let journalBytes else { return }
    try TargetJournal.make(Probe().report(on: path), .automatic, byteCount: journalBytes)
  }

  deinit {
    for path in [path, journal] { try? FileManager.default.removeItem(atPath: path) }
  }

  var journal: String { path + ".nvme-atomic-journal" }

  var contents: [UInt8] {
    get throws { try HostRig.contents(path) }
  }

  func target(_ place: JournalPlace = .automatic) throws -> AtomicTarget {
    try AtomicTarget(opening: Probe().report(on: path), path: .journal, journal: place)
  }

  /// What the program finds, and has brought in place.
  @discardableResult
  func recover(dryRun: Bool = false) throws -> JournalRecovery? {
    try TargetJournal.recover(Probe().report(on: path), dryRun: dryRun)
  }

  /// Commits bytes for several places, all or none.
  func commit(_ pieces: [(offset: Int, bytes: [UInt8])], close: Bool = true) throws {
    let target = try target()
    var transaction = try AtomicTransaction(on: target)
    for (offset, bytes) in pieces { try transaction.write(bytes, atBytes: UInt64(offset)) }
    try transaction.commit()
    if close { try target.close() }
  }

  // MARK: Power failures

  /// Both files, byte for byte.
  struct Image {
    var target: [UInt8]
    var journal: [UInt8]
    /// The file's attribute, which says how new its journal is at least.
    var mark: String?
  }

  func image() throws -> Image {
    Image(target: try contents, journal: try HostRig.contents(journal), mark: try mark())
  }

  private func mark() throws -> String? {
    try OwnedFileDescriptor(opening: path, .readOnly).mark()
  }

  /// Gives both files other bytes; they stay the files that they are.
  func restore(_ image: Image) throws {
    try Self.overwrite(path, image.target)
    try Self.overwrite(journal, image.journal)
    if let mark = image.mark { try OwnedFileDescriptor(opening: path, .readWrite).setMark(mark) }
  }

  static func overwrite(_ path: String, _ bytes: [UInt8]) throws {
    let file = try FileDescriptor.open(FilePath(path), .writeOnly)
    try file.closeAfter {
      try file.resize(to: Int64(bytes.count))
      _ = try file.writeAll(toAbsoluteOffset: 0, bytes)
    }
  }

  /// Leaves transactions in the journal, and the target as it was before them: what a power failure
  /// leaves that takes every write in place.
  func leave(_ transactions: [[(offset: Int, bytes: [UInt8])]]) throws {
    let before = try contents
    let target = try target()
    for pieces in transactions {
      var transaction = try AtomicTransaction(on: target)
      for (offset, bytes) in pieces { try transaction.write(bytes, atBytes: UInt64(offset)) }
      try transaction.commit()
    }
    let journal = try HostRig.contents(journal)
    let mark = try mark()
    try target.close()
    try restore(Image(target: before, journal: journal, mark: mark))
  }
}

/// Runs a script, which must succeed.
@discardableResult
func shell(_ script: String) throws -> String {
  let tool = try Tool(program: "/bin/bash", ["-ec", script])
  try #require(tool.status == 0, "\(script): \(tool.output)\(tool.errors)")
  return tool.output.trimmingCharacters(in: .whitespacesAndNewlines)
}

extension Tool {
  /// What the document says of a failure: its code and outcome.
  func failure() throws -> [String] {
    let error = try #require(try json()["error"] as? [String: Any], "\(output)\(errors)")
    #expect(errors.split(separator: "\n").count == 1, "\(errors)")
    return ["code", "outcome"].compactMap { error[$0] as? String }
  }
}

/// An error, if there is one.
func error(_ body: () throws -> Void) -> AtomicWriteError? {
  do {
    try body()
    return nil
  } catch {
    return error as? AtomicWriteError
  }
}
