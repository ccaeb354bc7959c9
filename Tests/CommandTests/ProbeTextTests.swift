import NVMeAtomic
import SystemPackage
import TestSupport
import Testing

@testable import nvme_atomic

@Suite struct ProbeTextTests {
  /// Unharmed, and with every call failing in turn.
  @Test(arguments: FixtureTarget.kinds)
  func everyLineIsOneLine(target: FixtureTarget) {
    let question = Question(.everyPage(sizeBytes: 4096), writer: .direct)
    let machine = FixtureMachine(target.world)
    _ = TargetProbe.report(on: target.path, machine)
    for index in -1..<machine.calls.count {
      let harmed = FixtureMachine(target.world, fault: .call(index, .ioError))
      let report = TargetProbe.report(on: target.path, answering: question, harmed)
      let lines = ProbeText(report: report).lines
      #expect(!lines.contains { $0.contains { $0.isNewline } || $0.last?.isWhitespace == true })
      #expect(!lines.contains { $0.contains("Optional(") || $0.contains("nil") })
      #expect(lines.contains { $0.hasPrefix(target.path + ": ") })
    }
  }

  /// A layer that promises less than the one above it in the picture is marked, once.
  @Test(
    arguments: [
      ("namespace", 0), ("partition-misaligned", 1), ("namespace-boundary-offset", 1),
      ("namespace-awupf-7.3", 1), ("ext4", 1), ("ext4-bigalloc", 0), ("btrfs", 0),
    ] as [(String, Int)]
  )
  func narrowingIsMarked(name: String, marks: Int) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    let lines = ProbeText(report: report).lines
    #expect(lines.filter { $0.hasSuffix("← narrowed here") }.count == marks)
  }

  @Test func everyFindingIsShownWithItsRemedy() throws {
    for target in FixtureTarget.all {
      let report = target.report()
      let lines = ProbeText(report: report).lines
      for finding in report.findings {
        #expect(lines.contains { $0.contains(finding.code.rawValue) })
        #expect(lines.contains { $0.contains(finding.message) })
        if let remedy = finding.remedy { #expect(lines.contains("  → \(remedy)")) }
      }
    }
  }

  @Test func strangePathCannotForgeLines() {
    var target = FixtureTarget.namespace("")
    target.path = "/dev/a\n\u{1b}[2Jb"
    target.world.addLink(target.path, to: "/dev/nvme0n1")
    let lines = ProbeText(report: target.report()).lines
    #expect(lines.first == #"/dev/a\u{a}\u{1b}[2Jb: namespace on /dev/nvme0"#)
    #expect(!lines.joined().unicodeScalars.contains { $0.properties.generalCategory == .control })
  }
}
