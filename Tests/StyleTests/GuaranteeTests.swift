import Foundation
import Testing

/// Whatever `Guarantees.md` names as the proof of a promise is there: suites, functions, groups of
/// the virtual machine tests, programs and scripts.
@Suite struct GuaranteeTests {
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// What a name can stand for.
  struct Tree {
    /// The functions of each suite, by its name; those with `@Test` only.
    var suites: [String: Set<String>] = [:]
    var groups: Set<String> = []
    var programs: Set<String> = []
    /// Below the repository's root.
    var files: Set<String> = []

    /// - Returns: Whether the first word is something.
    func has(_ name: String) -> Bool {
      let word = name.split(separator: " ").first.map(String.init) ?? ""
      if word.contains("/") { return files.contains(word) }
      let parts = word.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
      switch parts.count {
      case 1:
        return suites[word]?.isEmpty == false || groups.contains(word) || programs.contains(word)
      case 2: return suites[parts[0]]?.contains(parts[1]) ?? false
      default: return false
      }
    }
  }

  struct Row: Sendable, CustomStringConvertible {
    var claim: String
    var proof: String

    var description: String { claim }

    /// What stands in backquotes, and nothing else is a name.
    var names: [String] {
      proof.split(separator: "`", omittingEmptySubsequences: false).enumerated()
        .filter { !$0.offset.isMultiple(of: 2) }.map { String($0.element) }
    }
  }

  /// The rows of the table below a heading.
  static func rows(of text: String, below heading: String) -> [Row] {
    let lines = text.components(separatedBy: "\n")
    guard let start = lines.firstIndex(of: heading) else { return [] }
    let table = lines[start...].drop { !$0.hasPrefix("|") }.prefix { $0.hasPrefix("|") }
    return table.dropFirst(2).map { line in
      let cells = line.components(separatedBy: "|").map { $0.trimmingCharacters(in: .whitespaces) }
      return Row(claim: cells[1], proof: cells.count == 4 ? cells[2] : "")
    }
  }

  private static func text(_ path: String) throws -> String {
    try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
  }

  private static func paths(in folder: String) -> [String] {
    let base = root.appendingPathComponent(folder).path
    return (FileManager.default.enumerator(atPath: base)?.compactMap { $0 as? String } ?? [])
      .map { "\(folder)/\($0)" }
  }

  static func tree() throws -> Tree {
    var tree = Tree()
    tree.files = Set(paths(in: "Tests"))
    for path in tree.files where path.hasSuffix(".swift") {
      for (suite, functions) in suites(in: try text(path)) {
        tree.suites[suite, default: []].formUnion(functions)
      }
    }
    let groups = tree.files.matches(of: "Tests/VM/groups/", "/guest.py")
    tree.groups = Set(groups)
    tree.programs = Set(
      try text("Package.swift").matches(of: /executableTarget\(\s*name: "([^"]+)"/)
        .map { String($0.1) }
    )
    return tree
  }

  /// Types of a file with the tests in them, or in their extensions.
  static func suites(in text: String) -> [String: Set<String>] {
    var suites: [String: Set<String>] = [:]
    var (suite, isTest) = ("", false)
    for line in text.components(separatedBy: "\n") {
      let type = line.firstMatch(of: /^(?:@Suite(?:\(.*\))? )?(?:struct|extension) (\w+)/)
      if let type { suite = String(type.1) }
      if line.contains("@Test") { isTest = true }
      guard let function = line.firstMatch(of: /\bfunc (\w+)/) else { continue }
      if isTest { suites[suite, default: []].insert(String(function.1)) }
      isTest = false
    }
    return suites
  }

  static func promises() throws -> [Row] {
    rows(
      of: try text("Docs/NVMeAtomic.docc/Guarantees.md"),
      below: "## Which test shows it"
    )
  }

  @Test func everyProofIsThere() throws {
    let (rows, tree) = (try Self.promises(), try Self.tree())
    #expect(rows.count > 30)
    for row in rows {
      #expect(!row.names.isEmpty, "nothing shows: \(row)")
      #expect(row.names.filter { !tree.has($0) } == [], "\(row)")
    }
  }

  /// Each name, spoilt, is noticed: this test can fail.
  @Test func whatIsRenamedIsNoticed() throws {
    let (rows, tree) = (try Self.promises(), try Self.tree())
    for name in Set(rows.flatMap(\.names)) {
      let word = name.split(separator: " ").first.map(String.init) ?? ""
      #expect(!tree.has(word + "x"), "\(word)x")
    }
    let table =
      "## Proofs\n\n| claim | shown by |\n|---|---|\n"
      + "| a | group `matrix`; `x` |\n| b | c |\n"
    let read = Self.rows(of: table, below: "## Proofs")
    #expect(read.map(\.names) == [["matrix", "x"], []])
    #expect(read.flatMap(\.names).filter { !tree.has($0) } == ["x"])
    let source = "@Suite struct A {\n  @Test(arguments: b)\n  func c(d: E) {}\n  func f() {}\n}\n"
    #expect(Self.suites(in: source) == ["A": ["c"]])
  }

  /// Every group of the virtual machine tests is there to show something.
  @Test func everyGroupShowsSomething() throws {
    let named = Set(try Self.promises().flatMap(\.names))
    #expect(try Self.tree().groups.subtracting(named) == [])
  }
}

extension Set<String> {
  /// The names between a prefix and a suffix.
  fileprivate func matches(of prefix: String, _ suffix: String) -> [String] {
    filter { $0.hasPrefix(prefix) && $0.hasSuffix(suffix) }
      .map { String($0.dropFirst(prefix.count).dropLast(suffix.count)) }
  }
}
