import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// Every block device of the machine that the tests run on.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostFleetTests {
  /// Its own list, from the same kernel.
  private static func lsblk() throws -> Set<String> {
    let tool = try Tool(program: "/usr/bin/lsblk", ["--noempty", "--noheadings", "-lpo", "KNAME"])
    #expect(tool.status == 0, "\(tool.errors)")
    return Set(tool.output.split(separator: "\n").map(String.init))
  }

  private static func paths(_ document: [String: Any]) -> [String] {
    (document["targets"] as? [[String: Any]] ?? []).compactMap { $0["path"] as? String }
  }

  @Test func theListIsThatOfLsblk() throws {
    let listed = try Probe().blockDevices()
    #expect(Set(listed) == (try Self.lsblk()))
    #expect(listed.count == Set(listed).count)
    for name in ["xfs", "ext4", "free"] {
      #expect(listed.contains(try HostRig.device(name)))
    }
  }

  @Test func everyDeviceIsAnEntry() throws {
    let tool = try Tool("probe", "--all", "--json")
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(Self.paths(try tool.json()) == (try Probe().blockDevices()))
  }

  @Test func aQuestionIsAnsweredForEach() throws {
    let tool = try Tool("probe", "--all", "--json", "--page-size", "16k", "--writer", "buffered")
    #expect(tool.status == 1, "\(tool.errors)")
    let targets = try tool.json()["targets"] as? [[String: Any]] ?? []
    #expect(!targets.isEmpty)
    for target in targets {
      #expect((target["answer"] as? [String: Any])?["atomic"] as? Bool == false)
    }
  }

  @Test func targetsBesideAllAreWrongUsage() throws {
    #expect(try Tool("probe", "--all", "/dev/null").status == 64)
  }

  /// Without sysfs there is no list, which is a failure and not an empty machine.
  @Test func withoutSysfsThereIsNoAnswer() throws {
    let command = "mount -t tmpfs none /sys && exec '\(Tool.path)' probe --all --json"
    let tool = try Tool(program: "/usr/bin/unshare", ["--mount", "/bin/sh", "-c", command])
    #expect(tool.status == 2, "\(tool.errors)")
    let document = try tool.json()
    #expect(document["format"] as? String == "nvme-atomic-probe/1")
    #expect((document["error"] as? [String: Any])?["code"] as? String == "io")
    #expect(tool.errors.contains("/sys/class/block cannot be read"))
  }

  @Test func aMachineWithoutDevicesSaysSo() throws {
    let command = """
      mount -t tmpfs none /sys && mkdir -p /sys/class/block && exec '\(Tool.path)' probe --all
      """
    let tool = try Tool(program: "/usr/bin/unshare", ["--mount", "/bin/sh", "-c", command])
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(tool.output == "This machine has no block device that holds anything.\n")
  }

  /// Docs/Costs.md has the figure; this is the limit.
  @Test func sixtyFourDevicesCostLessThanHalfASecond() throws {
    let script = """
      set -e; folder=$(mktemp -d); devices=()
      trap 'for device in "${devices[@]}"; do losetup -d "$device"; done; rm -rf "$folder"' EXIT
      for number in $(seq 64); do
        truncate -s 1M "$folder/$number"
        devices+=("$(losetup --find --show "$folder/$number")")
      done
      '\(Tool.path)' probe --all --json | grep -c '"path": "/dev/loop'
      TIMEFORMAT=%U
      for run in 1 2 3; do time '\(Tool.path)' probe --all --json >/dev/null; done
      """
    let tool = try Tool(program: "/bin/bash", ["-c", script])
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(Int(tool.output.prefix { $0.isNumber }) ?? 0 >= 64, "\(tool.output)")
    let seconds = tool.errors.split(separator: "\n").compactMap { Double($0) }
    #expect(seconds.count == 3, "\(tool.errors)")
    #expect(seconds.min() ?? 1 < 0.5)
  }

  /// What the program writes here, good and bad, keeps the published schemas.
  @Test(.enabled(if: Checker.hasSchemaValidator, "python3-jsonschema is not here: run Tests/run"))
  func everyDocumentKeepsItsSchema() throws {
    let file = try HostRig.makeFile("xfs/schema", byteCount: 64 << 10)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let page = try HostRig.makeFile("tmpfs/schema", byteCount: 16 << 10)
    let (xfs, tmpfs, device) = (HostRig.path("xfs"), HostRig.path("tmpfs"), "/dev/null")
    let probes: [[String]] = [
      ["--all"], [file, xfs, tmpfs, HostRig.path("ext4"), device, "/nonexistent"],
      [file, "--page-size", "16k", "--writer", "rwf-atomic"],
      [file, "--at", "16k", "--length", "16k", "--writer", "direct"],
      [file, "--output", "/nonexistent/x"], [file, "--output", device],
    ]
    let writes: [[String]] = [
      [file, "--at", "16k"], [file, "--at", "16k", "--explain", "--durable", "none"],
      [file, "--at", "1"], [device, "--at", "0"], [try HostRig.device("free"), "--at", "0"],
    ]
    try Self.expectValid(probes.map { try Tool(["probe"] + $0 + ["--json"]).output })
    try Self.expectValid(
      writes.map { try Tool(["write"] + $0 + ["--input", page, "--json"]).output },
      spoiling: true
    )
    let loads: [[String]] = [
      ["--block-size", "16k", "--count", "3"],
      ["--block-size", "12k", "--count", "2", "--path", "plain", "--explain"],
    ]
    try Self.expectValid(
      loads.map { try Tool(["write", file, "--json"] + $0).output },
      spoiling: true
    )
  }

  private static func expectValid(_ documents: [String], spoiling: Bool = false) throws {
    let text = "[" + documents.joined(separator: ",") + "]"
    let checker = try Checker.schema(text, spoiling: spoiling)
    #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
    #expect(checker.output == "\(documents.count) documents\n")
  }
}
