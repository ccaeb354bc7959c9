import Foundation
import NVMeAtomic
import Testing

/// Programs that are killed, at any time and at each system call that changes something: all of a
/// transaction is there or nothing, and all of one that was acknowledged.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalKillTests {
  #if DEBUG
  static let (rounds, step) = (20, 3)
  #else
  static let (rounds, step) = (40, 1)
  #endif

  /// What changes files, and then every so many others.
  private static func sample(_ calls: [TracedTool.Call]) -> [TracedTool.Call] {
    let names = [
      "io_uring_setup", "io_uring_enter", "pwritev2", "pwrite64", "fsync", "fdatasync", "fsetxattr",
      "fremovexattr", "linkat", "unlink", "fallocate", "fchown", "fchmod", "fcntl",
    ]
    let changing = calls.withoutZeros.filter { names.contains($0.name) }
    let others = calls.filter { !names.contains($0.name) }
    return changing.enumerated().filter { $0.offset % step == 0 }.map(\.element)
      + others.enumerated().filter { $0.offset % (97 * step) == 0 }.map(\.element)
  }

  /// The version that is there once whoever comes next has opened the file.
  private func versionAfterRecovery(_ file: VersionedFile, _ round: Int) throws -> UInt8? {
    switch round % 3 {
    case 0:
      let tool = try Tool("recover", file.file.path, "--json")
      #expect(tool.status == 0, "\(tool.errors)")
    case 1: try file.file.target().close()
    default:
      // Another path recovers first, whatever becomes of its write.
      let page = HostRig.path("tmpfs/version-page")
      try Data(count: 512).write(to: URL(fileURLWithPath: page))
      let tool = try Tool(
        ["write", file.file.path, "--path", "plain", "--at", "40k", "--input", page]
      )
      #expect(tool.status == 0 || tool.status == 2, "\(tool.errors)")
      if tool.status == 0 {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file.file.path))
        try handle.seek(toOffset: 40 << 10)
        try handle.write(contentsOf: Data(repeating: 0x5a, count: 512))
        try handle.close()
      }
    }
    return try file.version()
  }

  @Test(arguments: JournalledFile.filesystems)
  func aProgramThatIsKilledAtAnyTime(on filesystem: String) throws {
    let file = try VersionedFile(on: filesystem)
    var (current, killed, finished, kept) = (UInt8(0), 0, 0, 0)
    for round in 1...Self.rounds {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: Tool.path)
      process.arguments = try file.arguments(UInt8(round))
      process.standardOutput = FileHandle.nullDevice
      try process.run()
      usleep(UInt32.random(in: 8000...40_000))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      let isDone = process.terminationReason == .exit
      if isDone { #expect(process.terminationStatus == 0) }
      let version = try versionAfterRecovery(file, round)
      let seen = try #require(version, "round \(round): a mix of versions")
      #expect(seen == UInt8(round) || !isDone && seen == current, "round \(round): \(seen)")
      (killed, finished) = (killed + (isDone ? 0 : 1), finished + (isDone ? 1 : 0))
      kept += !isDone && seen == UInt8(round) ? 1 : 0
      current = seen
    }
    print("\(filesystem): \(killed) killed, \(kept) of them after the commit, \(finished) finished")
  }

  @Test(arguments: [[], [TracedTool.withoutRing]])
  func aProgramThatIsKilledAtEachSystemCall(faults: [String]) throws {
    let file = try VersionedFile(on: "xfs")
    let calls = try TracedTool.calls(of: file.arguments(1), injecting: faults)
    #expect(calls.contains { $0.name == "io_uring_enter" } == faults.isEmpty)
    var (current, kept) = (UInt8(1), 0)
    #expect(try file.version() == 1)
    for (round, call) in Self.sample(calls).enumerated() {
      let next = UInt8(2 + round % 200)
      let tool = try TracedTool.run(
        file.arguments(next),
        injecting: faults + [call.killing]
      )
      let version = try versionAfterRecovery(file, round)
      let seen = try #require(version, "\(call): a mix of versions")
      #expect(seen == next || tool.status != 0 && seen == current, "\(call): \(seen)")
      kept += tool.status != 0 && seen == next ? 1 : 0
      current = seen
    }
    #expect(kept > 0 || Self.step > 1)
    print("\(calls.count) calls, \(Self.sample(calls).count) killed, \(kept) after the commit")
  }

  /// The first transaction of a file makes its journal: that is there, marked, or nothing is.
  @Test func aProgramThatIsKilledAsItMakesTheJournal() throws {
    let first = try VersionedFile(journalBytes: nil)
    let calls = try TracedTool.calls(of: first.arguments(1))
    #expect(try first.version() == 1)
    #expect(calls.contains { $0.name == "linkat" } && calls.contains { $0.name == "fsetxattr" })
    let interesting = Self.sample(calls).filter {
      ["fsync", "linkat", "fsetxattr", "fchmod", "fallocate", "io_uring_enter"].contains($0.name)
    }
    for (round, call) in interesting.enumerated() {
      let file = try VersionedFile(journalBytes: nil)
      let tool = try TracedTool.run(file.arguments(1), injecting: [call.killing])
      let version = try versionAfterRecovery(file, round)
      let seen = try #require(version, "\(call): a mix of versions")
      #expect(seen == 1 || tool.status != 0 && seen == 0, "\(call): \(seen)")
      let again = try Tool(file.arguments(2))
      #expect(again.status == 0, "\(call): \(again.errors)")
      #expect(try file.version() == 2)
    }
  }

  /// Recovery is cut off at each system call, and several times over.
  @Test(arguments: [[], [TracedTool.withoutRing]])
  func recoveryThatIsKilled(faults: [String]) throws {
    let file = try VersionedFile(on: "ext4")
    let transactions = (1...5).map { VersionedFile.pieces($0) }
    try file.file.leave(transactions)
    let live = try file.file.image()
    let arguments = ["recover", file.file.path, "--json"]
    let calls = try TracedTool.calls(of: arguments, injecting: faults)
    #expect(try file.version() == 5)
    let sample = Self.sample(calls).enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
    var cut = 0
    for call in sample {
      try file.file.restore(live)
      _ = try TracedTool.run(arguments, injecting: faults + [call.killing])
      cut += try file.file.recover(dryRun: true)?.wasInUse == true ? 1 : 0
      // Once more, a little later and a little earlier.
      for number in [call.number + 1, max(1, call.number - 1)] {
        let other = TracedTool.Call(name: call.name, number: number)
        _ = try TracedTool.run(arguments, injecting: faults + [other.killing])
      }
      #expect(try Tool(arguments).status == 0)
      #expect(try file.version() == 5, "\(call)")
    }
    #expect(cut > 0)
    print("\(calls.count) calls of recovery, \(sample.count) killed, \(cut) cut off")
  }

  /// A load by blocks of 64 KiB, each with a stamp in every 4096 bytes: none is a mix of two.
  @Test(arguments: JournalledFile.filesystems, ["io_uring", "sync"])
  func aLoadThatIsKilledTearsNoBlock(on filesystem: String, engine: String) throws {
    let file = try JournalledFile(4 << 20, fill: 0, on: filesystem, journalBytes: 2 << 20)
    var load = ["write", file.path, "--path", "journal", "--block-size", "64k", "--runtime", "20s"]
    load += ["--engine", engine] + (engine == "sync" ? [] : ["--queue-depth", "8"])
    var (replayed, round) = (UInt64(0), 0)
    // One that is killed before its first record has left nothing to replay.
    while round < max(4, Self.rounds / 12) || replayed == 0 && round < 60 {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: Tool.path)
      process.arguments = load + ["--seed", "\(round)"]
      process.standardOutput = FileHandle.nullDevice
      let before = modified(file.journal)
      try process.run()
      for _ in 0..<1000 where modified(file.journal) == before { usleep(5000) }
      usleep(UInt32.random(in: 0...60_000))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      replayed += try file.recover()?.transactions ?? 0
      let contents = try file.contents
      for block in stride(from: 0, to: contents.count, by: 64 << 10) {
        let stamps = Set(
          stride(from: block, to: block + (64 << 10), by: 4096).map {
            Array(contents[$0..<$0 + 8])
          }
        )
        #expect(stamps.count == 1, "round \(round): the block at \(block) is torn")
      }
      round += 1
    }
    #expect(replayed > 0, "\(round) rounds")
  }

  private func modified(_ path: String) -> Date? {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
  }
}
