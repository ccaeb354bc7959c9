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
}
