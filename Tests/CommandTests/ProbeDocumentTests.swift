import Foundation
import NVMeAtomic
import SystemPackage
import TestSupport
import Testing

@testable import nvme_atomic

/// The contract of `nvme-atomic-probe/1`: every key, in this order, whatever is known.
@Suite struct ProbeDocumentTests {
  private static let target = [
    "path", "kind", "nvme", "device_limits", "namespaces", "queue", "statx", "filesystem", "stack",
    "paths", "torn_free_bytes", "findings", "answer", "documented",
  ]

  /// By the path of keys that leads there; elements of arrays go by `[]`.
  private static let contract: [String: [String]] = [
    "nvme": ["controller", "namespace", "write_atomicity_normal"],
    "nvme.controller": [
      "name", "model", "serial", "firmware", "awun", "awupf", "acwu", "mdts", "vwc",
    ],
    "nvme.namespace": [
      "nsid", "nsfeat", "flbas", "lba_size", "metadata_size", "nawun", "nawupf", "nacwu", "nabsn",
      "nabo", "nabspf", "ntwpu", "ntwpg", "ntwpb",
    ],
    "nvme.write_atomicity_normal": ["dn"],
    "device_limits": [
      "normal_bytes", "normal_boundary_bytes", "power_fail_bytes", "power_fail_boundary_bytes",
      "boundary_offset_bytes", "normal_source", "power_fail_source", "max_transfer_bytes",
    ],
    "queue": [
      "atomic_write_unit_min_bytes", "atomic_write_unit_max_bytes", "atomic_write_max_bytes",
      "atomic_write_boundary_bytes", "logical_block_size", "physical_block_size",
      "max_sectors_kb", "max_hw_sectors_kb",
    ],
    "statx": [
      "atomic_write_unit_min", "atomic_write_unit_max", "atomic_write_unit_max_opt",
      "atomic_write_segments_max", "dio_mem_align", "dio_offset_align",
    ],
    "filesystem": ["type", "block_size", "reflink", "exchange_range"],
    "stack.[]": ["id", "parents", "device", "kind", "start_bytes"],
    "paths": ["kernel", "passthrough", "exchange", "journal"],
    "paths.kernel": [
      "available", "min_bytes", "max_bytes", "hardware_max_bytes", "software_max_bytes",
      "boundary_bytes", "backing", "reason",
    ],
    "paths.passthrough": [
      "available", "max_bytes", "granule_bytes", "boundary_bytes", "boundary_offset_bytes",
      "reason",
    ],
    "paths.exchange": ["available", "reason"],
    "paths.journal": ["available", "reason"],
    "findings.[]": ["code", "severity", "layer", "message", "remedy"],
    "answer": ["page_size", "writer", "atomic", "path", "because"],
    "documented": ["provider", "product", "sizes_bytes", "conditions", "source"],
  ]

  private static let question = Question(.everyPage(sizeBytes: 16384), writer: .rwfAtomic)

  /// With nothing readable, with nothing but the first look at the path, and so on to everything.
  private static func harmedReports(_ target: FixtureTarget) -> [TargetReport] {
    let machine = FixtureMachine(target.world)
    _ = TargetProbe.report(on: target.path, machine)
    return machine.calls.indices.map { index in
      TargetProbe.report(
        on: target.path,
        answering: question,
        FixtureMachine(target.world, fault: .callsFrom(index, .ioError))
      )
    }
  }

  @Test(arguments: FixtureTarget.all)
  func everyKeyIsPresentInOrder(target: FixtureTarget) {
    check(target.report(answering: Self.question))
  }

  @Test(arguments: FixtureTarget.kinds)
  func everyKeyIsPresentWhenFactsAreMissing(target: FixtureTarget) {
    for report in Self.harmedReports(target) { check(report) }
  }

  private func check(_ report: TargetReport) {
    let document = ProbeJSON(kernelRelease: nil, targets: [report]).document
    #expect(
      keys(document) == ["format", "tool_version", "kernel_release", "targets"]
    )
    guard case .array(let targets)? = value(document, "targets"), let only = targets.first else {
      Issue.record("There is no target.")
      return
    }
    if report.error != nil {
      #expect(keys(only) == ["path", "kind", "error"])
      #expect(keys(value(only, "error") ?? .null) == ["code", "message", "remedy"])
    } else {
      #expect(keys(only) == Self.target)
      check(only, at: "")
    }
  }

  /// Keys may be added, so the contract's must come in its order among others.
  private func check(_ json: JSONValue, at path: String) {
    switch json {
    case .object(let pairs):
      if let expected = Self.contract[path] {
        #expect(pairs.map(\.key).filter(expected.contains) == expected, "\(path)")
      }
      for (key, value) in pairs { check(value, at: path.isEmpty ? key : "\(path).\(key)") }
    case .array(let values):
      for value in values { check(value, at: "\(path).[]") }
    default: break
    }
  }

  private func keys(_ json: JSONValue) -> [String] {
    if case .object(let pairs) = json { pairs.map(\.key) } else { [] }
  }

  private func value(_ json: JSONValue, _ key: String) -> JSONValue? {
    if case .object(let pairs) = json { pairs.first { $0.key == key }?.value } else { nil }
  }

  /// What other programs' parsers make of it.
  @Test(arguments: FixtureTarget.all)
  func documentParses(target: FixtureTarget) throws {
    for report in [target.report(answering: Self.question)] + Self.harmedReports(target).prefix(2) {
      let text = ProbeJSON(kernelRelease: "7.3", targets: [report]).document.rendered
      let parsed = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
      let document = try #require(parsed)
      #expect(document["format"] as? String == "nvme-atomic-probe/1")
      #expect(document["kernel_release"] as? String == "7.3")
      let only = try #require((document["targets"] as? [[String: Any]])?.first)
      #expect(only["path"] as? String == target.path)
      #expect(only["torn_free_bytes"] as? UInt64 == Self.tornFree(report))
      #expect((only["findings"] as? [Any])?.count ?? 0 == report.findings.count)
      #expect((only["error"] != nil) == (report.error != nil))
    }
  }

  private static func tornFree(_ report: TargetReport) -> UInt64? {
    report.error == nil ? report.limits.tornFreeBytes : nil
  }

  @Test func strangeNamesSurvive() throws {
    let path = "/mnt/\"q\\\u{1}\u{7f}é🦊\n"
    var target = FixtureTarget.namespace("", .linux7_3, FixtureDrive { $0.model = "A\"\\B" })
    target.world.addLink(path, to: "/dev/nvme0n1")
    target.path = path
    let text = ProbeJSON(kernelRelease: "6\"", targets: [target.report()]).document.rendered
    let document = try #require(
      try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
    )
    let only = try #require((document["targets"] as? [[String: Any]])?.first)
    #expect(only["path"] as? String == path)
    let nvme = try #require(only["nvme"] as? [String: Any])
    #expect((nvme["controller"] as? [String: Any])?["model"] as? String == "A\"\\B")
    #expect(document["kernel_release"] as? String == "6\"")
  }

  /// Without root, sysfs still names the drive.
  @Test func modelComesFromSysfsWhenTheDriveIsNotAsked() throws {
    let target = FixtureTarget.namespace("")
    let machine = FixtureMachine(target.world, fault: .everyOpen(.permissionDenied))
    let report = TargetProbe.report(on: target.path, machine)
    let text = ProbeJSON(kernelRelease: nil, targets: [report]).document.rendered
    #expect(text.contains(#""model": "Fixture A""#))
    #expect(text.contains(#""awupf": null"#))
    #expect(text.contains(#""device_limits": null"#))
    #expect(text.contains(#""torn_free_bytes": null"#))
  }
}
