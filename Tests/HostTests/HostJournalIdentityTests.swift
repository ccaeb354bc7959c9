import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// Which file a journal is replayed onto: the one that it was made for, under whatever name, and
/// no other.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalIdentityTests {
  private static let pieces = [(offset: 100, bytes: pattern(9, byteCount: 5000))]

  /// One with a transaction in its journal, and the bytes that it has then.
  private func live(on filesystem: String) throws -> (file: JournalledFile, after: [UInt8]) {
    let file = try JournalledFile(20_000, on: filesystem)
    try file.leave([Self.pieces])
    return (file, replacing([UInt8](repeating: 0x5a, count: 20_000), Self.pieces))
  }

  private func refused(_ arguments: [String], _ words: String) throws -> Tool {
    let tool = try Tool(arguments + ["--json"])
    #expect(tool.status == 2, "\(arguments): \(tool.output)\(tool.errors)")
    #expect(try tool.failure() == ["refused", "not-written"], "\(arguments)")
    #expect(tool.errors.contains(words), "\(tool.errors)")
    return tool
  }

  /// Types what the remedy says from its last command on.
  private func typeRemedy(_ tool: Tool, _ command: String) throws {
    let error = try #require(try tool.json()["error"] as? [String: Any])
    let remedy = try #require(error["remedy"] as? String)
    let start = try #require(remedy.range(of: command, options: .backwards))
    try shell(String(remedy[start.lowerBound...]))
  }

  @Test(arguments: JournalledFile.filesystems)
  func aTargetThatWasRenamedFindsItsJournal(on filesystem: String) throws {
    let (file, after) = try live(on: filesystem)
    let other = file.path + ".renamed"
    defer { try? FileManager.default.removeItem(atPath: other) }
    try shell("mv '\(file.path)' '\(other)'")
    let tool = try Tool("recover", other, "--json")
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(try tool.json()["transactions"] as? Int == 1)
    #expect(try HostRig.contents(other) == after)
    // Another file by the old name is not marked, and does not get that journal.
    try Data(count: 20_000).write(to: URL(fileURLWithPath: file.path))
    _ = try refused(["recover", file.path], "the journal is not used")
    let write = ["write", file.path, "--path", "journal", "--at", "0", "--input", "/etc/passwd"]
    _ = try refused(write, "the journal is not used")
    #expect(try file.contents.allSatisfy { $0 == 0 })
  }

  @Test(arguments: JournalledFile.filesystems)
  func bothMovedAndHardLinked(on filesystem: String) throws {
    let (file, after) = try live(on: filesystem)
    let folder = file.path + ".folder"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try shell("mkdir '\(folder)'; mv '\(file.path)' '\(file.journal)' '\(folder)'")
    let moved = folder + "/" + URL(fileURLWithPath: file.path).lastPathComponent
    try shell("ln '\(moved)' '\(file.path)'; ln -s '\(moved)' '\(folder)/symbolic'")
    // By its other name, whose folder the journal is not in.
    _ = try refused(["recover", file.path], "which is not there")
    let tool = try Tool("recover", "\(folder)/symbolic", "--json")
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(try tool.json()["transactions"] as? Int == 1)
    #expect(try HostRig.contents(moved) == after)
    // Whoever writes to it next notes where the journal is now, for every name.
    let write = ["--path", "journal", "--at", "0", "--input", "/etc/passwd"]
    #expect(try Tool(["write", "\(folder)/symbolic"] + write).status == 0)
    #expect(try Tool(["write", file.path] + write).status == 0)
    #expect(!FileManager.default.fileExists(atPath: file.journal))
  }

  @Test(arguments: JournalledFile.filesystems)
  func aCopyIsRefusedAndTheRemedyWorks(on filesystem: String) throws {
    let (file, after) = try live(on: filesystem)
    let copy = file.path + ".copy"
    defer {
      for path in [copy, copy + ".nvme-atomic-journal"] {
        try? FileManager.default.removeItem(atPath: path)
      }
    }
    try shell("cp -a '\(file.path)' '\(copy)'")
    let before = try HostRig.contents(copy)
    let write = ["write", copy, "--path", "journal", "--at", "0", "--input", "/etc/passwd"]
    let plain = ["write", copy, "--path", "plain", "--at", "0", "--input", "/etc/passwd"]
    for arguments in [["recover", copy], ["journal", "drop", copy], write, plain] {
      _ = try refused(arguments, "setfattr -x user.nvme-atomic")
    }
    #expect(try HostRig.contents(copy) == before)
    #expect(try file.recover()?.transactions == 1)
    #expect(try file.contents == after)
    try typeRemedy(try refused(write, "the journal is not used"), "setfattr")
    let again = try Tool(write)
    #expect(again.status == 0, "\(again.errors)")
    #expect(FileManager.default.fileExists(atPath: copy + ".nvme-atomic-journal"))
    #expect(try file.contents == after)
  }

  @Test func aSnapshotIsRefused() throws {
    let volume = HostRig.path("btrfs/volume-\(UUID().uuidString)")
    let snapshot = volume + "-snapshot"
    try shell("btrfs subvolume create '\(volume)'")
    defer { _ = try? shell("btrfs subvolume delete '\(volume)' '\(snapshot)'") }
    let file = try JournalledFile(20_000, in: volume, journalBytes: 1 << 20)
    try file.leave([Self.pieces])
    try shell("btrfs subvolume snapshot '\(volume)' '\(snapshot)'")
    let copy = snapshot + "/" + URL(fileURLWithPath: file.path).lastPathComponent
    let journal = copy + ".nvme-atomic-journal"
    // The mark leads to the journal of the original, which has the same inode number.
    _ = try refused(["recover", copy], "the journal is not used")
    // A journal in the snapshot is that of the original too.
    _ = try refused(["recover", copy, "--journal", journal], "the journal is not used")
    #expect(try HostRig.contents(copy).allSatisfy { $0 == 0x5a })
    #expect(try file.recover()?.transactions == 1)
  }

  @Test(arguments: JournalledFile.filesystems)
  func aJournalThatIsGoneIsRefusedAndTheRemedyWorks(on filesystem: String) throws {
    let (file, _) = try live(on: filesystem)
    try FileManager.default.removeItem(atPath: file.journal)
    let write = ["write", file.path, "--path", "journal", "--at", "0", "--input", "/etc/passwd"]
    let plain = ["write", file.path, "--path", "plain", "--at", "0", "--input", "/etc/passwd"]
    let load = ["write", file.path, "--path", "journal", "--block-size", "4k", "--count", "1"]
    for arguments in [
      ["recover", file.path], ["recover", file.path, "--dry-run"], ["journal", "drop", file.path],
      write, plain, load,
    ] {
      _ = try refused(arguments, "which is not there")
    }
    #expect(try file.contents.allSatisfy { $0 == 0x5a })
    #expect(!FileManager.default.fileExists(atPath: file.journal))
    try typeRemedy(try refused(write, "setfattr"), "setfattr")
    let none = try Tool("recover", file.path, "--json")
    #expect(none.status == 0)
    #expect(try none.json()["journal"] as? Bool == false)
    #expect(try Tool(write).status == 0)
  }

  @Test func theJournalOfAnotherFileIsRefused() throws {
    let (file, after) = try live(on: "ext4")
    let other = try JournalledFile(20_000)
    let marked = ["--journal", file.journal]
    let write = ["--path", "journal", "--at", "0", "--input", "/etc/passwd"]
    _ = try refused(["write", other.path] + write + marked, "the journal is not used")
    _ = try refused(["recover", other.path] + marked, "the journal is not used")
    let unmarked = try JournalledFile(20_000, journalBytes: nil)
    _ = try refused(["write", unmarked.path] + write + marked, "the journal is not used")
    // And what is no journal at all, or nothing.
    for path in [other.path, "/dev/null", "/etc"] {
      let tool = try Tool(["write", unmarked.path] + write + ["--journal", path])
      #expect(tool.status == 2, "\(path): \(tool.errors)")
      #expect(tool.errors.split(separator: "\n").count == 1, "\(tool.errors)")
    }
    for contents in [try other.contents, try unmarked.contents] {
      #expect(contents.allSatisfy { $0 == 0x5a })
    }
    #expect(try file.recover()?.transactions == 1)
    #expect(try file.contents == after)
  }

  /// The file was written to since by another journal, which is gone.
  @Test func aJournalOfTheFileFromBeforeIsRefused() throws {
    let (file, after) = try live(on: "ext4")
    let old = try HostRig.contents(file.journal)
    #expect(try file.recover()?.transactions == 1)
    for arguments in [
      ["journal", "drop", file.path], ["journal", "init", file.path, "--size", "1m"],
    ] {
      #expect(try Tool(arguments).status == 0)
    }
    try JournalledFile.overwrite(file.journal, old)
    _ = try refused(["recover", file.path], "this is another one")
    #expect(try file.contents == after)
  }

  /// A mark that was taken away means that the file was written since without its journal.
  @Test func recordsOfAFileWithoutItsMarkAreRefused() throws {
    let (file, _) = try live(on: "ext4")
    try shell("setfattr -x user.nvme-atomic '\(file.path)'")
    _ = try refused(["recover", file.path], "carries no mark")
    #expect(try file.contents.allSatisfy { $0 == 0x5a })
  }

  /// What an overlay calls a file is not what it is called below, and changes when it is copied up.
  @Test func aFileOnAnOverlayHasNoJournal() throws {
    let folder = HostRig.path("ext4") + "/" + UUID().uuidString
    try shell(
      """
      mkdir '\(folder)'; cd '\(folder)'; mkdir lower upper work all
      head -c 20000 /dev/zero >lower/file
      mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work all
      """
    )
    defer { _ = try? shell("umount '\(folder)/all'; rm -r '\(folder)'") }
    let path = folder + "/all/file"
    let write = ["write", path, "--path", "journal", "--at", "0", "--input", "/etc/passwd"]
    // Opening it for writes has it copied up.
    let first = try Tool(write + ["--json"])
    #expect(first.status == 2, "\(first.output)\(first.errors)")
    _ = try refused(write, "put the file on XFS, ext4 or btrfs")
    let make = try Tool("journal", "init", path, "--size", "1m")
    #expect(make.status == 2)
    #expect(try HostRig.contents(path).allSatisfy { $0 == 0 })
    #expect(try shell("ls '\(folder)/all'") == "file")
  }
}
