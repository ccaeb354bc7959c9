import LinuxIO
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// The hunt for torn reads, whole, on drives in memory: each broken word is found, a kept one is
/// not doubted, and nothing is said where nothing was shown.
@Suite(.serialized) struct TearingRunTests {
  /// 64 KiB whole for readers, 16 KiB for a power failure, 512 KiB in one command.
  static let limits = FixtureTarget.named("namespace-4k-cached")?.report().limits

  static func run(
    _ mistake: TearingDrive.Mistake,
    milliseconds: UInt64 = 150,
    sizes: [UInt64] = [4096, 16384],
    longestControl: UInt64 = 10_000_000_000,
    shouldStop: () -> Bool = { false }
  ) throws -> (TearingResult, TearingDrive) {
    var options = TearingOptions()
    options.sizesBytes = sizes
    options.lengthBytes = 8 << 20
    options.runtimeNanoseconds = milliseconds * 1_000_000
    let limits = try #require(Self.limits)
    let plan = try TearingPlan(
      limits,
      sizeBytes: 1 << 30,
      path: .kernel,
      allowsShared: false,
      options
    )
    let kinds: [TearingStep.Kind] = sizes.map { _ in .path } + [.oneCommand, .severalCommands]
    #expect(plan.steps.map(\.kind) == kinds)
    #expect(plan.steps.prefix(sizes.count).allSatisfy { $0.isPromised })
    let drive = TearingDrive(byteCount: 8 << 20, keptBytes: 65536, mistake)
    let run = TearingRun(plan, options, longestControlNanoseconds: longestControl) {
      TearingDriveAccess(drive: drive)
    }
    return (run.run(shouldStop: shouldStop, progress: { _, _ in }), drive)
  }

  static func path(_ result: TearingResult) -> [TearingResult.Part] {
    result.parts.filter { $0.step.kind == .path }
  }

  @Test func aDriveThatKeepsItsWordIsUntorn() throws {
    let (result, drive) = try Self.run(.none)
    #expect(result.conclusion == .untorn, "\(result.because)")
    #expect(result.selfCheck == .init(inMemory: true, onTarget: true))
    for part in Self.path(result) {
      let count = part.count
      #expect(count.bad == 0)
      #expect(count.sawOld + count.sawNew == count.reads)
      #expect(count.overlappedReads > 0 && count.overlappedReads <= count.reads)
      #expect(count.sawNew > 0 && count.sawOld > 0, "\(count)")
      #expect(count.elapsedNanoseconds >= 150_000_000)
      #expect(part.evidence == [])
    }
    let control = try #require(result.parts.first { $0.step.kind == .oneCommand })
    #expect(control.count.torn >= 10 && !control.evidence.isEmpty, "it goes on until ten were")
    let writes = result.parts.reduce(0) { $0 + $1.count.writes }
    // Two of the self-check, and one that fills each range.
    #expect(drive.writeCount == Int(writes) + 2 + 2 * result.parts.count)
  }

  @Test func aDriveThatTearsIsFound() throws {
    let (result, _) = try Self.run(.tears)
    #expect(result.conclusion == .torn, "\(result.because)")
    let torn = try #require(Self.path(result).first { $0.count.torn > 0 })
    let evidence = try #require(torn.evidence.first { $0.kind == .torn })
    #expect(evidence.sizeBytes == torn.step.sizeBytes && evidence.overlaps > 0)
    #expect(evidence.pieces.count > 1)
    let blocks = evidence.pieces.reduce(0) { $0 + $1.blocks }
    #expect(blocks * 4096 == evidence.readBytes)
    #expect(Set(evidence.pieces.map(\.sequence)).count > 1)
  }

  @Test(
    arguments: [
      (.loses, .stale), (.misplaces, .foreign), (.damages, .damaged), (.tearsInside, .damaged),
    ] as [(TearingDrive.Mistake, TearingEvidence.Kind)]
  )
  func otherBrokenWordsAreFound(
    mistake: TearingDrive.Mistake,
    kind: TearingEvidence.Kind
  ) throws {
    let (result, _) = try Self.run(mistake, longestControl: 0)
    #expect(result.conclusion == .torn, "\(result.because)")
    #expect(result.parts.contains { $0.evidence.contains { $0.kind == kind } })
  }

  @Test func aDriveThatIsNeverSeenTornShowsNothing() throws {
    let (result, _) = try Self.run(.never, longestControl: 0)
    #expect(result.conclusion == .inconclusive)
    #expect(result.because.contains("neither was any"))
    #expect(result.parts.allSatisfy { $0.count.bad == 0 })
  }

  @Test func whoDoesNotNoticeAnInjectedTearDoesNotBegin() throws {
    let (result, drive) = try Self.run(.hidesInjections)
    #expect(result.conclusion == .inconclusive)
    #expect(result.selfCheck == .init(inMemory: true, onTarget: false))
    #expect(result.parts.isEmpty && drive.writeCount == 2)
  }

  @Test(arguments: [0, 1, 7, 400])
  func aFailureEndsItWithWhatWasSeen(after: Int) throws {
    let (result, _) = try Self.run(.failsReads(after: after))
    #expect(result.failure?.error == .readFailed(FailureCause(.ioError)))
    #expect(result.conclusion == .inconclusive)
    #expect(result.parts.count < 4)
    let (refused, drive) = try Self.run(.refusesWrites(after: after))
    #expect(refused.failure?.error == .notWritten(FailureCause(.noSpace)))
    // Each thread may meet the refusal once.
    #expect(drive.writeCount <= after + 3)
  }

  @Test func theCallerEndsItWithWhatWasSeen() throws {
    let asked = Atomic(0)
    let (result, _) = try Self.run(
      .none,
      milliseconds: 60_000,
      shouldStop: { asked.add(1, ordering: .relaxed).newValue > 20 }
    )
    #expect(result.isInterrupted && result.conclusion == .inconclusive)
    #expect(result.parts.count == 1)
    #expect(result.parts[0].count.reads > 0)
  }

  /// Each access is used by the thread that made it, and all threads have one.
  @Test func progressIsTold() throws {
    var options = TearingOptions()
    options.sizesBytes = [16384]
    options.lengthBytes = 8 << 20
    options.runtimeNanoseconds = 600_000_000
    let plan = try TearingPlan(
      try #require(Self.limits),
      sizeBytes: 1 << 30,
      path: .kernel,
      allowsShared: false,
      options
    )
    let drive = TearingDrive(byteCount: 8 << 20, keptBytes: 65536, .none)
    var told: [UInt64] = []
    _ = TearingRun(plan, options) { TearingDriveAccess(drive: drive) }.run(
      shouldStop: { told.count >= 2 },
      progress: { step, count in
        #expect(step == plan.steps[0])
        #expect(count.elapsedNanoseconds >= UInt64(told.count + 1) * 250_000_000)
        told.append(count.reads)
      }
    )
    #expect(told.count == 2 && told[0] > 0 && told[1] > told[0])
  }
}
