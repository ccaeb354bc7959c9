import Foundation
import NVMeAtomic
import Testing

/// System calls that fail: one line, the exit code that says what is known, and never a part of a
/// transaction.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalFaultTests {
  #if DEBUG
  static let step = 2
  #else
  static let step = 1
  #endif

  private static let failing = [
    "io_uring_enter", "pwritev2", "pwrite64", "preadv2", "pread64", "fsync", "fdatasync",
    "fsetxattr", "fgetxattr", "linkat", "fallocate", "fchmod", "fcntl",
  ]

  private func sample(_ calls: [TracedTool.Call]) -> [TracedTool.Call] {
    calls.withoutZeros.filter { Self.failing.contains($0.name) }
      .enumerated().filter { $0.offset % Self.step == 0 }.map(\.element)
  }

  /// What the exit code promises.
  private func check(_ tool: Tool, _ what: String) throws {
    if tool.status == 0 { return }
    #expect(tool.errors.split(separator: "\n").count == 1, "\(what): \(tool.errors)")
    #expect(tool.errors.hasPrefix("nvme-atomic: "), "\(what): \(tool.errors)")
    let failure = try tool.failure()
    #expect(
      failure.count == 2 && (tool.status == 2 && failure[1] == "not-written")
        || tool.status == 3 && failure[1] == "unknown",
      "\(what): \(tool.status) \(failure)"
    )
  }

  @Test(arguments: [[], [TracedTool.withoutRing]], ["EIO", "ENOSPC"])
  func aTransactionWithACallThatFails(faults: [String], errno: String) throws {
    let file = try VersionedFile(on: errno == "EIO" ? "xfs" : "ext4")
    let calls = sample(try TracedTool.calls(of: file.arguments(1), injecting: faults))
    var (current, statuses) = (UInt8(1), [Int32: Int]())
    for (round, call) in calls.enumerated() {
      let next = UInt8(2 + round % 200)
      let tool = try TracedTool.run(
        file.arguments(next) + ["--json"],
        injecting: faults + [call.failing(with: errno)]
      )
      try check(tool, "\(call) \(errno)")
      statuses[tool.status, default: 0] += 1
      try file.file.recover()
      let seen = try #require(try file.version(), "\(call): a mix of versions")
      switch tool.status {
      case 0: #expect(seen == next, "\(call)")
      case 2: #expect(seen == current, "\(call): it says not written, and was: \(tool.errors)")
      case 3: #expect(seen == next || seen == current, "\(call)")
      default: Issue.record("\(call) \(errno): exit \(tool.status), \(tool.errors)")
      }
      current = seen
    }
    // The program is not lost for that.
    #expect(try Tool(file.arguments(250)).status == 0)
    #expect(try file.version() == 250)
    #expect(statuses[3, default: 0] > 0 && statuses[2, default: 0] > 0, "\(statuses)")
    print("\(calls.count) calls with \(errno): exit codes \(statuses)")
  }

  /// More than one record, more than memory keeps, and edges that are read twice.
  @Test(arguments: ["EIO", "ENOSPC"])
  func aLongTransactionWithACallThatFails(errno: String) throws {
    let file = try JournalledFile(100, on: "ext4", journalBytes: 32 << 20)
    let input = HostRig.path("ext4/long-\(errno)")
    defer { try? FileManager.default.removeItem(atPath: input) }
    let arguments = [
      "write", file.path, "--path", "journal", "--at", "5", "--input", input, "--json",
    ]
    func contents(_ version: UInt8) -> [UInt8] {
      [UInt8](repeating: 0x5a, count: 5) + [UInt8](repeating: version, count: 9_500_000)
    }
    func prepare(_ version: UInt8) throws {
      try Data(contents(version).dropFirst(5)).write(to: URL(fileURLWithPath: input))
    }
    try prepare(1)
    let calls = try TracedTool.calls(of: arguments).filter { Self.failing.contains($0.name) }
    var (current, statuses) = (UInt8(1), [Int32: Int]())
    for (round, call) in calls.enumerated() where round % (2 * Self.step) == 0 {
      let next = UInt8(2 + round % 200)
      try prepare(next)
      let tool = try TracedTool.run(arguments, injecting: [call.failing(with: errno)])
      try check(tool, "\(call) \(errno)")
      statuses[tool.status, default: 0] += 1
      try file.recover()
      let bytes = try file.contents
      let seen = bytes[5]
      #expect(bytes == contents(seen), "\(call): a mix")
      switch tool.status {
      case 0: #expect(seen == next, "\(call)")
      case 2: #expect(seen == current, "\(call): it says not written, and was: \(tool.errors)")
      default: #expect(seen == next || seen == current, "\(call)")
      }
      current = seen
    }
    print("\(calls.count) calls of a long one with \(errno): exit codes \(statuses)")
  }

  /// A journal that could not be made leaves nothing behind, and the next attempt makes it.
  @Test(arguments: ["EIO", "ENOSPC", "EPERM"])
  func aJournalThatCannotBeMade(errno: String) throws {
    let first = try VersionedFile(journalBytes: nil)
    let all = try TracedTool.calls(of: first.arguments(1))
    #expect(all.contains { $0.name == "linkat" } && all.contains { $0.name == "fsetxattr" })
    let calls = sample(all)
      .filter { !$0.name.hasPrefix("pread") && $0.name != "io_uring_enter" }
    for call in calls {
      let file = try VersionedFile(journalBytes: nil)
      let tool = try TracedTool.run(
        file.arguments(1) + ["--json"],
        injecting: [call.failing(with: errno)]
      )
      try check(tool, "\(call) \(errno)")
      try file.file.recover()
      let seen = try #require(try file.version(), "\(call): a mix of versions")
      #expect(tool.status == 3 || seen == (tool.status == 0 ? 1 : 0), "\(call)")
      let isNamed = FileManager.default.fileExists(atPath: file.file.journal)
      // A later fallocate is for the file.
      if ["fallocate", "linkat", "fchmod"].contains(call.name), call.number == 1,
        tool.status != 0
      {
        #expect(!isNamed, "\(call) has left a journal behind")
      }
      let again = try Tool(file.arguments(2))
      #expect(again.status == 0, "\(call): \(again.errors)")
      #expect(try file.version() == 2)
    }
  }

  /// Whatever fails in recovery, the journal is there for another one.
  @Test(arguments: [[], [TracedTool.withoutRing]])
  func aRecoveryWithACallThatFails(faults: [String]) throws {
    let file = try VersionedFile(on: "ext4")
    try file.file.leave((1...4).map { VersionedFile.pieces($0) })
    let live = try file.file.image()
    let arguments = ["recover", file.file.path, "--json"]
    let calls = sample(try TracedTool.calls(of: arguments, injecting: faults))
    #expect(try file.version() == 4)
    var failed = 0
    for call in calls {
      try file.file.restore(live)
      let tool = try TracedTool.run(arguments, injecting: faults + [call.failing(with: "EIO")])
      try check(tool, "\(call)")
      failed += tool.status == 0 ? 0 : 1
      if tool.status == 2 {
        #expect(try file.file.contents == live.target, "\(call): \(tool.errors)")
      }
      #expect(try Tool(arguments).status == 0)
      #expect(try file.version() == 4, "\(call)")
    }
    #expect(failed > calls.count / 3)
    print("\(calls.count) calls of recovery, \(failed) failed it")
  }

  /// What cannot have a ring writes by system calls.
  @Test func withoutARingThereAreSystemCalls() throws {
    let file = try VersionedFile(on: "ext4")
    for errno in ["ENOSYS", "EPERM", "ENOMEM"] {
      let version = UInt8(errno.count)
      let calls = try TracedTool.calls(
        of: file.arguments(version),
        injecting: ["io_uring_setup:error=\(errno)"]
      )
      #expect(!calls.contains { $0.name == "io_uring_enter" })
      #expect(calls.contains { $0.name == "pwritev2" })
      #expect(calls.contains { $0.name == "fdatasync" || $0.name == "fsync" })
      #expect(try file.version() == version)
      #expect(try file.file.recover()?.wasInUse == false)
    }
    let load = try TracedTool.run(
      ["write", file.file.path, "--path", "journal", "--block-size", "4k", "--count", "100"],
      injecting: [TracedTool.withoutRing]
    )
    #expect(load.status == 0, "\(load.errors)")
  }
}
