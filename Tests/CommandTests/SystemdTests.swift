import ArgumentParser
import Foundation
import TestSupport
import Testing

@testable import nvme_atomic

/// The example units under `Docs/systemd`.
@Suite struct SystemdTests {
  private static let folder = Repository.root.appendingPathComponent("Docs/systemd")
  private static let analyze = Checker.find(["/usr/bin/systemd-analyze"])
  private static let noAnalyze = "systemd-analyze is not here"

  private static func text(_ name: String) throws -> String {
    try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
  }

  /// The settings of a unit, in order; anything else in it is an error.
  private static func settings(_ name: String) throws -> [(section: String, key: String, String)] {
    var section = ""
    return try text(name).split(separator: "\n").compactMap { line in
      if line.hasPrefix("#") { return nil }
      if line.hasPrefix("["), line.hasSuffix("]") {
        section = String(line.dropFirst().dropLast())
        return nil
      }
      let parts = line.split(separator: "=", maxSplits: 1)
      try #require(parts.count == 2 && !section.isEmpty, "\(line)")
      try #require(parts[0].allSatisfy { $0.isASCII && $0.isLetter }, "\(line)")
      return (section, String(parts[0]), String(parts[1]))
    }
  }

  @Test(arguments: ["nvme-atomic.service", "nvme-atomic.timer"])
  func unitsAreWellFormed(name: String) throws {
    let sections = Set(try Self.settings(name).map(\.section))
    #expect(
      sections == (name.hasSuffix("timer") ? ["Unit", "Timer", "Install"] : ["Unit", "Service"])
    )
  }

  /// What the service runs is right usage, and replaces its file whole.
  @Test func theServiceRunsWhatTheProgramUnderstands() throws {
    let line = try #require(
      try Self.settings("nvme-atomic.service").first { $0.key == "ExecStart" }
    )
    let words = line.2.split(separator: " ").map(String.init)
    #expect(words.first == "/usr/local/bin/nvme-atomic")
    let command = try NVMeAtomicCommand.parseAsRoot(Array(words.dropFirst()))
    let run = try #require(command as? ProbeCommand).probeRun
    #expect(run.targets == .all && run.form == .prometheus && run.question == nil)
    // Collectors read what ends so, and the temporary file beside it does not.
    let file = try #require(run.file)
    #expect(file.hasSuffix(".prom"))
    let writable = try Self.settings("nvme-atomic.service").first { $0.key == "ReadWritePaths" }
    #expect(writable?.2 == URL(fileURLWithPath: file).deletingLastPathComponent().path)
  }

  /// A device that is mounted out of sight would pass for unused, and a hidden one for absent.
  @Test func nothingThatIsProbedIsHidden() throws {
    for (_, key, value) in try Self.settings("nvme-atomic.service") {
      #expect(
        ![
          "PrivateDevices", "PrivateTmp", "TemporaryFileSystem", "InaccessiblePaths",
          "RootDirectory",
          "DynamicUser", "PrivateUsers", "ProcSubset",
        ].contains(key)
      )
      if key == "ProtectHome" { #expect(value == "read-only") }
      if key == "CapabilityBoundingSet" { #expect(value == "CAP_SYS_ADMIN") }
    }
  }

  /// systemd's own judgement, with a program that exists in the place of one that need not.
  @Test(.enabled(if: analyze != nil, "\(noAnalyze)"))
  func systemdTakesTheUnits() throws {
    let analyze = try #require(Self.analyze)
    let folder = try TemporaryFolder()
    func verify(_ service: String) throws -> String {
      try service.replacing("/usr/local/bin/nvme-atomic", with: "/bin/true")
        .write(to: folder.file("nvme-atomic.service"), atomically: false, encoding: .utf8)
      try Self.text("nvme-atomic.timer")
        .write(to: folder.file("nvme-atomic.timer"), atomically: false, encoding: .utf8)
      let files = ["nvme-atomic.service", "nvme-atomic.timer"].map { folder.file($0).path }
      let checker = try Checker(analyze, ["verify", "--man=no"] + files)
      return checker.status == 0 ? checker.output + checker.errors : "\(checker.status)"
    }
    let service = try Self.text("nvme-atomic.service")
    #expect(try verify(service) == "")
    #expect(try verify(service.replacing("NoNewPrivileges", with: "NoNewPrivilege")) != "")
    // Of 100, where services without any protection have 96.
    #expect(try verify(service) == "")
    let security = try Checker(
      analyze,
      ["security", "--offline=true", "--no-pager", "--threshold=25"]
        + [folder.file("nvme-atomic.service").path]
    )
    #expect(security.status == 0, "\(security.output.suffix(200))\(security.errors)")
  }
}
