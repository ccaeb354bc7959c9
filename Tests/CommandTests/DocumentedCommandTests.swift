import ArgumentParser
import Foundation
import Testing

@testable import nvme_atomic

/// What README and articles tell to type is understood.
@Suite struct DocumentedCommandTests {
  static let commands: [String] = {
    let root = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let docs = root.appendingPathComponent("Docs")
    let names = FileManager.default.enumerator(atPath: docs.path)?.compactMap { $0 as? String }
    let pages = (names ?? []).filter { $0.hasSuffix(".md") }.map { docs.appendingPathComponent($0) }
    let text = ([root.appendingPathComponent("README.md")] + pages)
      .compactMap { try? String(contentsOf: $0, encoding: .utf8) }.joined(separator: "\n")
    let typed = text.matches(of: /(?m)^\$ (nvme-atomic [^\n;|>]+)/).map { String($0.1) }
    let named = text.matches(of: /`(?:sudo )?(nvme-atomic [^`\n]+)`/).map { String($0.1) }
    return Set(typed + named).sorted()
  }()

  @Test func thereIsSomethingToCheck() {
    #expect(Self.commands.count >= 3)
  }

  @Test(arguments: commands)
  func commandIsUnderstood(command: String) {
    let words = command.split(separator: " ").dropFirst().map(String.init)
    #expect(throws: Never.self) { try NVMeAtomicCommand.parseAsRoot(words) }
  }
}
