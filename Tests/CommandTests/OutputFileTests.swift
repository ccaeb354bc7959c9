import Foundation
import NVMeAtomic
import TestSupport
import Testing

@testable import nvme_atomic

/// A file that is replaced whole or not at all.
@Suite struct OutputFileTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
  }

  private var names: [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder.url.path).sorted()) ?? []
  }

  private func attributes(_ file: URL) throws -> [FileAttributeKey: Any] {
    try FileManager.default.attributesOfItem(atPath: file.path)
  }

  @Test func aNewFileIsMade() throws {
    let file = folder.file("a.prom")
    try OutputFile.replace(file.path, with: "one\n")
    #expect(try String(contentsOf: file, encoding: .utf8) == "one\n")
    #expect(names == ["a.prom"])
    // Whoever collects is another user.
    #expect(try attributes(file)[.posixPermissions] as? Int == 0o644)
  }

  /// Who has the old file open goes on reading the old one.
  @Test func theOldFileIsNotWrittenTo() throws {
    let file = folder.file("a.prom")
    try Data("old".utf8).write(to: file)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
    let reader = try FileHandle(forReadingFrom: file)
    let number = try attributes(file)[.systemFileNumber] as? Int
    try OutputFile.replace(file.path, with: "new")
    #expect(try reader.readToEnd() == Data("old".utf8))
    #expect(try String(contentsOf: file, encoding: .utf8) == "new")
    #expect(try attributes(file)[.systemFileNumber] as? Int != number)
    #expect(try attributes(file)[.posixPermissions] as? Int == 0o600)
    #expect(names == ["a.prom"])
  }

  /// As root, `--output /dev/null` would otherwise break the machine.
  @Test func onlyAFileIsReplaced() throws {
    let file = folder.file("file")
    try Data("kept".utf8).write(to: file)
    let link = folder.file("link")
    try FileManager.default.createSymbolicLink(at: link, withDestinationURL: file)
    try FileManager.default.createDirectory(
      at: folder.file("directory"),
      withIntermediateDirectories: false
    )
    for path in [link.path, folder.file("directory").path, "/dev/null", "/"] {
      let failure = #expect(throws: Failure.self, "\(path)") {
        try OutputFile.replace(path, with: "x")
      }
      #expect(failure?.exitCode == ExitStatus.notDone)
    }
    #expect(names == ["directory", "file", "link"])
    #expect(try String(contentsOf: file, encoding: .utf8) == "kept")
  }

  @Test func whereNothingCanBeWrittenNothingIsLeft() throws {
    let failure = #expect(throws: Failure.self) {
      try OutputFile.replace(folder.file("missing/a.prom").path, with: "x")
    }
    #expect(failure?.code == .notFound)
    #expect(failure?.line.contains("a.prom: cannot be written") == true)
    #expect(names == [])
  }

  /// The disk fills up half-way: the old document stays, and nothing beside it.
  @Test func aFullDiskKeepsTheOldFile() throws {
    let file = folder.file("a.prom")
    try Data("old".utf8).write(to: file)
    // Of the size of one block; a process of its own, since limits are for ever.
    let script = """
      ulimit -f 1; trap '' XFSZ; exec '\(Self.tool)' probe '\(folder.url.path)' --json --output \
      '\(file.path)'
      """
    let tool = try Checker("/bin/sh", ["-c", script])
    #expect(tool.status == 2, "\(tool.errors)")
    #expect(tool.errors.contains("cannot be written"))
    #expect(try String(contentsOf: file, encoding: .utf8) == "old")
    #expect(names == ["a.prom"])
  }

  /// `swift test` may run the bundle through a helper of the toolchain; its argument names it.
  private static var tool: String {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().path + "/nvme-atomic"
  }
}
