import Foundation
import TestSupport
import Testing

@testable import NVMeAtomic

/// The article about findings, held against the findings there are and the tests that it names.
@Suite struct FindingDocumentTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  private static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  private static func lines() throws -> [String] {
    try text("Docs/NVMeAtomic.docc/Findings.md").components(separatedBy: "\n")
  }

  private static let codes = FindingCode.allCases.map(\.rawValue).sorted()

  @Test func everyCodeIsExplainedAndNoOther() throws {
    let headings = try Self.lines().filter { $0.hasPrefix("### ") }.map { String($0.dropFirst(4)) }
    #expect(headings.sorted() == Self.codes)
  }

  /// Columns: the code, what produces it, why no device does.
  private static func table() throws -> [[String]] {
    try lines().filter { $0.hasPrefix("| `") }.map { line in
      line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast()
        .map { $0.trimmingCharacters(in: .whitespaces) }
    }
  }

  @Test func theTableNamesEveryCodeOnce() throws {
    let table = try Self.table()
    #expect(table.map { $0[0].replacing("`", with: "") }.sorted() == Self.codes)
    for row in table {
      let isOnADevice = row[1].contains("emulated: ")
      #expect(isOnADevice || !row[2].isEmpty, "\(row[0]): why not on a device?")
    }
  }

  /// Groups of the virtual machines, and suites in this target.
  @Test func theTestsThatItNamesAreThereAndNameTheCode() throws {
    for row in try Self.table() {
      let code = row[0].replacing("`", with: "")
      for match in row[1].matches(of: /`([A-Za-z]+)`/) {
        let name = String(match.1)
        if name.hasSuffix("Tests") {
          let path = "Tests/NVMeAtomicTests/Discovery/\(name).swift"
          #expect(try Self.text(path).contains("@Suite struct \(name)"))
        } else {
          let script = try Self.text("Tests/VM/groups/\(name)/guest.py")
          #expect(script.contains("\"\(code)\""), "\(name) does not name \(code)")
        }
      }
    }
  }

  /// Wherever a fixture is told to type something, a virtual machine has typed it.
  @Test(arguments: FixtureTarget.all)
  func everyCommandIsTyped(target: FixtureTarget) throws {
    let script = try Self.text("Tests/VM/groups/remedies/guest.py")
    for finding in target.report().findings {
      let isCommand = ["sudo ", "echo ", "nvme-atomic "].contains {
        finding.remedy?.hasPrefix($0) == true
      }
      guard isCommand else { continue }
      #expect(script.contains("typed(\"\(finding.code.rawValue)\""), "\(finding.code.rawValue)")
    }
  }
}
