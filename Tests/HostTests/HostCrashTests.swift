import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// `verify crash` on the running kernel: workloads that are killed, and what is made of them.
///
/// No power is cut here: what one leaves is put there by the test.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostCrashTests {
  /// A file to write to, and a log that lies elsewhere.
  private struct Place {
    let target: String
    let log = HostRig.path("tmpfs/\(UUID().uuidString).log")

    init(_ folder: String) {
      target = HostRig.path("\(folder)/\(UUID().uuidString)")
    }

    func remove() {
      for file in [target, log, target + ".nvme-atomic-journal"] {
        try? FileManager.default.removeItem(atPath: file)
      }
    }

    /// Goes on until so many lines are there, and is killed.
    func runAndKill(_ options: String..., lines: Int = 40) throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: Tool.path)
      process.arguments =
        ["verify", "crash", target, "--log", log, "--size", "8m", "--seed", "5"] + options
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      let end = Date() + 60
      while Date() < end, process.isRunning, (try? logLines.count) ?? 0 <= lines {
        Thread.sleep(forTimeInterval: 0.01)
      }
      #expect(process.isRunning, "it ended by itself")
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      #expect(try logLines.count > lines)
    }

    var logLines: [Substring] {
      get throws { try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n") }
    }

    func check(_ options: String...) throws -> (Tool, [String: Any]) {
      let tool = try Tool(
        ["verify", "crash", target, "--check", "--log", log, "--json"] + options
      )
      let checker = try Checker.schema("[" + tool.output + "]")
      #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
      return (tool, try tool.json())
    }

    /// Half of one of the control's writes is another one's, as a power cut may leave it.
    func tearControl(_ document: [String: Any]) throws {
      let workload = try #require(document["workload"] as? [String: Any])
      func number(_ key: String) -> Int { (workload[key] as? NSNumber)?.intValue ?? 0 }
      let start = number("offset") + number("blocks") * number("block_size")
      let file = try #require(FileHandle(forUpdatingAtPath: target))
      try file.seek(toOffset: UInt64(start))
      try file.write(contentsOf: Data(count: number("control_size") / 2))
      try file.synchronize()
      try file.close()
    }

    func change(at offset: Int, _ bytes: [UInt8]) throws {
      let file = try #require(FileHandle(forUpdatingAtPath: target))
      try file.seek(toOffset: UInt64(offset))
      try file.write(contentsOf: Data(bytes))
      try file.synchronize()
      try file.close()
    }
  }

  private func with(_ folder: String, _ body: (Place) throws -> Void) throws {
    let place = Place(folder)
    defer { place.remove() }
    try body(place)
  }

  private static func found(_ document: [String: Any], _ key: String) -> Int {
    ((document["found"] as? [String: Any])?[key] as? NSNumber)?.intValue ?? -1
  }

  private static func codes(_ document: [String: Any]) -> [String] {
    (document["findings"] as? [[String: Any]] ?? []).compactMap { $0["code"] as? String }
  }

  /// By each path nothing is wrong after a workload that was killed.
  @Test(
    .enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"),
    arguments: [("xfs", "kernel"), ("ext4", "journal")] as [(String, String)]
  )
  func aKilledWorkloadIsWhole(folder: String, path: String) throws {
    try with(folder) { place in
      try place.runAndKill("--path", path, "--threads", "2")
      let (tool, document) = try place.check("--same-boot")
      #expect(tool.status == 2, "\(tool.errors)")
      #expect(document["verdict"] as? String == "inconclusive")
      #expect(Self.codes(document).contains("control-not-torn"))
      #expect(tool.errors.contains("inconclusive"))
      #expect(Self.found(document, "whole") > 0)
      try place.tearControl(document)
      // Nothing else is in the way, but that a loop device is not one drive.
      let (_, torn) = try place.check("--same-boot")
      #expect(Self.codes(torn) == ["control-of-several-commands"])
      #expect(Self.found(torn, "whole") == Self.found(document, "whole"))
      // Nobody says that the power was cut.
      let (same, document2) = try place.check()
      #expect(same.status == 2 && Self.codes(document2).contains("same-boot"))
    }
  }

  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func whatIsTornOrLostOrDamagedIsFound() throws {
    try with("xfs") { place in
      try place.runAndKill("--path", "kernel", lines: 300)
      let (_, before) = try place.check("--same-boot")
      let bytes = try HostRig.contents(place.target)
      let blocks = stride(from: 0, to: 5 << 20, by: 16384)
      let written = try #require(blocks.first { bytes[$0] != 0 })
      // The second half is blank: torn, and what was acknowledged there is lost as well.
      try place.change(at: written + 8192, [UInt8](repeating: 0, count: 8192))
      let (torn, document) = try place.check("--same-boot")
      #expect(torn.status == 1 && document["verdict"] as? String == "damaged")
      #expect(Self.found(document, "torn") == 1)
      let damage = try #require((document["damage"] as? [[String: Any]])?.first)
      #expect(damage["offset"] as? Int == written)
      try place.change(at: written, [UInt8](repeating: 0, count: 16384))
      let (lost, lostDocument) = try place.check("--same-boot")
      #expect(lost.status == 1 && Self.found(lostDocument, "lost") == 1)
      try place.change(at: written, [UInt8](repeating: 7, count: 16384))
      let (damaged, damagedDocument) = try place.check("--same-boot")
      #expect(damaged.status == 1 && Self.found(damagedDocument, "damaged") == 1)
      try place.change(at: written, Array(bytes[written..<written + 16384]))
      let (_, after) = try place.check("--same-boot")
      #expect(Self.found(after, "whole") == Self.found(before, "whole"))
    }
  }

  /// A file that was made anew, another one, an older run's log, and a log that is none.
  @Test func whatIsNotTheTargetIsRefused() throws {
    try with("ext4") { place in
      try place.runAndKill("--path", "plain", lines: 5)
      let copy = place.target + ".copy"
      defer { try? FileManager.default.removeItem(atPath: copy) }
      try FileManager.default.copyItem(atPath: place.target, toPath: copy)
      func refusal(_ target: String, _ log: String) throws -> String {
        let tool = try Tool(
          ["verify", "crash", target, "--check", "--log", log, "--same-boot", "--json"]
        )
        #expect(tool.status == 2, "\(tool.errors)")
        #expect(tool.errors.filter { $0 == "\n" }.count == 1)
        #expect(
          (try tool.json()["error"] as? [String: Any])?["outcome"] as? String == "not-written"
        )
        return tool.errors
      }
      #expect(try refusal(copy, place.log).contains("it is not what the log is of"))
      let old = place.log + ".old"
      try FileManager.default.moveItem(atPath: place.log, toPath: old)
      defer { try? FileManager.default.removeItem(atPath: old) }
      try place.runAndKill("--path", "plain", lines: 200)
      #expect(try refusal(place.target, old).contains("its blocks are of run"))
      let (_, document) = try place.check("--same-boot")
      #expect(Self.codes(document).contains("plain"))
      try Data().write(to: URL(fileURLWithPath: old))
      #expect(try refusal(place.target, old).contains("the log is empty"))
      try Data("hello\n".utf8).write(to: URL(fileURLWithPath: old))
      #expect(try refusal(place.target, old).contains("no log of verify crash"))
      try FileManager.default.removeItem(atPath: place.target)
      #expect(try refusal(place.target, place.log).contains("no such file"))
    }
  }

  /// Not even the control is written over a journal on the same device.
  @Test func theJournalIsNotWrittenOver() throws {
    let device = try ScratchDevice(64 << 20)
    let region = ["--journal-region", "60m:4m"]
    let made = try Tool(["journal", "init", device.path, "--overwrite-existing-data"] + region)
    #expect(made.status == 0, "\(made.errors)")
    let before = try shell("tail -c 4m \(device.path) | sha256sum")
    let log = HostRig.path("tmpfs/\(UUID().uuidString).log")
    defer { try? FileManager.default.removeItem(atPath: log) }
    let options = [
      "verify", "crash", device.path, "--path", "journal", "--log", log, "--count", "20",
      "--overwrite-existing-data",
    ]
    let refused = try Tool(options + region)
    #expect(refused.status == 2, "\(refused.errors)")
    #expect(refused.errors.contains("journal"))
    #expect(try shell("tail -c 4m \(device.path) | sha256sum") == before)
    let beside = try Tool(options + region + ["--range", "0:60m"])
    #expect(beside.status == 0, "\(beside.errors)")
  }

  /// What is being written looks torn and lost.
  @Test(arguments: ["plain", "journal"])
  func whatIsBeingWrittenIsNotChecked(path: String) throws {
    try with("ext4") { place in
      let process = Process()
      process.executableURL = URL(fileURLWithPath: Tool.path)
      process.arguments = [
        "verify", "crash", place.target, "--log", place.log, "--size", "8m", "--path", path,
      ]
      process.standardOutput = FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
      try process.run()
      defer {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
      }
      let end = Date() + 60
      while Date() < end, (try? place.logLines.count) ?? 0 <= 40 {
        Thread.sleep(forTimeInterval: 0.01)
      }
      let tool = try Tool(
        ["verify", "crash", place.target, "--check", "--log", place.log, "--same-boot", "--json"]
      )
      #expect(tool.status == 2, "\(tool.output)\(tool.errors)")
      #expect(try tool.failure().last == "not-written")
    }
  }

  @Test func aDamagedLogIsNeverAYes() throws {
    try with("ext4") { place in
      try place.runAndKill("--path", "journal")
      let (_, document) = try place.check("--same-boot")
      try place.tearControl(document)
      #expect(Self.codes(try place.check("--same-boot").1) == ["control-of-several-commands"])
      var lines = try place.logLines.map(String.init)
      lines.remove(at: 7)
      try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: place.log))
      let (tool, harmed) = try place.check("--same-boot")
      #expect(tool.status == 2 && Self.codes(harmed).contains("log-damaged"))
      #expect(Self.codes(harmed).contains("log-cut"))
    }
  }

  /// The log by a connection; it goes on until the other side is gone.
  @Test func theLogMayBeSentElsewhere() throws {
    try with("ext4") { place in
      let port = UInt16.random(in: 20_000...30_000)
      let listener = Process()
      listener.executableURL = URL(fileURLWithPath: Tool.path)
      listener.arguments = ["verify", "crash", "--listen", "\(port)", "--log", place.log]
      listener.standardOutput = FileHandle.nullDevice
      try listener.run()
      defer { kill(listener.processIdentifier, SIGKILL) }
      let end = Date() + 20
      while Date() < end, !FileManager.default.fileExists(atPath: place.log) {
        Thread.sleep(forTimeInterval: 0.01)
      }
      let options = ["verify", "crash", place.target, "--log", "tcp:127.0.0.1:\(port)", "--json"]
      let run = try Tool(options + ["--size", "8m", "--path", "plain", "--count", "50"])
      #expect(run.status == 0, "\(run.errors)")
      listener.waitUntilExit()
      #expect(listener.terminationStatus == 0)
      #expect(try place.logLines.count == 52)
      let (_, document) = try place.check("--same-boot")
      #expect(document["operations_acknowledged"] as? Int == 50)
      #expect(document["ended_by_itself"] as? Bool == true)
      #expect(Self.codes(document).contains("run-had-ended"))
      // Nobody listens any more.
      let refused = try Tool(options + ["--count", "5"])
      #expect(refused.status == 2, "\(refused.errors)")
      #expect(refused.errors.contains("let the other machine listen first"))
    }
  }

  /// The listener is killed amid the workload, which says so, with an outcome that is unknown.
  @Test func aLogThatGoesAwayEndsTheWorkload() throws {
    try with("ext4") { place in
      let port = UInt16.random(in: 20_000...30_000)
      let listener = Process()
      listener.executableURL = URL(fileURLWithPath: Tool.path)
      listener.arguments = ["verify", "crash", "--listen", "\(port)", "--log", place.log]
      listener.standardOutput = FileHandle.nullDevice
      try listener.run()
      let pid = listener.processIdentifier
      let end = Date() + 60
      while Date() < end, !FileManager.default.fileExists(atPath: place.log) {
        Thread.sleep(forTimeInterval: 0.01)
      }
      let log = place.log
      Thread.detachNewThread {
        while Date() < end, ((try? Data(contentsOf: URL(fileURLWithPath: log)).count) ?? 0) < 2000 {
          Thread.sleep(forTimeInterval: 0.01)
        }
        kill(pid, SIGKILL)
      }
      let tool = try Tool(
        "verify",
        "crash",
        place.target,
        "--size",
        "8m",
        "--path",
        "plain",
        "--log",
        "tcp:127.0.0.1:\(port)",
        "--runtime",
        "60s",
        "--json"
      )
      #expect(tool.status == 3, "\(tool.errors)")
      #expect(tool.errors.contains("the log takes no more"))
      let document = try tool.json()
      #expect((document["error"] as? [String: Any])?["outcome"] as? String == "unknown")
      #expect(document["operations"] as? Int ?? 0 > 0)
      listener.waitUntilExit()
    }
  }

  @Test func whatIsRefusedLeavesNothing() throws {
    try with("ext4") { place in
      func refused(_ arguments: [String], _ text: String) throws {
        let tool = try Tool(["verify", "crash"] + arguments + ["--count", "1"])
        #expect(tool.status == 2, "\(tool.errors)")
        #expect(tool.errors.contains(text), "\(tool.errors)")
        #expect(tool.errors.filter { $0 == "\n" }.count == 1)
        #expect(!FileManager.default.fileExists(atPath: place.target))
      }
      let same = place.target + ".log"
      try refused([place.target, "--size", "8m", "--log", same], "would lie on what is under test")
      #expect(!FileManager.default.fileExists(atPath: same))
      try refused(
        [place.target, "--size", "8m", "--log", place.log, "--range", "0:9m"],
        "the range ends at"
      )
      try refused(
        [place.target, "--size", "8m", "--log", place.log, "--block-size", "8m"],
        "the range has room for"
      )
      #expect(!FileManager.default.fileExists(atPath: place.log))
      try Data().write(to: URL(fileURLWithPath: place.log))
      try refused([place.target, "--size", "8m", "--log", place.log], "the log is there already")
      try refused([try HostRig.device("ext4"), "--log", "/proc/x", "--path", "plain"], "/proc/x")
      // Only when it is opened is it seen to be in use: the log was made, and goes.
      let other = place.log + ".other"
      try refused([try HostRig.device("ext4"), "--log", other, "--path", "plain"], "in use")
      #expect(!FileManager.default.fileExists(atPath: other))
    }
  }

  @Test func aSignalEndsItWithItsResults() throws {
    try with("ext4") { place in
      let process = Process()
      process.executableURL = URL(fileURLWithPath: Tool.path)
      process.arguments = [
        "verify", "crash", place.target, "--log", place.log, "--size", "8m", "--json",
      ]
      let output = Pipe()
      process.standardOutput = output
      process.standardError = FileHandle.nullDevice
      try process.run()
      let end = Date() + 60
      while Date() < end, process.isRunning, (try? place.logLines.count) ?? 0 <= 10 {
        Thread.sleep(forTimeInterval: 0.01)
      }
      kill(process.processIdentifier, SIGINT)
      process.waitUntilExit()
      #expect(process.terminationStatus == 130)
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      #expect(text.contains("\"interrupted\": true"))
      #expect(try place.logLines.last?.hasPrefix("ended ") == true)
    }
  }

  @Test func theSimulationNeedsNeitherRootNorADrive() throws {
    let tool = try Tool("verify", "crash", "--simulate", "--seed", "3", "--json")
    #expect(tool.status == 0, "\(tool.errors)\(tool.output)")
    let checker = try Checker.schema("[" + tool.output + "]", spoiling: true)
    #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
    #expect(try tool.json()["verdict"] as? String == "whole")
    #expect(
      try Tool("verify", "crash", "--simulate", "--seed", "3", "--json").output == tool.output
    )
  }
}
