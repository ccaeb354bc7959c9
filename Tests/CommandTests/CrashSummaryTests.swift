import ArgumentParser
import Simulation
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic
@testable import nvme_atomic

/// What `verify crash` prints, and how it ends.
@Suite struct CrashSummaryTests {
  private static let plan = CrashPlan(
    run: 0x0123_4567_89ab_cdef,
    path: .kernel,
    isDurable: true,
    offsetBytes: 0,
    slotBytes: 16384,
    slots: 3840,
    stampBytes: 512,
    ranges: 1,
    threads: 1,
    seed: 7,
    controlBytes: 1 << 20,
    controls: 4
  )

  private static let header = CrashLogHeader(
    plan: plan,
    toolVersion: "0.1.0",
    bootID: "5a0f1e44-6a0b-4d0c-9d52-0d5be4c1a6a1",
    target: "/dev/nvme0n1",
    identity: "device nguid.0123456789abcdef0123456789abcdef",
    sizeBytes: 1 << 30,
    journal: nil,
    isSent: true
  )

  private static func summary(
    _ change: (inout CrashCheckSummary) -> Void = { _ in }
  ) -> CrashCheckSummary {
    var summary = CrashCheckSummary(
      target: "/dev/nvme0n1",
      log: CrashLog(header: header, acknowledged: [12_345])
    )
    summary.result.whole = 3700
    summary.result.blank = 140
    summary.result.seenInFlight = 1
    (summary.result.controlsTorn, summary.result.controlsWhole) = (1, 3)
    summary.isComplete = true
    change(&summary)
    return summary
  }

  private static let whole = summary()

  private static let damaged = summary { summary in
    summary.result.counts = [.torn: 25, .lost: 1]
    summary.result.damages = (0..<25).map { number in
      .init(
        kind: .torn,
        offsetBytes: number * 16384,
        lengthBytes: 16384,
        sequence: 900 + number,
        detail: "blocks 0 to 7 of operation \(900 + number), 8 to 31 of operation 12"
      )
    }
    summary.result.damages.append(
      .init(
        kind: .lost,
        offsetBytes: 1 << 20,
        lengthBytes: 16384,
        sequence: nil,
        detail: "nothing in place of operation 3"
      )
    )
    summary.findings = [CrashFinding("log-cut", .info, "The last 9 bytes were dropped.")]
  }

  private static let inconclusive = summary { summary in
    summary.result.controlsTorn = 0
    summary.findings = [.noControl]
  }

  @Test(
    arguments: [
      ("verify-crash-whole", whole), ("verify-crash-damaged", damaged),
      ("verify-crash-inconclusive", inconclusive),
    ] as [(String, CrashCheckSummary)]
  )
  func whatIsPrintedIsAsRecorded(name: String, summary: CrashCheckSummary) throws {
    try Snapshot.check(summary.text, "\(name).txt")
    try Snapshot.check(summary.document.rendered, "\(name).json")
  }

  @Test func damageOutranksDoubtAndDoubtAYes() {
    #expect(Self.whole.verdict == .whole && Self.whole.inconclusiveLine == nil)
    #expect(Self.damaged.verdict == .damaged)
    #expect(Self.inconclusive.verdict == .inconclusive)
    #expect(Self.inconclusive.inconclusiveLine?.contains("inconclusive: no ordinary write") == true)
    let both = Self.summary { summary in
      summary.findings = [.noControl, CrashFinding("x", .damage, "Gone.")]
    }
    #expect(both.verdict == .damaged)
  }

  /// Who tears no plain page shows nothing by the others.
  @Test func aSimulationThatSeesNothingIsNoYes() {
    func summary(
      _ plain: Int,
      _ kernel: Int,
      images: Int = 7,
      problem: String? = nil
    ) -> CrashSimulationSummary {
      .init(
        seed: 1,
        outcomes: [(.plain, plain), (.kernel, kernel)].map { path, torn in
          var outcome = CrashSimulation.Outcome(path: path)
          (outcome.torn, outcome.operations) = (torn, 48)
          outcome.images = path == .kernel ? images : 7
          if path == .kernel { outcome.problem = problem }
          return outcome
        }
      )
    }
    #expect(summary(9, 0).exitCode == ExitCode(0))
    #expect(summary(0, 0).exitCode == ExitCode(2))
    #expect(summary(9, 1).exitCode == ExitCode(1))
    #expect(summary(9, 0, images: 0).exitCode == ExitCode(1))
    #expect(summary(9, 0, problem: "ended").exitCode == ExitCode(1))
  }

  @Test func addressesOfLogs() {
    #expect(LogAddress("tcp:host:7000").map { [$0.host, "\($0.port)"] } == ["host", "7000"])
    #expect(LogAddress("tcp:[fe80::1]:7").map { [$0.host, "\($0.port)"] } == ["fe80::1", "7"])
    for text in ["host:7000", "tcp:host", "tcp::1", "tcp:host:0", "tcp:host:70000", "tcp:[]:1"] {
      #expect(LogAddress(text) == nil, "\(text)")
    }
  }

  @Test(.enabled(if: Checker.hasSchemaValidator, "python3-jsonschema is not here: run Tests/run"))
  func everySpoiltDocumentIsNoticed() throws {
    var result = CrashRunResult()
    result.operations = 9
    let failure = Failure(.outcomeUnknown(FailureCause(.ioError)), target: "/dev/nvme0n1")
    let run = CrashRunSummary(
      header: Self.header,
      result: result,
      promise: nil,
      isFlushed: nil,
      log: "tcp:host:7000",
      findings: [.plain],
      failure: failure
    )
    let documents = [
      Self.damaged.document.rendered, run.document.rendered,
      failure.document(format: VerifyCrashCommand.format).rendered,
    ]
    let text = "[" + documents.joined(separator: ",") + "]"
    let checker = try Checker.schema(text, spoiling: true)
    #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
  }
}
