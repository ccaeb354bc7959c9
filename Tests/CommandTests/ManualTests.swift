import ArgumentParser
import Foundation
import TestSupport
import Testing

@testable import nvme_atomic

/// What is installed beside the program comes from its definitions.
@Suite struct ManualTests {
  private static let folder = Repository.root.appendingPathComponent("Docs/man")

  @Test func pagesAreThoseOfTheDefinitions() throws {
    for page in try ManualPages.all() {
      try Snapshot.check(page.text, page.name + ".1", in: Self.folder)
    }
  }

  @Test func everyPageIsMade() throws {
    let made = try ManualPages.all().map { $0.name + ".1" }.sorted()
    let commands = NVMeAtomicCommand.configuration.subcommands
    let inner = commands.flatMap { $0.configuration.subcommands }
    #expect(made.count == 1 + commands.count + inner.count && !inner.isEmpty)
    #expect(try FileManager.default.contentsOfDirectory(atPath: Self.folder.path).sorted() == made)
  }

  /// No option is left out, and no value of one.
  @Test func everyOptionIsExplained() throws {
    let pages = try ManualPages.all()
    let probe = try #require(pages.first { $0.name == "nvme-atomic-probe" }).text
    for option in ["all", "page-size", "prometheus", "output", "help"] {
      #expect(probe.contains("Fl -\(option)"), "\(option)")
    }
    for value in ["direct", "rwf-atomic", "buffered"] { #expect(probe.contains(value)) }
  }

  @Test(.enabled(if: Checker.mandoc != nil, "mandoc is not here: run Tests/run"))
  func mandocHasNothingToSay() throws {
    let mandoc = try #require(Checker.mandoc)
    for page in try ManualPages.all() {
      let lint = try Checker(mandoc, ["-T", "lint"], input: page.text)
      // The pages name each other, and are not installed where they are tested.
      let said = (lint.output + lint.errors).split(separator: "\n")
        .filter { !$0.contains("referenced manual not found: Xr nvme-atomic") }
      #expect(said == [], "\(page.name)")
    }
    let spoilt = try Checker(mandoc, ["-T", "lint"], input: ".Dd today\n.Sh NAME\n")
    #expect(spoilt.status != 0)
  }

  @Test func mandocIsThereWhenItIsRequired() {
    #expect(!Checker.areRequired || Checker.mandoc != nil, "Tests/run installs it")
  }
}

/// The scripts of `--generate-completion-script`.
@Suite struct CompletionTests {
  private static func complete(_ words: [String]) throws -> Set<Substring> {
    let quoted = words.map { "'\($0)'" }.joined(separator: " ")
    let script = """
      \(NVMeAtomicCommand.completionScript(for: .bash))
      COMP_WORDS=(\(quoted)); COMP_CWORD=\(words.count - 1)
      COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
      function=$(complete -p nvme-atomic | sed 's/.*-F \\([^ ]*\\).*/\\1/')
      "$function" nvme-atomic '\(words.last ?? "")' '\(words.dropLast().last ?? "")'
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    let bash = try Checker("/bin/bash", ["--norc"], input: script)
    #expect(bash.errors == "")
    return Set(bash.output.split(separator: "\n").map { $0[...] })
  }

  @Test func bashCompletesWhatIsDefined() throws {
    #expect(try Self.complete(["nvme-atomic", ""]).isSuperset(of: ["probe", "write"]))
    #expect(
      try Self.complete(["nvme-atomic", "probe", "--"])
        .isSuperset(of: ["--all", "--page-size", "--prometheus", "--output", "--json"])
    )
    #expect(try Self.complete(["nvme-atomic", "probe", "--pa"]) == ["--page-size"])
    #expect(
      try Self.complete(["nvme-atomic", "probe", "--writer", ""])
        == ["direct", "rwf-atomic", "buffered"]
    )
  }

  /// Checked where such a shell is installed.
  @Test(
    arguments: [("bash", .bash), ("zsh", .zsh), ("fish", .fish)] as [(String, CompletionShell)]
  )
  func shellsTakeTheirScript(name: String, shell: CompletionShell) throws {
    let script = NVMeAtomicCommand.completionScript(for: shell)
    #expect(script.contains("page-size"))
    guard let program = Checker.find(["/bin/\(name)", "/usr/bin/\(name)"]) else { return }
    let folder = try TemporaryFolder()
    let file = folder.file("script")
    try script.write(to: file, atomically: false, encoding: .utf8)
    let checked = try Checker(program, ["-n", file.path])
    #expect(checked.status == 0 && checked.errors == "", "\(checked.errors)")
  }
}
