import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// `verify tearing` on the running kernel, which has no NVMe: XFS in software, ordinary writes, and
/// what is refused.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostTearingTests {
  private static func verify(_ arguments: String...) throws -> (Tool, [String: Any]) {
    let tool = try Tool(["verify", "tearing"] + arguments + ["--json"])
    let checker = try Checker.schema("[" + tool.output + "]")
    #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
    return (tool, try tool.json())
  }

  private static func sizes(_ document: [String: Any]) throws -> [[String: Any]] {
    try #require(document["sizes"] as? [[String: Any]])
  }

  private static func number(_ document: [String: Any], _ key: String) -> Int {
    (document[key] as? NSNumber)?.intValue ?? -1
  }

  private func withFile(_ place: String, _ body: (String) throws -> Void) throws {
    let file = try HostRig.makeFile("\(place)/\(UUID().uuidString)", byteCount: 32 << 20)
    defer { try? FileManager.default.removeItem(atPath: file) }
    try body(file)
  }

  /// Each size that the kernel takes, and a control; what was seen adds up.
  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func softwareIsTriedAndPromisesNothing() throws {
    try withFile("xfs") { file in
      let (tool, document) = try Self.verify(file, "--runtime", "100ms")
      #expect(tool.status == 2, "\(tool.errors)\(document["because"] ?? "")")
      #expect(document["result"] as? String == "not-promised")
      #expect(
        document["self_check"] as? [String: Bool] == ["in_memory": true, "on_target": true]
      )
      let sizes = try Self.sizes(document)
      let path = sizes.filter { $0["control"] is NSNull }
      #expect(path.count >= 3)
      #expect(path.map { Self.number($0, "bytes") }.first == 4096)
      #expect(path.allSatisfy { $0["promised"] as? String == "no" })
      #expect(sizes.last?["control"] as? String == "several-commands")
      for size in sizes {
        let whole = Self.number(size, "saw_old") + Self.number(size, "saw_new")
        let torn = Self.number(size, "torn") + Self.number(size, "damaged")
        let other = Self.number(size, "stale") + Self.number(size, "foreign")
        #expect(whole + torn + other == Self.number(size, "reads"), "\(size)")
        #expect(Self.number(size, "overlapped_reads") <= Self.number(size, "reads"))
        // Where XFS moves blocks a read may meet what takes their old place: seen on Linux 7.3.
        #expect(other == 0 || size["promised"] as? String == "no")
      }
      let small = try #require(path.first)
      #expect(Self.number(small, "writes") > 0 && Self.number(small, "overlapped_reads") > 0)
      #expect(Self.number(small, "saw_new") > 0 && Self.number(small, "torn") == 0)
    }
  }

  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func onlyTheRangeIsOverwritten() throws {
    try withFile("xfs") { file in
      let (tool, document) = try Self.verify(
        file,
        "--range",
        "1m:1m",
        "--block-size",
        "16k",
        "--block-size",
        "64k",
        "--runtime",
        "100ms"
      )
      #expect(tool.status == 2)
      #expect(try Self.sizes(document).map { Self.number($0, "bytes") } == [16384, 65536])
      let bytes = try HostRig.contents(file)
      #expect(bytes.count == 32 << 20)
      #expect(bytes[..<(1 << 20)].allSatisfy { $0 == 0x5a })
      #expect(bytes[(1 << 20) + (128 << 10)..<(32 << 20)].allSatisfy { $0 == 0x5a })
      // Each block begins with its magic.
      let blocks = stride(from: 1 << 20, to: (1 << 20) + (128 << 10), by: 512)
      #expect(
        blocks.allSatisfy { String(decoding: bytes[$0..<$0 + 8], as: UTF8.self) == "nvatomV1" }
      )
    }
  }

  /// Ordinary writes on a loop device: they are seen torn or not, and neither is an answer.
  @Test func ordinaryWritesToALoopDeviceAreNeverAYes() throws {
    let device = try ScratchDevice(32 << 20)
    let (tool, document) = try Self.verify(device.path, "--path", "plain", "--runtime", "100ms")
    #expect(tool.status == 2, "\(tool.errors)")
    #expect(document["result"] as? String == "inconclusive")
    let sizes = try Self.sizes(document)
    #expect(sizes.first.map { Self.number($0, "bytes") } == 512)
    #expect(sizes.allSatisfy { Self.number($0, "stale") == 0 && Self.number($0, "foreign") == 0 })
    let torn = sizes.contains {
      $0["control"] is NSNull && Self.number($0, "torn") + Self.number($0, "damaged") > 0
    }
    let because = document["because"] as? String ?? ""
    #expect(because.contains("is not known") && because.contains("were seen torn") == torn)
  }

  @Test func aNewFileIsMadeAndNamed() throws {
    let file = HostRig.path("ext4/\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(atPath: file) }
    let (tool, _) = try Self.verify(
      file,
      "--size",
      "1m",
      "--path",
      "plain",
      "--block-size",
      "4k",
      "--runtime",
      "50ms"
    )
    #expect(tool.status == 2, "\(tool.errors)")
    #expect(try HostRig.contents(file).count == 1 << 20)
  }

  @Test func whatIsRefusedIsNotWrittenTo() throws {
    let mounted = try HostRig.device("ext4")
    let signed = try HostRig.device("free")
    let spare = try HostRig.device("spare")
    let tmpfs = try HostRig.makeFile("tmpfs/\(UUID().uuidString)", byteCount: 1 << 20)
    let small = try HostRig.makeFile("ext4/\(UUID().uuidString)", byteCount: 4096)
    defer { for file in [tmpfs, small] { try? FileManager.default.removeItem(atPath: file) } }
    for (arguments, code) in [
      ([mounted, "--path", "plain"], "busy"), ([signed, "--path", "plain"], "refused"),
      ([spare], "unsupported"), ([tmpfs], "unsupported"),
      ([tmpfs, "--path", "plain"], "unsupported"),
      ([spare, "--path", "passthrough"], "unsupported"),
      ([small, "--path", "plain", "--block-size", "8k"], "exceeds-limit"),
      ([small, "--path", "plain", "--range", "0:8k"], "exceeds-limit"),
      (["/nonexistent"], "not-found"),
      ([small, "--size", "8k"], "refused"),
    ] as [([String], String)] {
      let tool = try Tool(["verify", "tearing"] + arguments + ["--json", "--runtime", "20ms"])
      #expect(tool.status == 2, "\(arguments) \(tool.errors)\(tool.output)")
      #expect(tool.errors.filter { $0 == "\n" }.count == 1)
      let error = try tool.json()["error"] as? [String: Any]
      #expect(error?["code"] as? String == code, "\(arguments) \(tool.errors)")
      #expect(error?["outcome"] as? String == "not-written")
    }
    #expect(try HostRig.contents(tmpfs).allSatisfy { $0 == 0x5a })
  }

  /// The kernel would cut a write short that ends beyond the limit.
  @Test func aFileSizeLimitIsARefusal() throws {
    try withFile("ext4") { file in
      let options = "--path plain --block-size 64k --runtime 20ms --json"
      let command = "ulimit -f 128; exec '\(Tool.path)' verify tearing '\(file)' \(options)"
      let tool = try Tool(program: "/bin/sh", ["-c", command])
      #expect(tool.status == 2 && tool.errors.contains("file size limit"), "\(tool.errors)")
      #expect(try HostRig.contents(file).allSatisfy { $0 == 0x5a })
    }
  }

  @Test(arguments: ["INT", "TERM"])
  func aSignalEndsItWithWhatWasSeen(signal: String) throws {
    try withFile("ext4") { file in
      let tool = try Tool(
        program: "/usr/bin/timeout",
        [
          "--preserve-status", "-k", "20", "-s", signal, "1", Tool.path, "verify", "tearing", file,
          "--path",
          "plain", "--runtime", "60s", "--json",
        ]
      )
      #expect(tool.status == 130, "\(tool.errors)")
      let document = try tool.json()
      #expect(document["interrupted"] as? Bool == true)
      #expect(document["result"] as? String == "inconclusive")
      let sizes = try Self.sizes(document)
      #expect(sizes.count == 1)
      #expect(Self.number(sizes[0], "reads") > 0)
    }
  }

  /// A kernel that fails reads in the middle: what was seen is told, and the outcome is unknown.
  @Test func aFailureInTheMiddleIsTold() throws {
    try withFile("ext4") { file in
      let tool = try TracedTool.run(
        ["verify", "tearing", file, "--path", "plain", "--runtime", "5s", "--json"],
        injecting: ["pread64:error=EIO:when=40"]
      )
      #expect(tool.status == 3, "\(tool.errors)")
      #expect(tool.errors.contains("could not be read"))
      let document = try tool.json()
      #expect((document["error"] as? [String: Any])?["outcome"] as? String == "unknown")
      #expect(try !Self.sizes(document).isEmpty)
    }
  }
}
