import ArgumentParser
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic
@testable import nvme_atomic

/// What `verify tearing` prints, and how it ends.
@Suite struct TearingSummaryTests {
  private static let yes = PathVerdict.holds(PathPromise(backing: .hardware))

  private static func part(
    _ size: UInt64,
    _ kind: TearingStep.Kind = .path,
    _ promise: PathVerdict? = nil,
    read: UInt64? = nil,
    split: Bool? = false,
    torn: UInt64 = 0,
    _ change: (inout TearingResult.Part) -> Void = { _ in }
  ) -> TearingResult.Part {
    let step = TearingStep(
      sizeBytes: size,
      kind: kind,
      promise: promise,
      readBytes: read ?? size,
      readMayBeSplit: split,
      offsetsBytes: [0, size]
    )
    var count = TearingCount()
    (count.writes, count.overlappedWrites) = (40_000, 30_000)
    (count.reads, count.overlappedReads) = (50_000, 42_000)
    (count.sawOld, count.sawNew, count.torn) = (20_000, 30_000 - torn, torn)
    count.elapsedNanoseconds = 5_000_000_000
    var part = TearingResult.Part(step, count)
    change(&part)
    return part
  }

  private static func result(_ parts: [TearingResult.Part]) -> TearingResult {
    var result = TearingResult(run: 123_456)
    result.selfCheck = .init(inMemory: true, onTarget: true)
    result.parts = parts
    return result
  }

  private static let untorn = result([
    part(512, .path, yes), part(1024, .path, yes), part(2048, .path, yes),
    part(524_288, .oneCommand, torn: 25),
    part(2_097_152, .severalCommands, read: 262_144, torn: 310),
  ])

  /// Everything that can be said of a size.
  private static let torn = result([
    part(4096, .path, yes),
    part(16384, .path, yes, split: nil, torn: 3) {
      ($0.count.damaged, $0.count.foreign, $0.count.stale, $0.count.leftTorn) = (1, 0, 0, 2)
      $0.evidence = [
        TearingEvidence(
          kind: .torn,
          offsetBytes: 16384,
          sizeBytes: 16384,
          readOffsetBytes: 16384,
          readBytes: 16384,
          overlaps: 2,
          pieces: [
            .init(blocks: 20, sequence: 77, writer: 1, offsetBytes: 16384, isOwn: true),
            .init(blocks: 1),
            .init(blocks: 11, sequence: 76, writer: 0, offsetBytes: 0, isOwn: false),
          ]
        )
      ]
    },
    part(32768, .path, .fails(.softwareIsSeenTorn), split: true, torn: 9),
    part(524_288, .severalCommands, split: nil) {
      ($0.count.foreign, $0.count.stale) = (0, 0)
    },
  ])

  private static func summary(
    _ result: TearingResult,
    _ path: WritePath = .kernel,
    failure: Failure? = nil
  ) -> TearingSummary {
    TearingSummary(
      target: "/dev/nvme0n1",
      path: path,
      options: TearingOptions(),
      range: 0..<1 << 30,
      blockBytes: 512,
      result: result,
      failure: failure
    )
  }

  private static func interrupted(_ result: TearingResult) -> TearingResult {
    var result = result
    result.isInterrupted = true
    result.selfCheck?.onTarget = nil
    return result
  }

  @Test(
    arguments: [
      ("verify-tearing-untorn", untorn), ("verify-tearing-torn", torn),
      ("verify-tearing-interrupted", interrupted(untorn)),
    ] as [(String, TearingResult)]
  )
  func whatIsPrintedIsAsRecorded(name: String, result: TearingResult) throws {
    let summary = Self.summary(result)
    try Snapshot.check(summary.text, "\(name).txt")
    try Snapshot.check(summary.document.rendered, "\(name).json")
  }

  @Test func itNeverSpeaksOfPowerFailuresAsShown() {
    for result in [Self.untorn, Self.torn] {
      #expect(Self.summary(result).text.contains("it says nothing about power failures"))
    }
  }

  @Test func theConclusionDecidesHowItEnds() {
    #expect(Self.summary(Self.untorn).exitCode == ExitCode(0))
    #expect(Self.summary(Self.torn).exitCode == ExitCode(1))
    var blind = Self.untorn
    blind.selfCheck = .init(inMemory: false, onTarget: nil)
    #expect(Self.summary(blind).exitCode == ExitCode(2))
    let software = Self.result([Self.part(4096, .path, .fails(.softwareIsSeenTorn), torn: 9)])
    #expect(software.conclusion == .notPromised)
    #expect(Self.summary(software).exitCode == ExitCode(2))
    #expect(Self.summary(Self.interrupted(Self.torn)).exitCode == ExitCode(130))
    let failure = Failure(.outcomeUnknown(FailureCause(.ioError)), target: "/dev/nvme0n1")
    #expect(Self.summary(Self.torn, failure: failure).exitCode == ExitCode(3))
  }

  @Test(.enabled(if: Checker.hasSchemaValidator, "python3-jsonschema is not here: run Tests/run"))
  func everySpoiltDocumentIsNoticed() throws {
    let failure = Failure(.outcomeUnknown(FailureCause(.ioError)), target: "/dev/nvme0n1")
    let documents = [
      Self.summary(Self.torn, .passthrough).document.rendered,
      Self.summary(Self.torn, .plain, failure: failure).document.rendered,
      failure.document(format: VerifyTearingCommand.format).rendered,
    ]
    let text = "[" + documents.joined(separator: ",") + "]"
    let checker = try Checker.schema(text, spoiling: true)
    #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
    #expect(checker.output == "3 documents\n")
  }
}
