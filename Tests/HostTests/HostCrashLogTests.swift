import Foundation
import TestSupport
import Testing

/// `verify crash` whose log goes to another machine, which is this one.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostCrashLogTests {
  /// `verify crash --listen` that goes on until it is ended.
  private final class Listener {
    let process = Process()
    let port = UInt16.random(in: 20_000...30_000)
    private let errors = Pipe()

    init(_ place: CrashPlace) throws {
      process.executableURL = URL(fileURLWithPath: Tool.path)
      process.arguments = ["verify", "crash", "--listen", "\(port)", "--log", place.log]
      process.standardOutput = FileHandle.nullDevice
      process.standardError = errors
      try process.run()
      // It is made once the port is taken.
      let end = Date() + 60
      while Date() < end, process.isRunning, !FileManager.default.fileExists(atPath: place.log) {
        Thread.sleep(forTimeInterval: 0.01)
      }
    }

    deinit {
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    /// What it says on standard error, once it has ended.
    func wait() -> String {
      process.waitUntilExit()
      return String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    }

    /// Somebody who connects, and sends no log.
    func stranger(_ script: String) throws -> Process {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/bash")
      process.arguments = ["-c", "exec 3<>/dev/tcp/127.0.0.1/\(port); \(script)"]
      try process.run()
      return process
    }
  }

  /// Its connection is not the first one, and the others send something else, or nothing.
  @Test func theLogMayBeSentElsewhere() throws {
    try CrashPlace.with("ext4") { place in
      let listener = try Listener(place)
      let lasting = try ["exec sleep 60", "echo -n '{\"form' >&3; exec sleep 60"]
        .map(listener.stranger)
      defer {
        for process in lasting {
          kill(process.processIdentifier, SIGKILL)
          process.waitUntilExit()
        }
      }
      for script in ["echo GET / >&3", "echo -n '{\"form' >&3", "true"] {
        try listener.stranger(script).waitUntilExit()
      }
      let log = "tcp:127.0.0.1:\(listener.port)"
      let options = ["verify", "crash", place.target, "--log", log, "--json"]
      let run = try Tool(options + ["--size", "8m", "--path", "plain", "--count", "50"])
      #expect(run.status == 0, "\(run.errors)")
      #expect(CrashPlace.codes(try run.json()).contains("log-on-this-machine"))
      #expect(listener.wait() == "")
      #expect(listener.process.terminationStatus == 0)
      #expect(try place.logLines.count == 52)
      let (_, document) = try place.check("--same-boot")
      #expect(document["operations_acknowledged"] as? Int == 50)
      #expect(document["ended_by_itself"] as? Bool == true)
      #expect(CrashPlace.codes(document).contains("run-had-ended"))
      // Nobody listens any more.
      let refused = try Tool(options + ["--count", "5"])
      #expect(refused.status == 2, "\(refused.errors)")
      #expect(refused.errors.contains("let the other machine listen first"))
    }
  }

  @Test func aListenerThatHearsNothingSaysSo() throws {
    try CrashPlace.with("ext4") { place in
      let listener = try Listener(place)
      try listener.stranger("echo hello >&3").waitUntilExit()
      kill(listener.process.processIdentifier, SIGINT)
      #expect(listener.wait().contains("nothing has come by port"))
      #expect(listener.process.terminationStatus == 2)
      #expect(!FileManager.default.fileExists(atPath: place.log))
    }
  }

  /// The listener is killed amid the workload, which says so, with an outcome that is unknown.
  @Test func aLogThatGoesAwayEndsTheWorkload() throws {
    try CrashPlace.with("ext4") { place in
      let listener = try Listener(place)
      let (pid, log, end) = (listener.process.processIdentifier, place.log, Date() + 60)
      Thread.detachNewThread {
        while Date() < end, ((try? Data(contentsOf: URL(fileURLWithPath: log)).count) ?? 0) < 2000 {
          Thread.sleep(forTimeInterval: 0.01)
        }
        kill(pid, SIGKILL)
      }
      let tool = try Tool(
        [
          "verify", "crash", place.target, "--size", "8m", "--path", "plain", "--log",
          "tcp:127.0.0.1:\(listener.port)", "--runtime", "60s", "--json",
        ]
      )
      #expect(tool.status == 3, "\(tool.errors)")
      #expect(tool.errors.contains("the log takes no more"))
      let document = try tool.json()
      #expect((document["error"] as? [String: Any])?["outcome"] as? String == "unknown")
      #expect(document["operations"] as? Int ?? 0 > 0)
      _ = listener.wait()
    }
  }

  /// What never ends is no log.
  @Test func aLogWithoutEndIsNone() throws {
    try CrashPlace.with("ext4") { place in
      try Data(count: 1 << 20).write(to: URL(fileURLWithPath: place.target))
      let tool = try Tool("verify", "crash", place.target, "--check", "--log", "/dev/zero")
      #expect(tool.status == 2, "\(tool.output)")
      #expect(tool.errors.contains("no log of verify crash"))
    }
  }
}
