import Foundation
import NVMeAtomic
import Testing

/// Copies of filesystems, devices and journals: each has its own journal, or none.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalCopyTests {
  /// A filesystem's copy has the same UUID, inodes and marks: its files lead to its own journals.
  @Test(arguments: ["ext4", "xfs"])
  func aCopyOfAFilesystemLeavesTheOriginalAlone(filesystem: String) throws {
    let original = try ScratchFilesystem(filesystem)
    let file = try JournalledFile(20_000, in: original.mount, journalBytes: 1 << 20)
    try file.leave([[(100, [1, 2, 3])]])
    try shell("sync -f '\(original.mount)'")
    let folder = HostRig.path("ext4/copy-\(UUID().uuidString)")
    let options = filesystem == "xfs" ? "loop,nouuid" : "loop"
    try shell(
      """
      mkdir '\(folder)'
      cp --sparse=always '\(original.image)' '\(folder).image'
      mount -o \(options) '\(folder).image' '\(folder)'
      """
    )
    defer { _ = try? shell("umount '\(folder)'; rm -r '\(folder)' '\(folder).image'") }
    let copy = folder + "/" + URL(fileURLWithPath: file.path).lastPathComponent
    let before = try HostRig.contents(file.journal)
    // Without its own, the copy has none, wherever its mark leads.
    try shell("mv '\(copy).nvme-atomic-journal' '\(copy).away'")
    for arguments in [
      ["recover", copy], ["journal", "drop", copy],
      ["write", copy, "--path", "journal", "--at", "0", "--input", "/etc/hostname"],
      ["write", copy, "--path", "plain", "--at", "0", "--input", "/etc/hostname"],
    ] {
      let tool = try Tool(arguments)
      #expect(tool.status == 2, "\(arguments): \(tool.output)\(tool.errors)")
      #expect(tool.errors.contains("one of them is a copy"), "\(tool.errors)")
    }
    try shell("mv '\(copy).away' '\(copy).nvme-atomic-journal'")
    #expect(try TargetJournal.recover(Probe().report(on: copy))?.transactions == 1)
    #expect(try HostRig.contents(copy)[100..<103] == [1, 2, 3])
    #expect(try HostRig.contents(file.journal) == before, "the original's journal was used")
    #expect(try file.contents.allSatisfy { $0 == 0x5a })
    #expect(try file.recover()?.transactions == 1)
  }

  /// Two nodes of one device are one target, and one journal has one user.
  @Test func twoNodesOfOneDeviceAreOneTarget() throws {
    let device = try ScratchDevice(64 << 20)
    let other = try shell("losetup --show --find '\(device.image)'")
    defer { _ = try? shell("losetup -d \(other)") }
    let region = JournalPlace.region(offsetBytes: 32 << 20, lengthBytes: 4 << 20)
    try TargetJournal.make(Probe().report(on: device.path), region)
    let target = try AtomicTarget(
      opening: Probe().report(on: device.path),
      path: .journal,
      journal: region
    )
    for arguments in [
      ["recover", other, "--journal-region", "32m:4m", "--json"],
      [
        "write", other, "--path", "journal", "--at", "0", "--input", "/etc/hostname",
        "--journal-region", "32m:4m", "--json",
      ],
    ] {
      let tool = try Tool(arguments)
      #expect(tool.status == 2, "\(tool.output)")
      #expect(try tool.failure() == ["busy", "not-written"])
    }
    try target.close()
  }

  @Test func anOlderCopyOfAJournalIsRefused() throws {
    let file = try JournalledFile(20_000)
    try file.leave([[(0, [1])]])
    let old = file.journal + ".old"
    try FileManager.default.copyItem(atPath: file.journal, toPath: old)
    defer { try? FileManager.default.removeItem(atPath: old) }
    try file.recover()
    try file.commit([(0, [2])])
    let tool = try Tool("recover", file.path, "--journal", old, "--json")
    #expect(tool.status == 2, "\(tool.output)")
    #expect(tool.errors.contains("copy from before"), "\(tool.errors)")
    #expect(try file.contents.first == 2)
  }

  /// What lies there already may be somebody's who wants it replayed.
  @Test func aJournalThatOthersCouldWriteToIsRefused() throws {
    let file = try JournalledFile(20_000)
    try file.leave([[(0, [1])]])
    for change in [
      "chmod 666 J", "chown 65534 J", "mv J J.moved; ln -s J.moved J",
    ] {
      try shell("cp -p J J.kept; \(change)".replacingOccurrences(of: "J", with: file.journal))
      let tool = try Tool("recover", file.path, "--json")
      #expect(tool.status == 2, "\(change): \(tool.output)")
      #expect(try tool.failure() == ["refused", "not-written"])
      try shell("rm -f J J.moved; mv J.kept J".replacingOccurrences(of: "J", with: file.journal))
    }
    #expect(try file.contents.allSatisfy { $0 == 0x5a })
    #expect(try file.recover()?.transactions == 1)
  }

  /// A device's journal that is not there just now is not made anew.
  @Test func aDevicesJournalIsMadeByInitOnly() throws {
    let device = try ScratchDevice(32 << 20)
    let journal = HostRig.path("ext4/\(UUID().uuidString)")
    let write = [
      "write", device.path, "--at", "0", "--input", "/etc/hostname", "--journal", journal, "--json",
    ]
    for path in ["journal", "auto"] {
      let tool = try Tool(write + ["--path", path])
      #expect(tool.status == 2)
      #expect(tool.errors.contains("journal init"), "\(tool.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: journal))
    defer { try? FileManager.default.removeItem(atPath: journal) }
    #expect(try Tool("journal", "init", device.path, "--journal", journal).status == 0)
    #expect(try Tool(write + ["--path", "auto"]).json()["path"] as? String == "journal")
  }

  /// A region does not begin within another journal.
  @Test func aRegionOverSomeOfAJournalIsRefused() throws {
    let device = try ScratchDevice(64 << 20)
    #expect(try Tool("journal", "init", device.path, "--journal-region", "8m:4m").status == 0)
    for region in ["6m:4m", "10m:4m", "8m:4m"] {
      #expect(try Tool("journal", "init", device.path, "--journal-region", region).status == 2)
    }
    #expect(try Tool("journal", "init", device.path, "--journal-region", "12m:4m").status == 0)
  }

  /// Threads that end take kernel threads with them that were to write for them.
  @Test(arguments: JournalledFile.filesystems)
  func threadsMayEnd(filesystem: String) throws {
    let file = try JournalledFile(0, on: filesystem, journalBytes: 8 << 20)
    try shell("fallocate -l 32M '\(file.path)'")
    let load =
      "--path journal --block-size 16k --count 1500 --threads 8 --engine io_uring --queue-depth 8"
    for round in 0..<3 {
      let tool = try Tool(["write", file.path] + load.split(separator: " ").map(String.init))
      #expect(tool.status == 0, "round \(round): \(tool.errors)")
    }
  }
}
