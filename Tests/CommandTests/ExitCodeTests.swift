import ArgumentParser
import NVMeAtomic
import TestSupport
import Testing

@testable import nvme_atomic

/// 0 yes, 1 no, 2 not known or not done; 2 beats 1 beats 0.
@Suite struct ExitCodeTests {
  private enum Target: String {
    /// 16 KiB pages by a direct writer: yes.
    case yes = "namespace-nomerges"
    case no = "namespace"
    case unknown = "dm-mirror"
    case failed = "missing"
  }

  private static func exitCode(_ names: [String], asking: Bool = true) throws -> Int32 {
    let question = Question(.everyPage(sizeBytes: 16384), writer: .direct)
    let reports = try names.map {
      try #require(FixtureTarget.named($0)).report(answering: asking ? question : nil)
    }
    return ProbeRun.exitCode(reports).rawValue
  }

  @Test(
    arguments: [
      ("namespace-nomerges", 0), ("namespace-4k-cached", 0), ("namespace", 1), ("btrfs", 1),
      ("dm", 2), ("namespace-two-paths", 0), ("missing", 2), ("null", 2),
      ("directory-no-permission", 2),
    ] as [(String, Int32)]
  )
  func oneTargetDecides(name: String, code: Int32) throws {
    #expect(try Self.exitCode([name]) == code)
  }

  /// Every order of yes, no, unknown and failed targets.
  @Test(arguments: 0..<256)
  func worstTargetDecides(choice: Int) throws {
    let kinds: [(Target, Int32)] = [(.yes, 0), (.no, 1), (.unknown, 2), (.failed, 2)]
    let chosen = (0..<4).map { kinds[choice >> (2 * $0) & 3] }
    let worst = chosen.map(\.1).max()
    #expect(try Self.exitCode(chosen.map(\.0.rawValue)) == worst)
  }

  @Test(
    arguments: [
      (["namespace"], 0), (["dm", "btrfs"], 0), (["namespace", "missing"], 2), (["null"], 2),
      ([], 0),
    ] as [([String], Int32)]
  )
  func withoutAQuestionOnlyFailureCounts(names: [String], code: Int32) throws {
    #expect(try Self.exitCode(names, asking: false) == code)
  }

  /// Nothing was refused, but nothing was answered either.
  @Test func aQuestionAboutNoDeviceHasNoAnswer() {
    let question = Question(.everyPage(sizeBytes: 16384), writer: .direct)
    #expect(ProbeRun(targets: .all, question: question).exitCode([]) == ExitStatus.notDone)
    #expect(ProbeRun(targets: .all).exitCode([]) == ExitStatus.yes)
  }

  @Test func codesAreAsDocumented() {
    #expect(ExitStatus.yes.rawValue == 0)
    #expect(ExitStatus.no.rawValue == 1)
    #expect(ExitStatus.notDone.rawValue == 2)
    #expect(ExitStatus.unknownOutcome.rawValue == 3)
  }
}
