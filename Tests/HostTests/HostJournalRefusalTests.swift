import Foundation
import NVMeAtomic
import Testing

/// What is refused before anything is written, made or set aside.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalRefusalTests {
  private func blocks(_ path: String) throws -> String {
    try shell("stat -c %b '\(path)'")
  }

  private func input(_ byteCount: Int) throws -> String {
    let path = HostRig.path("tmpfs/refused-input")
    try Data(repeating: 0x77, count: byteCount).write(to: URL(fileURLWithPath: path))
    return path
  }

  @Test(arguments: JournalledFile.filesystems)
  func aTransactionThatIsTooLongSetsNoSpaceAside(on filesystem: String) throws {
    let file = try JournalledFile(4096, on: filesystem, journalBytes: 1 << 20)
    _ = try shell("truncate -s 8M '\(file.path)'")
    let before = try blocks(file.path)
    let tool = try Tool([
      "write", file.path, "--path", "journal", "--at", "0", "--input", try input(3 << 20), "--json",
    ])
    #expect(tool.status == 2, "\(tool.errors)")
    #expect(try tool.failure() == ["exceeds-limit", "not-written"])
    #expect(try blocks(file.path) == before)
    let load = try Tool([
      "write", file.path, "--path", "journal", "--block-size", "2m", "--range", "0:8m", "--count",
      "1",
    ])
    #expect(load.status == 2, "\(load.errors)")
    #expect(try blocks(file.path) == before)
  }

  /// The superblock at the end could not be written, after the first one was.
  @Test func aLimitOfFileSizesBelowTheJournalIsSaid() throws {
    let file = try JournalledFile(8192, journalBytes: 4 << 20)
    let before = try HostRig.contents(file.journal)
    for command in [
      "write '\(file.path)' --path journal --at 0 --input '\(try input(512))'",
      "recover '\(file.path)'",
    ] {
      let tool = try Tool(
        program: "/bin/bash",
        ["-c", "ulimit -f 1024; exec '\(Tool.path)' \(command)"]
      )
      #expect(tool.status == 2, "\(command): \(tool.errors)")
      #expect(tool.errors.contains("file size limit"), "\(command): \(tool.errors)")
      #expect(try HostRig.contents(file.journal) == before)
    }
  }

  @Test func anEmptyInputMakesNoJournal() throws {
    let file = try JournalledFile(8192, journalBytes: nil)
    let tool = try Tool([
      "write", file.path, "--path", "journal", "--at", "0", "--input", try input(0), "--json",
    ])
    #expect(tool.status == 2, "\(tool.errors)")
    #expect(!FileManager.default.fileExists(atPath: file.journal))
  }

  /// Whoever may only read can look: on a filesystem mounted read-only, and where nobody may write.
  @Test func aLookNeedsNoPermissionToWrite() throws {
    let file = try VersionedFile(on: "ext4")
    try file.file.leave([VersionedFile.pieces(1)])
    let look = ["recover", file.file.path, "--dry-run", "--json"]
    _ = try shell("chattr +i '\(file.file.path)' '\(file.file.journal)'")
    let immutable = try Tool(look)
    let written = try Tool("recover", file.file.path, "--json")
    _ = try shell("chattr -i '\(file.file.path)' '\(file.file.journal)'")
    #expect(written.status == 2, "\(written.errors)")
    // Others write to the filesystem meanwhile: it is read-only by one mount of it.
    let view = HostRig.path("tmpfs/read-only")
    _ = try shell("mkdir '\(view)' && mount --bind '\(HostRig.path("ext4"))' '\(view)'")
    defer { _ = try? shell("umount '\(view)'; rmdir '\(view)'") }
    _ = try shell("mount -o remount,bind,ro '\(view)'")
    let name = (file.file.path as NSString).lastPathComponent
    let readOnly = try Tool("recover", "\(view)/\(name)", "--dry-run", "--json")
    let refused = try Tool("recover", "\(view)/\(name)", "--json")
    #expect(refused.status == 2 && refused.errors.contains("read-only"), "\(refused.errors)")
    for tool in [immutable, readOnly] {
      #expect(tool.status == 0, "\(tool.errors)")
      #expect(try tool.json()["transactions"] as? Int == 1)
    }
    #expect(try file.version() == 0)
    #expect(try Tool("recover", file.file.path).status == 0)
    #expect(try file.version() == 1)
  }

  @Test(arguments: ["mkdir", "mkfifo"])
  func whatIsNoFileIsNoJournal(make: String) throws {
    let file = try JournalledFile(8192, journalBytes: 1 << 20)
    _ = try shell("mv '\(file.journal)' '\(file.journal).away' && \(make) '\(file.journal)'")
    let tool = try Tool([
      "write", file.path, "--path", "journal", "--at", "0", "--input", try input(512), "--json",
    ])
    let remove = make == "mkdir" ? "rmdir" : "rm"
    _ = try shell("\(remove) '\(file.journal)' && mv '\(file.journal).away' '\(file.journal)'")
    #expect(tool.status == 2, "\(tool.errors)")
    #expect(tool.errors.contains("is no regular file"), "\(tool.errors)")
    #expect(try Tool("recover", file.path).status == 0)
  }

  @Test func namesThatNoJournalCanHaveAreSaid() throws {
    let long = HostRig.path("ext4/\(String(repeating: "n", count: 250))")
    try Data(count: 8192).write(to: URL(fileURLWithPath: long))
    defer { try? FileManager.default.removeItem(atPath: long) }
    let bytes = try input(512)
    let tool = try Tool(["write", long, "--path", "journal", "--at", "0", "--input", bytes])
    #expect(tool.status == 2 && tool.errors.contains("name a shorter one by --journal"))
    let other = long.replacing("/nnn", with: "/").dropLast(40) + ".journal"
    defer { try? FileManager.default.removeItem(atPath: String(other)) }
    let named = try Tool([
      "write", long, "--path", "journal", "--journal", String(other), "--at", "0", "--input", bytes,
    ])
    #expect(named.status == 0, "\(named.errors)")
    // No mark could lead there.
    let folder = HostRig.path("ext4")
    let inside = try Tool(
      program: "/bin/bash",
      [
        "-c",
        """
        cd '\(folder)' && mkdir $'no\\xfftext' && cd $'no\\xfftext' && truncate -s 8K file
        '\(Tool.path)' write file --path journal --at 0 --input '\(bytes)'; status=$?
        rm -r ../$'no\\xfftext'; exit $status
        """,
      ]
    )
    #expect(inside.status == 2 && inside.errors.contains("UTF-8"), "\(inside.errors)")
  }

  @Test func whatIsTooFarForTheFilesystemIsSaid() throws {
    let file = try JournalledFile(8192, journalBytes: 1 << 20)
    let tool = try Tool([
      "write", file.path, "--path", "journal", "--at", "15p", "--input", try input(512), "--json",
    ])
    #expect(tool.status == 2, "\(tool.errors)")
    #expect(tool.errors.contains("no file there may be that long"), "\(tool.errors)")
    #expect(try HostRig.contents(file.path).count == 8192)
  }
}
