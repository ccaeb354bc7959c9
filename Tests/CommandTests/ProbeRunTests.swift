import ArgumentParser
import Testing

@testable import nvme_atomic

/// The short way past ArgumentParser must read every line as ArgumentParser reads it.
@Suite struct ProbeRunTests {
  static let words = [
    "probe", "write", "--json", "--prometheus", "--all", "--output", "-", "--", "-h", "--strict",
    "a", "b", "", "--a",
  ]

  @Test func readsOnlyWhatTheParserReadsAlike() throws {
    for line in Self.lines {
      guard let run = ProbeRun(plain: line) else { continue }
      let parsed = try NVMeAtomicCommand.parseAsRoot(line)
      let command = try #require(parsed as? ProbeCommand, "\(line)")
      #expect(command.probeRun == run, "\(line)")
    }
  }

  @Test(
    arguments: [
      ["probe", "a"], ["probe", "--json", "a"], ["probe", "--json", "a", "b"], ["probe", "--all"],
      ["probe", "--json", "--all"], ["probe", "--prometheus", "--all"],
    ]
  )
  func readsTheFormThatIsRepeated(line: [String]) {
    #expect(ProbeRun(plain: line) != nil)
  }

  /// Every line of up to four words.
  private static var lines: [[String]] {
    var lines: [[String]] = [[]]
    var longest: [[String]] = [[]]
    for _ in 0..<4 {
      longest = longest.flatMap { line in words.map { line + [$0] } }
      lines += longest
    }
    return lines
  }
}
