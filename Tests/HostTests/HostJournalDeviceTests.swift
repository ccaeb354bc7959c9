import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// Transactions on block devices, whose journal is named by the caller.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalDeviceTests {
  /// A multiple of 512 and of nothing else.
  private static let byteCount = 16 << 20 + 512
  private static let region = (8 << 20)..<(10 << 20)
  private static let named = ["--journal-region", "8m:2m"]

  private func input(_ name: String, _ bytes: [UInt8]) throws -> String {
    let path = HostRig.path("tmpfs/device-\(name)")
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  private func write(_ device: String, _ pieces: [(Int, [UInt8])], _ more: [String]) throws -> Tool
  {
    var arguments = ["write", device, "--path", "journal", "--json"]
    for (index, piece) in pieces.enumerated() {
      arguments += ["--at", "\(piece.0)", "--input", try input("\(index)", piece.1)]
    }
    return try Tool(arguments + more)
  }

  private func refused(_ tool: Tool, _ words: String, code: String = "refused") throws {
    #expect(tool.status == 2, "\(tool.output)\(tool.errors)")
    #expect(try tool.failure() == [code, "not-written"])
    #expect(tool.errors.contains(words), "\(tool.errors)")
  }

  private func overlapping(_ tool: Tool) throws {
    #expect(tool.status == 2, "\(tool.output)\(tool.errors)")
    #expect(try tool.failure()[1] == "not-written")
    #expect(tool.errors.contains("region"), "\(tool.errors)")
  }

  private func initialized() throws -> ScratchDevice {
    let device = try ScratchDevice(Self.byteCount)
    let tool = try Tool(["journal", "init", device.path] + Self.named)
    #expect(tool.status == 0, "\(tool.errors)")
    return device
  }

  /// Transactions in the journal, nothing of them in place, as a power failure may leave it.
  private func leave(_ pieces: [(offset: Int, bytes: [UInt8])], on device: ScratchDevice) throws {
    let before = try device.bytes(0..<device.byteCount)
    let target = try AtomicTarget(
      opening: Probe().report(on: device.path),
      path: .journal,
      overwritingExistingData: true,
      journal: .region(offsetBytes: 8 << 20, lengthBytes: 2 << 20)
    )
    var transaction = try AtomicTransaction(on: target)
    for (offset, bytes) in pieces { try transaction.write(bytes, atBytes: UInt64(offset)) }
    try transaction.commit()
    let journal = try device.bytes(Self.region)
    try target.close()
    try device.overwrite(replacing(before, [(Self.region.lowerBound, journal)]), at: 0)
  }

  @Test func withoutAJournalNamedItIsRefused() throws {
    let device = try ScratchDevice(Self.byteCount)
    let advice = "name it by --journal FILE or --journal-region OFFSET:LENGTH"
    try refused(try write(device.path, [(0, [1])], []), advice)
    try refused(try Tool("recover", device.path, "--json"), advice)
    try refused(try write(device.path, [(0, [1])], Self.named), "there is no journal")
    for region in [Self.named, ["--journal-region", "1000:1m"]] {
      try refused(try Tool(["recover", device.path, "--json"] + region), "there is no journal")
    }
    #expect(try device.bytes(0..<device.byteCount).allSatisfy { $0 == 0x5a })
  }

  /// Not damage: nothing is to be restored.
  @Test func aRegionOfAnotherLengthIsNamedWrongly() throws {
    let device = try initialized()
    for command in [
      ["recover", device.path, "--json"], ["recover", device.path, "--dry-run", "--json"],
    ] {
      try refused(
        try Tool(command + ["--journal-region", "8m:3m"]),
        "name the right one by --journal"
      )
    }
    try refused(try write(device.path, [(0, [1])], ["--journal-region", "8m:1m"]), "was made with")
  }

  @Test func regionsAreMadeWhereTheyFit() throws {
    let device = try ScratchDevice(Self.byteCount)
    for (region, code) in [
      ("16m:1m", "exceeds-limit"), ("15m:2m", "exceeds-limit"), ("1000:1m", "refused"),
      ("0:4k", "refused"), ("0:1000000", "refused"), ("8589934592g:1m", "exceeds-limit"),
    ] {
      let tool = try Tool("journal", "init", device.path, "--journal-region", region, "--json")
      #expect(tool.status == 2, "\(region): \(tool.output)\(tool.errors)")
      #expect(try tool.failure() == [code, "not-written"], "\(region): \(tool.errors)")
    }
    #expect(try device.bytes(0..<device.byteCount).allSatisfy { $0 == 0x5a })
    let made = ["journal", "init", device.path, "--json"] + Self.named
    #expect(try Tool(made).status == 0)
    try refused(try Tool(made), "--overwrite-existing-data")
    #expect(try Tool(made + ["--overwrite-existing-data"]).status == 0)
    let drop = try Tool("journal", "drop", device.path, "--json")
    try refused(drop, "a block device has no mark")
    // Nothing but the region was written.
    let contents = try device.bytes(0..<device.byteCount)
    #expect(contents[..<Self.region.lowerBound].allSatisfy { $0 == 0x5a })
    #expect(contents[Self.region.upperBound...].allSatisfy { $0 == 0x5a })
  }

  @Test func rangesOfAnyOffsetUpToTheEnd() throws {
    let device = try initialized()
    let before = try device.bytes(0..<device.byteCount)
    let pieces = [
      (offset: 0, bytes: [UInt8(1)]), (700, pattern(2, byteCount: 5000)),
      (Self.region.lowerBound - 3, [1, 2, 3]), (Self.region.upperBound, [4, 5]),
      (device.byteCount - 701, pattern(3, byteCount: 701)),
    ]
    let tool = try write(device.path, pieces, Self.named)
    #expect(tool.status == 0, "\(tool.errors)")
    var expected = replacing(before, pieces)
    expected.replaceSubrange(Self.region, with: try device.bytes(Self.region))
    #expect(try device.bytes(0..<device.byteCount) == expected)
    #expect(try write(device.path, [(device.byteCount - 1, [1, 2])], Self.named).status == 2)
    for (offset, count) in [
      (Self.region.lowerBound - 1, 2), (Self.region.upperBound - 1, 1), (9 << 20, 4096),
      (Self.region.lowerBound - 4096, 4 << 20),
    ] {
      let bytes = [UInt8](repeating: 7, count: count)
      try overlapping(try write(device.path, [(0, [7]), (offset, bytes)], Self.named))
    }
    let load = ["write", device.path, "--path", "journal", "--block-size", "4k", "--count", "9"]
    try overlapping(try Tool(load + Self.named + ["--json"]))
    #expect(try Tool(load + Self.named + ["--range", "0:8m"]).status == 0)
  }

  /// The power failed between the two superblocks that end a journal's work: whoever opens it next
  /// makes them equal, so that the older one never counts once the newer one is damaged.
  @Test func anOlderSuperblockIsMadeAsNewAsTheOther() throws {
    let device = try initialized()
    let last = Self.region.upperBound - 4096
    try leave([(offset: 0, bytes: pattern(1, byteCount: 4096))], on: device)
    let older = try device.bytes(last..<last + 4096)
    let recover = ["recover", device.path, "--json"] + Self.named
    #expect(try Tool(recover).status == 0)
    let newer = try device.bytes(last..<last + 4096)
    try device.overwrite(older, at: last)
    #expect(try Tool(recover + ["--dry-run"]).json()["in_use"] as? Bool == false)
    #expect(try device.bytes(last..<last + 4096) == older)
    #expect(try Tool(recover).json()["in_use"] as? Bool == false)
    #expect(try device.bytes(last..<last + 4096) == newer)
    // Another path writes; then the newer one rots.
    let bytes = pattern(2, byteCount: 4096)
    let plain = try Tool([
      "write", device.path, "--path", "plain", "--at", "0", "--input", try input("plain", bytes),
    ])
    #expect(plain.status == 0, "\(plain.errors)")
    try device.overwrite([0xff], at: Self.region.lowerBound + 50)
    #expect(try Tool(recover).json()["in_use"] as? Bool == false)
    #expect(try device.bytes(0..<4096) == bytes)
  }

  /// Nothing tells a device from its clone, so nothing is brought in place unasked.
  @Test func onlyRecoverReplaysADevice() throws {
    let device = try initialized()
    let pieces = [(offset: 100, bytes: pattern(1, byteCount: 9000)), (12 << 20, [1, 2, 3])]
    try leave(pieces, on: device)
    let live = try device.bytes(0..<device.byteCount)
    try refused(try write(device.path, [(0, [1])], Self.named), "nvme-atomic recover")
    let load = ["write", device.path, "--path", "journal", "--block-size", "4k", "--count", "9"]
    try refused(
      try Tool(load + Self.named + ["--range", "0:8m", "--json"]),
      "nvme-atomic recover"
    )
    let dry = try Tool(["recover", device.path, "--dry-run", "--json"] + Self.named)
    #expect(dry.status == 0, "\(dry.errors)")
    #expect(try dry.json()["transactions"] as? Int == 1)
    #expect(try dry.json()["in_use"] as? Bool == true)
    #expect(try device.bytes(0..<device.byteCount) == live)
    let tool = try Tool(["recover", device.path, "--json"] + Self.named)
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(try tool.json()["transactions"] as? Int == 1)
    var expected = replacing(live, pieces)
    expected.replaceSubrange(Self.region, with: try device.bytes(Self.region))
    #expect(try device.bytes(0..<device.byteCount) == expected)
    #expect(try write(device.path, [(0, [1])], Self.named).status == 0)
  }

  @Test func aSignatureThatHasAppearedIsInTheWay() throws {
    let device = try initialized()
    try leave([(1 << 20, pattern(1, byteCount: 9000))], on: device)
    try shell("mkswap '\(device.path)'")
    let live = try device.bytes(0..<device.byteCount)
    let recover = ["recover", device.path, "--json"] + Self.named
    try refused(try Tool(recover), "swap signature")
    try refused(try Tool(recover + ["--dry-run"]), "swap signature")
    #expect(try device.bytes(0..<device.byteCount) == live)
    try refused(try write(device.path, [(0, [1])], Self.named), "swap signature")
    #expect(try Tool(recover + ["--overwrite-existing-data"]).status == 0)
    #expect(try device.bytes(1 << 20..<1 << 20 + 9000) == pattern(1, byteCount: 9000))
    // One that was there when the journal was made is no surprise.
    let again = ["journal", "init", device.path, "--json"] + Self.named
    try refused(try Tool(again), "swap signature")
    #expect(try Tool(again + ["--overwrite-existing-data"]).status == 0)
    try leave([(2 << 20, [1])], on: device)
    #expect(try Tool(recover).status == 0)
    #expect(try device.bytes(2 << 20..<2 << 20 + 2) == [1, 0x5a])
  }

  @Test func aJournalInAFile() throws {
    let device = try ScratchDevice(Self.byteCount)
    let other = try ScratchDevice(Self.byteCount)
    let journal = HostRig.path("ext4/device-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(atPath: journal) }
    let named = ["--journal", journal]
    let made = try Tool(["journal", "init", device.path, "--size", "2m"] + named)
    #expect(made.status == 0, "\(made.errors)")
    #expect(try write(device.path, [(9, [1])], named).status == 0)
    #expect(try device.bytes(8..<11) == [0x5a, 1, 0x5a])
    // Another device, and another place of the same bytes.
    try refused(try write(other.path, [(9, [1])], named), "the journal is not used")
    let part = try device.part(offset: 1 << 20)
    try refused(try write(part, [(9, [2])], named), "the journal is not used")
    #expect(try device.bytes((1 << 20)..<(1 << 20) + 100).allSatisfy { $0 == 0x5a })
    // On a file a region is none, and a file's mark is not a device's.
    let file = try JournalledFile(100)
    try refused(try write(file.path, [(0, [1])], Self.named), "goes with a block device")
  }

  /// A second one that wants the device, and one that is mounted.
  @Test func aDeviceThatIsHeldIsBusy() throws {
    let device = try initialized()
    do {
      let target = try AtomicTarget(
        opening: Probe().report(on: device.path),
        path: .journal,
        journal: .region(offsetBytes: 8 << 20, lengthBytes: 2 << 20)
      )
      try refused(try write(device.path, [(0, [1])], Self.named), "in use", code: "busy")
      let recover = try Tool(["recover", device.path, "--json"] + Self.named)
      try refused(recover, "in use", code: "busy")
      try target.close()
    }
    #expect(try write(device.path, [(0, [1])], Self.named).status == 0)
  }

  /// The ring of a program that was killed keeps the device for a moment.
  private func recoverOnceFree(_ device: ScratchDevice) throws -> Tool {
    for _ in 0..<200 {
      let tool = try Tool(["recover", device.path, "--json"] + Self.named)
      if tool.status == 0 { return tool }
      #expect(try tool.failure() == ["busy", "not-written"])
      usleep(10_000)
    }
    return try Tool(["recover", device.path, "--json"] + Self.named)
  }

  /// Killed at each call that changes something: the device has all of it or nothing.
  @Test func aProgramThatIsKilledOnADevice() throws {
    let device = try initialized()
    let places = [0..<5000, 1 << 20..<1 << 20 + 700, 12 << 20..<12 << 20 + 4096]
    func arguments(_ version: UInt8) throws -> [String] {
      var arguments = ["write", device.path, "--path", "journal"] + Self.named
      for (index, place) in places.enumerated() {
        let bytes = [UInt8](repeating: version, count: place.count)
        arguments += ["--at", "\(place.lowerBound)", "--input", try input("k\(index)", bytes)]
      }
      return arguments
    }
    let calls = try TracedTool.calls(of: arguments(1)).filter {
      ["io_uring_enter", "pwritev2", "fdatasync"].contains($0.name)
    }
    var (current, kept) = (UInt8(1), 0)
    for (round, call) in calls.enumerated() {
      let next = UInt8(round + 2)
      _ = try TracedTool.run(arguments(next), injecting: [call.killing])
      let tool = try recoverOnceFree(device)
      #expect(tool.status == 0, "\(call): \(tool.errors)")
      let bytes = try places.flatMap { try device.bytes($0) }
      let seen = bytes[0]
      #expect(bytes.allSatisfy { $0 == seen } && [current, next].contains(seen), "\(call)")
      (current, kept) = (seen, kept + (seen == next ? 1 : 0))
    }
    #expect(kept > 0 && kept < calls.count)
  }
}
