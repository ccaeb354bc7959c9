import Foundation
import NVMeAtomic
import SystemPackage
import TestSupport
import Testing

@testable import nvme_atomic

/// Every document of this program against the schemas that are published of them.
@Suite(
  .enabled(if: Checker.hasSchemaValidator, "python3-jsonschema is not here: run Tests/run")
)
struct SchemaTests {
  private static func accept(_ checker: Checker, _ count: Int) {
    #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
    #expect(checker.output == "\(count) documents\n")
  }

  private static func probe(_ reports: [TargetReport], kernel: String? = "7.3.4") -> String {
    ProbeJSON(kernelRelease: kernel, targets: reports).document.rendered
  }

  /// All fixtures, with each question and none, and some with facts failing from some call on.
  private static var reports: [TargetReport] {
    let questions = [
      nil, Question(.everyPage(sizeBytes: 16384), writer: .rwfAtomic),
      Question(.one(offsetBytes: 8192, lengthBytes: 8192), writer: .direct),
    ]
    var reports = FixtureTarget.all.flatMap { target in
      questions.map { target.report(answering: $0) }
    }
    for target in FixtureTarget.kinds {
      let machine = FixtureMachine(target.world)
      _ = TargetProbe.report(on: target.path, machine)
      reports += stride(from: 0, to: machine.calls.count, by: 6).map { index in
        let harmed = FixtureMachine(target.world, fault: .callsFrom(index, .ioError))
        return TargetProbe.report(on: target.path, answering: questions[1], harmed)
      }
    }
    return reports
  }

  @Test func everyProbeKeepsItsSchema() throws {
    let documents = [
      Self.probe(Self.reports), Self.probe([]), Self.probe([], kernel: nil),
    ]
    Self.accept(try Checker.schema("[" + documents.joined(separator: ",") + "]"), 3)
  }

  @Test func everyFailureKeepsItsSchema() throws {
    let documents = FailureTests.errors.flatMap { error in
      [WriteCommand.format, ProbeRun.format].map {
        Failure(error, target: "/dev/nvme0n1").document(format: $0).rendered
      }
    }
    let text = "[" + documents.joined(separator: ",") + "]"
    Self.accept(try Checker.schema(text), 2 * FailureTests.errors.count)
  }

  @Test func everySnapshotKeepsItsSchema() throws {
    let folder = Repository.root.appendingPathComponent("Tests/CommandTests/Snapshots")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      .filter { $0.hasSuffix(".json") }.map { folder.appendingPathComponent($0).path }
    try #require(files.count > 10)
    Self.accept(try Checker(Repository.path("Tests/Schema/check"), files), files.count)
  }

  /// Each key of a rich document is taken away, renamed, given another type and a sign, and one is
  /// added beside it: every breach must be noticed, or nothing above means anything.
  @Test func everySpoiltDocumentIsNoticed() throws {
    let question = Question(.one(offsetBytes: 0, lengthBytes: 16384), writer: .rwfAtomic)
    let names = ["namespace-4k-cached", "xfs", "missing"]
    let reports = try names.map {
      try #require(FixtureTarget.named($0)).report(answering: question)
    }
    try #require(reports.contains { $0.answer?.mapping?.extents.isEmpty == false })
    try #require(reports.contains { !$0.namespaces.isEmpty })
    let failure = Failure(.busy("it is mounted"), target: "/dev/nvme0n1")
    let documents = [
      Self.probe(reports), failure.document(format: WriteCommand.format).rendered,
    ]
    let text = "[" + documents.joined(separator: ",") + "]"
    Self.accept(try Checker.schema(text, spoiling: true), 2)
  }

  @Test func aDocumentWithoutSchemaIsRefused() throws {
    let text = Self.probe([]).replacing("nvme-atomic-probe/1", with: "nvme-atomic-probe/2")
    #expect(try Checker.schema(text).status != 0)
    #expect(try Checker.schema("[]").status != 0)
  }
}

@Suite struct SchemaRigTests {
  @Test func theValidatorIsThereWhenItIsRequired() {
    #expect(!Checker.areRequired || Checker.hasSchemaValidator, "Tests/run installs it")
  }
}
