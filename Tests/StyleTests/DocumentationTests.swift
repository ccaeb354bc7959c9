import Foundation
import Testing

/// What README and articles say is held against what is compiled, and their links against files.
@Suite struct DocumentationTests {
  struct Page: Sendable, CustomStringConvertible {
    /// Below the repository's root.
    var path: String
    var lines: [String]

    var description: String { path }

    /// Code in a language, without what a test cannot have in a function: imports, empty lines.
    func blocks(in language: String) -> [[String]] {
      let parts = lines.split(omittingEmptySubsequences: false) { $0.hasPrefix("```") }
      let fences = lines.filter { $0.hasPrefix("```") }
      return zip(fences, parts.dropFirst()).filter { $0.0 == "```" + language }.map {
        $0.1.map { $0.trimmingCharacters(in: .whitespaces) }
          .filter { !$0.isEmpty && !$0.hasPrefix("import ") }
      }
    }

    /// Targets of links to files of the repository, and of links to articles as DocC writes them.
    var links: [String] {
      let parts = lines.split(omittingEmptySubsequences: false) { $0.hasPrefix("```") }
      let prose = parts.enumerated().filter { $0.offset.isMultiple(of: 2) }.flatMap(\.element)
      let text = prose.joined(separator: "\n")
      return text.matches(of: /\]\(([^)#]+)\)/).map { String($0.1) }
        .filter { !$0.contains("://") }
        + text.matches(of: /<doc:([A-Za-z]+)>/).map { "\($0.1).md" }
    }
  }

  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private static func page(_ path: String) -> Page? {
    let url = root.appendingPathComponent(path)
    guard let text = try? String(contentsOf: url, encoding: .utf8) else { return nil }
    return Page(path: path, lines: text.components(separatedBy: "\n"))
  }

  static let pages: [Page] = {
    let docs = root.appendingPathComponent("Docs")
    let names = FileManager.default.enumerator(atPath: docs.path)?.compactMap { $0 as? String }
    return (["README.md"] + (names ?? []).filter { $0.hasSuffix(".md") }.map { "Docs/\($0)" })
      .sorted().compactMap(page)
  }()

  @Test func thereIsSomethingToCheck() {
    #expect(Self.pages.count > 5)
    #expect(Self.pages.flatMap { $0.blocks(in: "swift") }.count > 3)
    #expect(Self.pages.flatMap(\.links).count > 5)
  }

  @Test(arguments: pages)
  func whatIsShownCompiles(page: Page) throws {
    let compiled = try #require(Self.page("Tests/ClientTests/DocumentationExamples.swift")).lines
      .map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    for block in page.blocks(in: "swift") {
      #expect(compiled.contains(block), "not in Tests/ClientTests: \(block)")
    }
  }

  @Test(arguments: pages)
  func linksLeadSomewhere(page: Page) {
    let folder = Self.root.appendingPathComponent(page.path).deletingLastPathComponent()
    let dead = page.links.filter {
      !FileManager.default.fileExists(atPath: folder.appendingPathComponent($0).path)
    }
    #expect(dead == [])
  }
}
