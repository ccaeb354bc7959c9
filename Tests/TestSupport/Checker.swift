import Foundation

/// Another program that checks what this one writes.
package struct Checker {
  package var status: Int32
  package var output: String
  package var errors: String

  /// Runs it to its end, with a text or nothing on its standard input.
  package init(_ path: String, _ arguments: [String] = [], input: String = "") throws {
    let folder = try TemporaryFolder()
    let (stdin, stdout, stderr) = (folder.file("in"), folder.file("out"), folder.file("err"))
    try input.write(to: stdin, atomically: false, encoding: .utf8)
    for file in [stdout, stderr] { try Data().write(to: file) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.standardInput = try FileHandle(forReadingFrom: stdin)
    process.standardOutput = try FileHandle(forWritingTo: stdout)
    process.standardError = try FileHandle(forWritingTo: stderr)
    try process.run()
    process.waitUntilExit()
    status = process.terminationStatus
    output = String(decoding: try Data(contentsOf: stdout), as: UTF8.self)
    errors = String(decoding: try Data(contentsOf: stderr), as: UTF8.self)
  }

  /// The first of these that is installed, or what an environment variable names.
  package static func find(_ paths: [String], variable: String? = nil) -> String? {
    let named = variable.flatMap { ProcessInfo.processInfo.environment[$0] }
    return ([named].compactMap { $0 } + paths)
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// `Tests/run` installs every checker; elsewhere a test without its checker is skipped.
  package static let areRequired =
    ProcessInfo.processInfo.environment["NVME_ATOMIC_REQUIRE_RIGS"] == "1"

  /// Debian's jsonschema, which belongs to Debian's Python.
  package static let hasSchemaValidator =
    (try? Checker("/usr/bin/python3", ["-c", "import jsonschema"]))?.status == 0

  /// Holds JSON documents, one or an array of them, to the schemas under `Docs/schema`.
  package static func schema(_ documents: String, spoiling: Bool = false) throws -> Checker {
    let folder = try TemporaryFolder()
    let file = folder.file("documents.json")
    try documents.write(to: file, atomically: false, encoding: .utf8)
    return try Checker(
      Repository.path("Tests/Schema/check"),
      (spoiling ? ["--spoil"] : []) + [file.path]
    )
  }

  package static let mandoc = find(["/usr/bin/mandoc"])

  package static let promtool = find(["/usr/bin/promtool"], variable: "NVME_ATOMIC_PROMTOOL")
}

/// A folder that goes with its owner.
package final class TemporaryFolder {
  package let url: URL

  package init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("nvme-atomic-\(UUID())")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit {
    try? FileManager.default.removeItem(at: url)
  }

  package func file(_ name: String) -> URL { url.appendingPathComponent(name) }
}

/// The repository that the tests were built from.
package enum Repository {
  package static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  package static func path(_ name: String) -> String { root.appendingPathComponent(name).path }
}
