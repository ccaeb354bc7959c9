import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// What every finding has in common, on every target and with every kind of fault.
@Suite struct FindingShapeTests {
  @Test(arguments: FixtureTarget.all)
  func messageIsOneSentence(target: FixtureTarget) {
    for report in Self.reports(target) {
      for finding in report.findings { Self.check(finding) }
    }
  }

  private static func check(_ finding: Finding) {
    let message = finding.message
    #expect(message.hasSuffix("."))
    #expect(!message.hasSuffix(".."))
    #expect(message.first?.isLowercase == false || beginsWithName(message))
    #expect(!message.dropLast().contains(". "))
    for text in [message, finding.remedy ?? "-"] {
      #expect(!text.isEmpty)
      #expect(!text.contains { $0.isNewline })
      #expect(!text.contains("  ") || text.contains("   #"))
      #expect(!text.contains("Optional("))
    }
    if let remedy = finding.remedy { #expect(canBeTyped(remedy) || isAdvice(remedy), "\(remedy)") }
  }

  /// As it is printed: no word stands for another.
  private static func canBeTyped(_ remedy: String) -> Bool {
    let isCommand = ["sudo ", "echo ", "nvme-atomic "].contains { remedy.hasPrefix($0) }
    let words = remedy.prefix { $0 != "#" }.split { !$0.isLetter && $0 != "_" }
    return isCommand && !words.contains { ["DEVICE", "FILE", "DIRECTORY", "N"].contains($0) }
  }

  private static func isAdvice(_ remedy: String) -> Bool {
    let verbs = ["ask", "boot", "build", "make", "probe", "put", "replace"]
    return verbs.contains { remedy.hasPrefix($0 + " ") }
  }

  /// Names keep their spelling at the begin of a sentence.
  private static func beginsWithName(_ message: String) -> Bool {
    ["ext4", "xfs", "btrfs", "tmpfs", "f2fs", "vfat", "statx"].contains { message.hasPrefix($0) }
  }

  @Test(arguments: FixtureTarget.all)
  func mostSevereComesFirstAndNoneTwice(target: FixtureTarget) {
    for report in Self.reports(target) {
      let severities = report.findings.map(\.severity)
      #expect(severities == severities.sorted())
      #expect(Set(report.findings).count == report.findings.count)
    }
  }

  /// Unharmed, and with every call failing in turn.
  private static func reports(_ target: FixtureTarget) -> [TargetReport] {
    let machine = FixtureMachine(target.world)
    let unharmed = TargetProbe.report(on: target.path, machine)
    let harmed = machine.calls.indices.map { index in
      TargetProbe.report(
        on: target.path,
        FixtureMachine(target.world, fault: .call(index, .ioError))
      )
    }
    return [unharmed] + harmed
  }
}
