import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// `write` as a load, on the running kernel: XFS in software.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here")
)
struct HostLoadTests {
  private static let fill: UInt8 = 0x5a

  private func withFile(byteCount: Int, _ body: (String) throws -> Void) throws {
    let name = "xfs/\(UUID().uuidString)"
    let file = try HostRig.makeFile(name, byteCount: byteCount, fill: Self.fill)
    defer { try? FileManager.default.removeItem(atPath: file) }
    try body(file)
  }

  private func load(_ file: String, _ options: String...) throws -> [String: Any] {
    let tool = try Tool(["write", file, "--json"] + options)
    #expect(tool.status == 0, "\(tool.errors)")
    let document = try tool.json()
    #expect(document["format"] as? String == "nvme-atomic-write/1")
    return document
  }

  private func number(_ document: [String: Any], _ key: String) -> Int? {
    (document[key] as? NSNumber)?.intValue
  }

  /// Which write each block holds, by its stamps; `nil` for what was never written.
  private func stamps(_ file: String, block: Int) throws -> [Int?] {
    let bytes = try HostRig.contents(file)
    func word(_ offset: Int) -> Int {
      (0..<8).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
    return stride(from: 0, to: bytes.count, by: block).map { start in
      if bytes[start..<start + block].allSatisfy({ $0 == Self.fill }) { return nil }
      let pieces = stride(from: start, to: start + block, by: 4096)
      #expect(pieces.allSatisfy { word($0) == word(start) }, "a torn block at \(start)")
      #expect(pieces.allSatisfy { word($0 + 8) == $0 }, "a stamp of elsewhere at \(start)")
      return word(start)
    }
  }

  @Test(arguments: ["sync", "io_uring"], ["none", "each", "end"])
  func aSequentialLoadGoesRoundAndLeavesTheLastOfEach(engine: String, durable: String) throws {
    try withFile(byteCount: 24 * 8192) { file in
      let depth = engine == "sync" ? "1" : "8"
      let document = try load(
        file,
        "--block-size",
        "8k",
        "--count",
        "50",
        "--pattern",
        "sequential",
        "--range",
        "16k:128k",
        "--engine",
        engine,
        "--queue-depth",
        depth,
        "--durable",
        durable
      )
      #expect(number(document, "operations") == 50)
      #expect(number(document, "bytes") == 50 * 8192)
      #expect(document["durable"] as? Bool == (durable != "none"))
      #expect(document["error"] is NSNull)
      // Blocks 2 to 17 are written, three times and a bit; nothing else is.
      let expected: [Int?] = (0..<24).map { block in
        (2..<18).contains(block) ? (block < 4 ? 48 : 32) + block - 2 : nil
      }
      #expect(try stamps(file, block: 8192) == expected)
    }
  }

  @Test(arguments: [("sync", 1, 1), ("sync", 1, 3), ("io_uring", 32, 1), ("io_uring", 5, 2)])
  func aRandomLoadComesAgainByItsSeed(engine: String, depth: Int, threads: Int) throws {
    var seen: [[Int?]] = []
    for _ in 0..<2 {
      try withFile(byteCount: 64 * 16384) { file in
        let document = try load(
          file,
          "--block-size",
          "16k",
          "--count",
          "100",
          "--seed",
          "7",
          "--engine",
          engine,
          "--queue-depth",
          "\(depth)",
          "--threads",
          "\(threads)"
        )
        #expect(number(document, "operations") == 100)
        seen.append(try stamps(file, block: 16384))
      }
    }
    #expect(seen[0] == seen[1])
    let written = seen[0].compactMap(\.self)
    #expect(written.count > 32 && Set(written).count == written.count)
    #expect(written.allSatisfy { $0 < 100 })
  }

  @Test func theTimeEndsALoad() throws {
    try withFile(byteCount: 1 << 20) { file in
      let document = try load(file, "--block-size", "16k", "--runtime", "300ms")
      let seconds = try #require((document["elapsed_seconds"] as? NSNumber)?.doubleValue)
      #expect(seconds >= 0.3)
      #expect(try #require(number(document, "operations")) > 0)
      #expect(document["interrupted"] as? Bool == false)
    }
  }

  @Test func aPlainLoadClaimsNothing() throws {
    try withFile(byteCount: 1 << 20) { file in
      let document = try load(
        file,
        "--block-size",
        "12k",
        "--count",
        "20",
        "--path",
        "plain"
      )
      #expect(document["path"] as? String == "plain")
      #expect(document["power_fail_atomic"] as? String == "no")
      #expect(document["backing"] is NSNull)
      #expect(
        (document["paths"] as? [String: Int])
          == ["kernel": 0, "passthrough": 0, "plain": 20, "journal": 0]
      )
    }
  }

  @Test(arguments: ["INT", "TERM"])
  func aSignalEndsItWithWhatWasDone(signal: String) throws {
    try withFile(byteCount: 1 << 20) { file in
      let tool = try Tool(
        program: "/usr/bin/timeout",
        [
          "--preserve-status", "-s", signal, "0.5", Tool.path, "write", file, "--block-size",
          "16k", "--runtime", "60s",
          "--json",
        ]
      )
      #expect(tool.status == 130, "\(tool.errors)")
      let document = try tool.json()
      #expect(document["interrupted"] as? Bool == true)
      #expect(try #require(number(document, "operations")) > 0)
    }
  }

  /// The limit of file sizes would shorten a write; it ends the load before, with what was done.
  @Test func aFailureInTheMiddleTellsWhatWasDone() throws {
    try withFile(byteCount: 1 << 20) { file in
      let command =
        "ulimit -f 1024; exec '\(Tool.path)' write '\(file)' --block-size 16k --count 50 "
        + "--pattern sequential --json"
      let tool = try Tool(program: "/bin/sh", ["-c", command])
      // 2 would say that nothing was written.
      #expect(tool.status == 3)
      #expect(tool.errors.contains("at 524288"))
      #expect(tool.errors.contains("this write was not done, and 32 others were"))
      let document = try tool.json()
      #expect(number(document, "operations") == 32)
      #expect((document["error"] as? [String: Any])?["outcome"] as? String == "unknown")
      let checker = try Checker.schema("[" + tool.output + "]")
      #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
      #expect(try stamps(file, block: 16384).compactMap(\.self) == Array(0..<32))
    }
  }

  @Test func whatIsRefusedWritesNothing() throws {
    try withFile(byteCount: 1 << 20) { file in
      for options in [
        ["--block-size", "12k", "--count", "1"],
        ["--block-size", "16k", "--count", "1", "--range", "0:2m"],
        ["--block-size", "512", "--count", "1"],
        ["--block-size", "1m", "--count", "1", "--threads", "2"],
      ] {
        let tool = try Tool(["write", file, "--path", "kernel"] + options)
        #expect(tool.status == 2, "\(options)")
        #expect(tool.errors.filter { $0 == "\n" }.count == 1)
      }
      #expect(try HostRig.contents(file).allSatisfy { $0 == Self.fill })
    }
  }

  /// Software atomic writes go elsewhere first: at least once to the device, and not a zero.
  @Test func whatReachedTheDeviceIsCountedOrNotKnown() throws {
    try withFile(byteCount: 4 << 20) { file in
      let document = try load(file, "--block-size", "16k", "--count", "400", "--durable", "end")
      if let bytes = number(document, "device_bytes_written") {
        #expect(bytes >= 400 * 16384)
        let factor = try #require((document["write_amplification"] as? NSNumber)?.doubleValue)
        #expect(factor >= 1 && factor < 10)
      } else {
        #expect(document["write_amplification"] is NSNull)
      }
    }
  }
}
