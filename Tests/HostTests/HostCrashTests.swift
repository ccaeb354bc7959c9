import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// `verify crash` on the running kernel: workloads that are killed, and what is made of them.
///
/// No power is cut here: what one leaves is put there by the test.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostCrashTests {
  private func with(_ folder: String, _ body: (CrashPlace) throws -> Void) throws {
    try CrashPlace.with(folder, body)
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
      #expect(CrashPlace.codes(document).contains("control-not-torn"))
      #expect(tool.errors.contains("inconclusive"))
      #expect(CrashPlace.found(document, "whole") > 0)
      try place.tearControl(document)
      // Nothing else is in the way, but that a loop device is not one drive.
      let (_, torn) = try place.check("--same-boot")
      #expect(CrashPlace.codes(torn) == ["control-of-several-commands"])
      #expect(CrashPlace.found(torn, "whole") == CrashPlace.found(document, "whole"))
      // Nobody says that the power was cut.
      let (same, document2) = try place.check()
      #expect(same.status == 2 && CrashPlace.codes(document2).contains("same-boot"))
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
      #expect(CrashPlace.found(document, "torn") == 1)
      let damage = try #require((document["damage"] as? [[String: Any]])?.first)
      #expect(damage["offset"] as? Int == written)
      try place.change(at: written, [UInt8](repeating: 0, count: 16384))
      let (lost, lostDocument) = try place.check("--same-boot")
      #expect(lost.status == 1 && CrashPlace.found(lostDocument, "lost") == 1)
      try place.change(at: written, [UInt8](repeating: 7, count: 16384))
      let (damaged, damagedDocument) = try place.check("--same-boot")
      #expect(damaged.status == 1 && CrashPlace.found(damagedDocument, "damaged") == 1)
      try place.change(at: written, Array(bytes[written..<written + 16384]))
      let (_, after) = try place.check("--same-boot")
      #expect(CrashPlace.found(after, "whole") == CrashPlace.found(before, "whole"))
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
      #expect(CrashPlace.codes(document).contains("plain"))
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

  /// A later workload that was ended while it made the range blank has not let the drive lose what
  /// an earlier one wrote.
  @Test(arguments: ["plain", "journal"])
  func aLaterRunThatHadHardlyBegunIsSeen(path: String) throws {
    try with("ext4") { place in
      try place.runAndKill("--path", path)
      let later = place.log + ".later"
      defer { try? FileManager.default.removeItem(atPath: later) }
      // The control and superblocks come first; then one of its slots is written at once, or 64.
      let stop = "pwritev2:signal=KILL:when=\(path == "plain" ? 40 : 10)"
      let killed = try TracedTool.run(
        ["verify", "crash", place.target, "--log", later, "--path", path, "--count", "1"],
        injecting: [stop]
      )
      #expect(killed.status != 0)
      #expect(try Data(contentsOf: URL(fileURLWithPath: later)).isEmpty, "it had begun")
      let tool = try Tool(
        ["verify", "crash", place.target, "--check", "--log", place.log, "--same-boot"]
      )
      // Its journal had the first of its slots alone, and was recovered before that was seen.
      #expect(tool.status == (path == "journal" ? 3 : 2), "\(tool.output)\(tool.errors)")
      #expect(tool.errors.contains("its blocks are of run"))
      #expect(tool.errors.contains("of its journal are in place now") == (path == "journal"))
    }
  }

  /// A write to what lies in pieces is several commands.
  @Test func piecesOfTheControlAreSeen() throws {
    let file = HostRig.path("btrfs/\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(atPath: file) }
    let plan = CrashPlan(
      run: 1,
      path: .plain,
      isDurable: true,
      offsetBytes: 0,
      slotBytes: 65_536,
      slots: 1,
      stampBytes: 512,
      ranges: 1,
      threads: 1,
      seed: 1,
      controlBytes: 1 << 20,
      controls: 2
    )
    let fill = "oflag=direct conv=notrunc,fsync status=none"
    func write(_ size: String, at seek: Int) throws {
      _ = try shell("dd if=/dev/urandom of=\(file) bs=\(size) count=1 seek=\(seek) \(fill)")
    }
    #expect(!plan.controlIsInOnePiece(ofFile: file))
    for place in 0..<34 { try write("64k", at: place) }
    for place in [1, 17] { try write("1M oflag=seek_bytes", at: place << 16) }
    #expect(plan.controlIsInOnePiece(ofFile: file))
    try write("4k", at: (17 << 4) + 3)
    #expect(!plan.controlIsInOnePiece(ofFile: file))
  }

  @Test func aDamagedLogIsNeverAYes() throws {
    try with("ext4") { place in
      try place.runAndKill("--path", "journal")
      let (_, document) = try place.check("--same-boot")
      try place.tearControl(document)
      #expect(CrashPlace.codes(try place.check("--same-boot").1) == ["control-of-several-commands"])
      var lines = try place.logLines.map(String.init)
      lines.remove(at: 7)
      try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: place.log))
      let (tool, harmed) = try place.check("--same-boot")
      #expect(tool.status == 2 && CrashPlace.codes(harmed).contains("log-damaged"))
      #expect(CrashPlace.codes(harmed).contains("log-cut"))
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
