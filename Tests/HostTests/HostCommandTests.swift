import Foundation
import Testing

/// The program as a stranger would call it.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostCommandTests {
  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func aWriteFromStandardInputLands() throws {
    let file = try HostRig.makeFile("xfs/command", byteCount: 64 << 10)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let bytes = [UInt8](repeating: 0xc3, count: 16 << 10)
    let tool = try Tool("write", file, "--at", "16k", "--input", "-", "--json", input: bytes)
    #expect(tool.status == 0, "\(tool.errors)")
    let document = try tool.json()
    #expect(document["format"] as? String == "nvme-atomic-write/1")
    #expect(document["path"] as? String == "kernel")
    #expect(document["power_fail_atomic"] as? String == "yes")
    #expect(document["durable"] as? Bool == true)
    #expect(document["untorn_for_readers"] as? String == "no")
    #expect(try Array(HostRig.contents(file)[16384..<32768]) == bytes)
    #expect(try HostRig.contents(file)[..<16384].allSatisfy { $0 == 0x5a })
  }

  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func theWriterDecidesTheAnswer() throws {
    let file = try HostRig.makeFile("xfs/answer", byteCount: 64 << 10)
    defer { try? FileManager.default.removeItem(atPath: file) }
    #expect(try Tool("probe", file, "--page-size", "16k", "--writer", "rwf-atomic").status == 0)
    #expect(try Tool("probe", file, "--page-size", "16k", "--writer", "direct").status == 1)
    #expect(try Tool("probe", file, "--page-size", "16k").status == 1)
    #expect(try Tool("probe", file, "--page-size", "16k", "--writer", "buffered").status == 1)
    #expect(
      try Tool("probe", file, "--at", "8k", "--length", "16k", "--writer", "rwf-atomic").status == 1
    )
  }

  /// Beyond `RLIMIT_FSIZE` the kernel cuts an atomic write short and writes the rest of it: torn.
  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func aFileSizeLimitIsARefusalAndNeverATornWrite() throws {
    let file = try HostRig.makeFile("xfs/limited", byteCount: 64 << 10)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let page = try HostRig.makeFile("tmpfs/page", byteCount: 16 << 10, fill: 0x11)
    // In blocks of 512 bytes: 12 KiB.
    let command = "ulimit -f 24; exec '\(Tool.path)' write '\(file)' --at 0 --input '\(page)'"
    let tool = try Tool(program: "/bin/sh", ["-c", command])
    #expect(tool.status == 2, "\(tool.errors)")
    #expect(tool.errors.contains("file size limit"))
    #expect(try HostRig.contents(file).allSatisfy { $0 == 0x5a })
  }

  /// The kernel takes a ring down when it likes: the file that it has registered stays open.
  @Test func aDeviceIsFreeOnceTheProgramHasEnded() throws {
    let device = try HostRig.device("spare")
    let load = "--path plain --block-size 16k --count 100 --engine io_uring --queue-depth 16"
    for round in 0..<10 {
      let options = (load + " --durable each --json").split(separator: " ").map(String.init)
      let tool = try Tool(["write", device] + options)
      #expect(tool.status == 0, "round \(round): \(tool.errors)")
    }
  }

  @Test func refusalsAreOneLineAndExitTwo() throws {
    let file = try HostRig.makeFile("ext4/refused", byteCount: 4096)
    defer { try? FileManager.default.removeItem(atPath: file) }
    for arguments in [
      ["probe", "/nonexistent"], ["probe", "/dev/null"],
      ["write", file, "--at", "0", "--input", "/etc/hostname", "--path", "kernel"],
      ["write", "/nonexistent", "--at", "0", "--input", "/etc/hostname"],
      ["write", file, "--at", "0", "--input", "/nonexistent"],
    ] {
      let tool = try Tool(arguments)
      #expect(tool.status == 2, "\(arguments)")
      #expect(tool.errors.split(separator: "\n").count == 1, "\(tool.errors)")
      #expect(tool.errors.hasPrefix("nvme-atomic: "))
    }
  }

  @Test func withJSONTheFailureIsADocumentToo() throws {
    let tool = try Tool("write", "/nonexistent", "--at", "0", "--input", "-", "--json")
    #expect(tool.status == 2)
    let error = try tool.json()["error"] as? [String: Any]
    #expect(error?["code"] as? String == "not-found")
    #expect(error?["outcome"] as? String == "not-written")
    #expect(error?["remedy"] as? String != nil)
  }

  @Test func wrongUsageExits64() throws {
    for arguments in [
      ["probe"], ["write"], ["probe", "/", "--at", "0"], ["probe", "/", "--page-size", "x"], ["no"],
    ] {
      #expect(try Tool(arguments).status == 64, "\(arguments)")
    }
  }
}
