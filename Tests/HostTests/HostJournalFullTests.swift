import Foundation
import NVMeAtomic
import SystemPackage
import TestSupport
import Testing

/// No space for the journal, for what is staged, or for what the file grows by.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalFullTests {
  private func isFull(_ error: AtomicWriteError?) -> Bool {
    switch error {
    case .notWritten(.system(let cause)), .journal(.unplaced(.system(let cause))):
      cause.code == Errno.noSpace.rawValue
    default: false
    }
  }

  @Test(arguments: JournalledFile.filesystems)
  func noJournalFitsAndNothingIsLeft(on filesystem: String) throws {
    let scratch = try ScratchFilesystem(filesystem)
    let file = try JournalledFile(8192, in: scratch.mount, journalBytes: nil)
    try scratch.fillUp()
    let tool = try Tool(
      ["write", file.path, "--path", "journal", "--at", "0", "--input", "/etc/passwd", "--json"]
    )
    #expect(tool.status == 2)
    #expect(try tool.failure() == ["io", "not-written"])
    #expect(tool.errors.contains("free some space"), "\(tool.errors)")
    let made = try Tool("journal", "init", file.path, "--size", "4m", "--json")
    #expect(made.status == 2)
    #expect(try made.failure() == ["io", "not-written"])
    #expect(!FileManager.default.fileExists(atPath: file.journal))
    #expect(try file.contents.allSatisfy { $0 == 0x5a })
    let mark = try Tool(program: "/usr/bin/getfattr", ["-d", file.path])
    #expect(mark.output.isEmpty)
    try scratch.makeRoom()
    try file.commit([(0, [1])])
  }

  /// More than memory takes is kept beside the journal, and what was kept stays when no more fits.
  @Test func aSpillFileThatIsFullKeepsWhatIsStaged() throws {
    let scratch = try ScratchFilesystem("ext4")
    let file = try JournalledFile(100, in: scratch.mount, journalBytes: 32 << 20)
    let target = try file.target()
    var transaction = try AtomicTransaction(on: target)
    var pieces: [(offset: Int, bytes: [UInt8])] = []
    for index in 0..<12 { pieces.append((index << 20, pattern(index, byteCount: 1 << 20))) }
    for (offset, bytes) in pieces { try transaction.write(bytes, atBytes: UInt64(offset)) }
    try scratch.fillUp()
    let failure = error {
      for index in 12..<24 {
        try transaction.write(pattern(index, byteCount: 1 << 20), atBytes: UInt64(index) << 20)
      }
    }
    #expect(isFull(failure), "\(String(describing: failure))")
    try scratch.makeRoom()
    // Far from what failed, and from what has been staged.
    let later = (offset: 30 << 20, bytes: pattern(30, byteCount: 1 << 20))
    let again = error { try transaction.write(later.bytes, atBytes: UInt64(later.offset)) }
    // It takes no more, or all of what was staged is there.
    #expect(again == nil || isFull(again))
    for (offset, bytes) in pieces + [later] where again == nil {
      #expect(try transaction.bytes(bytes.count, atBytes: UInt64(offset)) == bytes, "at \(offset)")
    }
    transaction.rollback()
    #expect(try file.contents.count == 100)
    try transaction.write([7], atBytes: 1)
    try transaction.commit()
    try target.close()
    #expect(try file.contents.prefix(3) == [0x5a, 7, 0x5a])
  }

  @Test func aFullFilesystemEndsAProgramThatStages() throws {
    let scratch = try ScratchFilesystem("ext4")
    let file = try JournalledFile(100, in: scratch.mount, journalBytes: 64 << 20)
    let input = try HostRig.makeFile("ext4/spill-input", byteCount: 24 << 20)
    defer { try? FileManager.default.removeItem(atPath: input) }
    try scratch.fillUp()
    let tool = try Tool(
      ["write", file.path, "--path", "journal", "--at", "5", "--input", input, "--json"]
    )
    #expect(tool.status == 2)
    #expect(try tool.failure() == ["io", "not-written"])
    #expect(tool.errors.contains("free some space"), "\(tool.errors)")
    #expect(try file.contents.count == 100)
    #expect(try file.recover()?.transactions == 0)
  }

  @Test func aTransactionLongerThanTheJournalIsRefused() throws {
    let file = try JournalledFile(100)
    let input = try HostRig.makeFile("ext4/long-input", byteCount: 1 << 20)
    defer { try? FileManager.default.removeItem(atPath: input) }
    let arguments = ["write", file.path, "--path", "journal", "--json", "--at", "0", "--input"]
    let tool = try Tool(arguments + [input])
    #expect(tool.status == 2)
    #expect(try tool.failure() == ["exceeds-limit", "not-written"])
    #expect(tool.errors.contains("journal drop") && tool.errors.contains("journal init"))
    #expect(try file.contents.count == 100)
    // What it advises helps.
    #expect(try Tool("journal", "drop", file.path).status == 0)
    #expect(try Tool("journal", "init", file.path, "--size", "2m").status == 0)
    #expect(try Tool(arguments + [input]).status == 0)
    #expect(try file.contents == HostRig.contents(input))
    // The longest that fits and the first that does not: a superblock at each end, and a header.
    let target = try file.target()
    let most = 2 << 20 - 3 * 4096
    var transaction = try AtomicTransaction(on: target)
    try transaction.write([UInt8](repeating: 1, count: most + 1), atBytes: 0)
    let failure = error { try transaction.commit() }
    guard case .journal(.exceeds) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    transaction.rollback()
    try transaction.write([UInt8](repeating: 2, count: most), atBytes: 0)
    try transaction.commit()
  }

  /// Either there was room for all of it before it was committed, or it waits in the journal until
  /// there is some.
  @Test(arguments: ["ext4", "xfs"])
  func aFileThatCannotGrowLosesNothing(on filesystem: String) throws {
    let scratch = try ScratchFilesystem(filesystem)
    let file = try JournalledFile(100_000, in: scratch.mount, journalBytes: 32 << 20)
    let before = try file.contents
    let tool = try grow(file, scratch)
    if tool.status == 3 {
      #expect(tool.errors.contains("safe in the journal"), "\(tool.errors)")
      // While there is no room, nobody gets by.
      let early = try Tool("recover", file.path, "--json")
      #expect(early.status == 3, "\(early.output)\(early.errors)")
      #expect(try early.failure() == ["io", "unknown"])
      let plain = ["write", file.path, "--path", "plain", "--at", "0", "--input", "/etc/passwd"]
      #expect(try Tool(plain).status != 0)
    }
    try scratch.makeRoom()
    let late = try Tool("recover", file.path, "--json")
    #expect(late.status == 0, "\(late.errors)")
    #expect(try late.json()["transactions"] as? Int == (tool.status == 3 ? 1 : 0))
    let after = tool.status == 3 ? replacing(before, Self.growing) : before
    #expect(try file.contents == after)
  }

  /// Every write there takes space, those to the journal too.
  @Test func onBtrfsItIsThereOrNot() throws {
    let scratch = try ScratchFilesystem("btrfs")
    let file = try JournalledFile(100_000, in: scratch.mount, journalBytes: 32 << 20)
    let before = try file.contents
    _ = try grow(file, scratch)
    try scratch.makeRoom()
    let late = try Tool("recover", file.path, "--json")
    #expect(late.status == 0, "\(late.errors)")
    #expect([before, replacing(before, Self.growing)].contains(try file.contents))
    try file.commit(Self.growing)
    #expect(try file.contents == replacing(before, Self.growing))
  }

  private static let growing = [
    (offset: 50_000, bytes: pattern(1, byteCount: 9000)),
    (offset: 99_990, bytes: pattern(2, byteCount: 8_000_000)),
  ]

  /// Writes a transaction that makes the file longer than the filesystem has room for.
  private func grow(_ file: JournalledFile, _ scratch: ScratchFilesystem) throws -> Tool {
    try shell("sync -f '\(scratch.mount)'")
    try scratch.fillUp()
    let inputs = ["a", "b"].map { HostRig.path("tmpfs/grow-\($0)") }
    defer { for input in inputs { try? FileManager.default.removeItem(atPath: input) } }
    var arguments = ["write", file.path, "--path", "journal", "--json"]
    for (piece, input) in zip(Self.growing, inputs) {
      try Data(piece.bytes).write(to: URL(fileURLWithPath: input))
      arguments += ["--at", "\(piece.offset)", "--input", input]
    }
    let tool = try Tool(arguments)
    #expect([2, 3].contains(tool.status), "\(tool.output)\(tool.errors)")
    #expect(try tool.failure() == ["io", tool.status == 3 ? "unknown" : "not-written"])
    return tool
  }
}
