import NVMeAtomic
import SystemPackage
import TestSupport
import Testing

@testable import nvme_atomic

/// Whole outputs of `probe`, as JSON and as text.
@Suite struct ProbeGoldenTests {
  struct Row: Sendable, CustomStringConvertible {
    var target: String
    var question: Question?
    var fault: FixtureFault?
    var suffix = ""

    var description: String { target + suffix }

    func report() throws -> TargetReport {
      let target = try #require(FixtureTarget.named(target))
      let machine = FixtureMachine(target.world, fault: fault)
      return TargetProbe.report(on: target.path, answering: question, machine)
    }
  }

  private static func page(_ size: UInt64, _ writer: Writer) -> Question {
    Question(.everyPage(sizeBytes: size), writer: writer)
  }

  private static let range = Question(
    .one(offsetBytes: 16384, lengthBytes: 16384),
    writer: .rwfAtomic
  )

  static let rows = [
    Row(target: "namespace", question: page(16384, .direct)),
    Row(target: "namespace-4k-cached", question: page(65536, .rwfAtomic)),
    Row(
      target: "namespace-4k-cached",
      fault: .everyOpen(.permissionDenied),
      suffix: "-without-permission"
    ),
    Row(
      target: "namespace-4k-cached",
      question: page(16384, .rwfAtomic),
      fault: .denied(nodes: ["/dev/nvme0n1"], features: ["a", "6"]),
      suffix: "-by-generic-node"
    ),
    Row(target: "namespace-boundary-offset"),
    Row(
      target: "partition-misaligned",
      question: Question(.one(offsetBytes: 8192, lengthBytes: 8192), writer: .direct)
    ),
    Row(target: "controller-cached"),
    Row(target: "generic"),
    Row(target: "ext4-partition", question: page(16384, .rwfAtomic)),
    Row(target: "xfs", question: page(1 << 20, .rwfAtomic)),
    Row(target: "xfs", question: range, suffix: "-range"),
    Row(target: "xfs-fragmented", question: range, suffix: "-range"),
    Row(target: "dm", question: page(4096, .direct)),
    Row(target: "directory-tmpfs", question: page(4096, .buffered)),
    Row(target: "amazon-volume-nomerges", question: page(16384, .direct)),
    Row(target: "azure-volume", question: page(16384, .rwfAtomic)),
    Row(target: "missing", question: page(4096, .direct)),
  ]

  @Test(arguments: rows)
  func documentIsAsRecorded(row: Row) throws {
    let document = ProbeJSON(kernelRelease: "7.3.4", targets: [try row.report()]).document
    let text = document.rendered.replacing(
      "\"tool_version\": \"\(NVMeAtomicCommand.version)\"",
      with: "\"tool_version\": \"VERSION\""
    )
    try Snapshot.check(text, "probe-\(row).json")
  }

  @Test(arguments: rows)
  func textIsAsRecorded(row: Row) throws {
    let lines = ProbeText(report: try row.report()).lines
    #expect(!lines.contains { $0.contains { $0.isNewline } || $0.last?.isWhitespace == true })
    try Snapshot.check(lines.joined(separator: "\n"), "probe-\(row).txt")
  }
}
