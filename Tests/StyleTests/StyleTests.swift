import Foundation
import Testing

/// Rules that a machine can check are checked by a machine.
@Suite struct StyleTests {
  struct File: Sendable, CustomStringConvertible {
    /// Below the repository's root.
    var path: String
    var lines: [String]

    var description: String { path }
  }

  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static func files(in folder: String, endingIn endings: [String]) -> [File] {
    let base = root.appendingPathComponent(folder)
    let paths =
      FileManager.default.enumerator(atPath: base.path)?.compactMap { $0 as? String } ?? []
    return paths.sorted().filter { path in endings.contains { path.hasSuffix($0) } }.compactMap {
      guard
        let text = try? String(contentsOf: base.appendingPathComponent($0), encoding: .utf8)
      else { return nil }
      return File(
        path: "\(folder)/\($0)",
        lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      )
    }
  }

  static let swift = files(in: "Sources", endingIn: [".swift"])
  static let c = files(in: "Sources", endingIn: [".c", ".h"])
  static let tests = files(in: "Tests", endingIn: [".swift"])

  static let pure = swift.filter { file in
    ["Units", "Identify", "Limits", "Planning"].contains {
      file.path.hasPrefix("Sources/NVMeAtomic/\($0)/")
    }
  }

  /// The lines that match, as `path:line`.
  private static func places(
    _ files: [File],
    where matches: (String) -> Bool
  ) -> [String] {
    files.flatMap { file in
      file.lines.enumerated().filter { matches($0.element) }.map { "\(file.path):\($0.offset + 1)" }
    }
  }

  /// A line without its comment. Good enough: no string here has two slashes and a keyword.
  private static func code(_ line: String) -> Substring {
    line.range(of: "//").map { line[..<$0.lowerBound] } ?? line[...]
  }

  private static func hasWord(_ word: String, _ line: String) -> Bool {
    code(line).split { !$0.isLetter && !$0.isNumber && $0 != "_" }.contains { $0 == word }
  }

  private static func imports(_ module: String, _ line: String) -> Bool {
    let words = code(line).split(separator: " ")
    return words.contains("import") && words.last?.split(separator: ".").first == module[...]
  }

  @Test func thereIsSomethingToCheck() {
    #expect(Self.swift.count > 30)
    #expect(Self.pure.count > 10)
    #expect(Self.c.count > 4)
    #expect(Self.tests.count > 10)
  }

  /// It would add 40 MB to the binary.
  @Test func sourcesDoNotImportFoundation() {
    #expect(Self.places(Self.swift) { Self.imports("Foundation", $0) } == [])
  }

  @Test func arithmeticIsPure() {
    #expect(Self.places(Self.pure) { Self.hasWord("unsafe", $0) } == [])
    for module in ["LinuxIO", "Glibc", "SystemPackage", "CNVMeAtomic"] {
      #expect(Self.places(Self.pure) { Self.imports(module, $0) } == [])
    }
  }

  @Test(arguments: swift)
  func unsafeIsExplained(file: File) {
    let unexplained = file.lines.indices.filter { index in
      Self.hasWord("unsafe", file.lines[index])
        && !file.lines[max(0, index - 6)...index].contains { $0.contains("SAFETY:") }
    }
    #expect(unexplained.map { "\(file.path):\($0 + 1)" } == [])
  }

  @Test func noLineIsLongerThan100Columns() {
    #expect(Self.places(Self.swift + Self.c + Self.tests) { $0.count > 100 } == [])
  }

  /// Their structures collide with those of other modules in one module graph.
  @Test func systemHeadersStayInTheirFiles() {
    let offending = Self.places(
      Self.c.filter { file in
        !file.path.hasPrefix("Sources/CLibNVMe/")
          && !(file.path.hasPrefix("Sources/CNVMeAtomic/") && file.path.hasSuffix(".c"))
      }
    ) { line in
      line.contains("#include")
        && ["liburing", "libnvme", "<linux/"].contains { line.contains($0) }
    }
    #expect(offending == [])
  }

  /// The header that Swift sees includes nothing else.
  @Test func publicHeaderIncludesOnlyTheLanguage() {
    let allowed = ["<stdbool.h>", "<stddef.h>", "<stdint.h>"]
    let headers = Self.c.filter { $0.path.hasPrefix("Sources/CNVMeAtomic/include/") }
    #expect(!headers.isEmpty)
    let offending = Self.places(headers) { line in
      line.hasPrefix("#include") && !allowed.contains { line.contains($0) }
    }
    #expect(offending == [])
  }

  /// It is defined for the C files alone: in a header it changes what other modules see.
  @Test func headersDefineNoFeatureMacro() {
    let headers = Self.c.filter { $0.path.hasSuffix(".h") }
    let offending = Self.places(headers) { line in
      line.contains("_GNU" + "_SOURCE") && line.hasPrefix("#")
    }
    #expect(offending == [])
  }

  @Test func nothingIsPutOff() {
    let marks = ["FIX" + "ME", "TO" + "DO", "XX" + "X"]
    let offending = Self.places(Self.swift + Self.c + Self.tests) { line in
      marks.contains { line.contains($0) }
    }
    #expect(offending == [])
  }

  /// Functions say what holds, not that they test it.
  @Test func namesSayWhatHolds() {
    #expect(Self.places(Self.tests) { $0.contains("func " + "test") } == [])
  }
}
