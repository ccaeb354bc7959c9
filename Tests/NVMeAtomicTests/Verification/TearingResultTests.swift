import SystemPackage
import Testing

@testable import NVMeAtomic

/// What follows from what was seen: never a yes where a doubt is left.
@Suite struct TearingResultTests {
  static let yes = PathVerdict.holds(PathPromise(backing: .hardware))
  static let no = PathVerdict.fails(.softwareIsSeenTorn)
  static let unknown = PathVerdict.unknown(.placement)
  static let doubtful = PathVerdict.holds(
    PathPromise(backing: .hardware, assumptions: [.fabricsClaim(transport: "tcp")])
  )

  static func part(
    _ kind: TearingStep.Kind,
    _ promise: PathVerdict?,
    overlaps: UInt64 = 1000,
    split: Bool? = false,
    _ change: (inout TearingCount) -> Void = { _ in }
  ) -> TearingResult.Part {
    let step = TearingStep(
      sizeBytes: kind == .path ? 16384 : 524_288,
      kind: kind,
      promise: promise,
      readBytes: 16384,
      readMayBeSplit: split,
      offsetsBytes: [0]
    )
    var count = TearingCount()
    (count.reads, count.overlappedReads) = (2 * overlaps, overlaps)
    change(&count)
    return .init(step, count)
  }

  static func control(_ torn: UInt64, of overlaps: UInt64 = 1000) -> TearingResult.Part {
    part(.oneCommand, nil, overlaps: overlaps) { $0.torn = torn }
  }

  static func result(_ parts: TearingResult.Part...) -> TearingResult {
    var result = TearingResult(run: 1)
    result.selfCheck = .init(inMemory: true, onTarget: true)
    result.parts = parts
    return result
  }

  @Test func untornNeedsATornControl() {
    #expect(Self.result(Self.part(.path, Self.yes), Self.control(50)).conclusion == .untorn)
    #expect(Self.result(Self.part(.path, Self.yes), Self.control(0)).conclusion == .inconclusive)
    #expect(Self.result(Self.part(.path, Self.yes)).conclusion == .inconclusive)
    let several = Self.part(.severalCommands, nil) { $0.torn = 500 }
    #expect(Self.result(Self.part(.path, Self.yes), several).conclusion == .inconclusive)
  }

  /// Longer reads that may be several commands are torn by themselves.
  @Test(arguments: [true, nil])
  func aControlWhoseReadsMayBeSplitShowsNothing(split: Bool?) {
    let control = Self.part(.oneCommand, nil, split: split) { $0.torn = 500 }
    #expect(Self.result(Self.part(.path, Self.yes), control).conclusion == .inconclusive)
  }

  /// At the control's rate three torn reads must be expected: the last that is too few, and the
  /// first that is enough.
  @Test(arguments: [(299, false), (300, true)] as [(UInt64, Bool)])
  func tooFewReadsDuringWritesShowNothing(overlaps: UInt64, isEnough: Bool) {
    let result = Self.result(
      Self.part(.path, Self.yes, overlaps: 5000),
      Self.part(.path, Self.yes, overlaps: overlaps),
      Self.control(10, of: 1000)
    )
    #expect((result.conclusion == .untorn) == isEnough, "\(result.because)")
  }

  /// Counts may be as large as they like.
  @Test func largeCountsDoNotOverflow() {
    let result = Self.result(
      Self.part(.path, Self.yes, overlaps: .max / 4),
      Self.control(.max / 8, of: .max / 4)
    )
    #expect(result.conclusion == .untorn)
  }

  @Test(
    arguments: [
      { $0.torn = 1 }, { $0.damaged = 1 }, { $0.leftTorn = 1 }, { $0.stale = 1 },
      { $0.foreign = 1 },
    ] as [@Sendable (inout TearingCount) -> Void]
  )
  func oneBadReadWithinTheLimitsIsTorn(change: @Sendable (inout TearingCount) -> Void) {
    let bad = Self.part(.path, Self.yes, change)
    #expect(Self.result(Self.part(.path, Self.yes), bad, Self.control(50)).conclusion == .torn)
  }

  /// Where untorn data are not known to be promised, or reads to be one command, torn ones are no
  /// broken promise, nor is one of others kept by that.
  @Test(arguments: [(unknown, false), (doubtful, false), (yes, true), (yes, nil)])
  func tornDataInDoubtAreInconclusive(promise: PathVerdict, split: Bool?) {
    for change: (inout TearingCount) -> Void in [{ $0.torn = 1 }, { $0.damaged = 1 }] {
      let bad = Self.part(.path, promise, split: split, change)
      let result = Self.result(Self.part(.path, Self.yes), bad, Self.control(50))
      #expect(result.conclusion == .inconclusive)
      #expect(result.because.contains("1 reads or ranges of 16 KiB were seen torn"))
    }
    // What is left torn is so for any reader.
    let left = Self.part(.path, promise, split: split) { $0.leftTorn = 1 }
    let conclusion = Self.result(left, Self.control(50)).conclusion
    #expect(conclusion == (promise == Self.yes ? .torn : .inconclusive))
  }

  /// By the drive's mistake, or somebody else's: no path gives anybody that right.
  @Test(arguments: [yes, no, unknown, nil] as [PathVerdict?])
  func dataThatNobodyWroteAreNobodysRight(promise: PathVerdict?) {
    let kind: TearingStep.Kind = promise == nil ? .severalCommands : .path
    let bad = Self.part(kind, promise) { ($0.damaged, $0.damagedAlone) = (1, 1) }
    #expect(Self.result(Self.part(.path, Self.no), bad).conclusion == .torn)
  }

  @Test func whatNobodyPromisesIsNoFailureAndNoYes() {
    let torn = Self.part(.path, Self.no) { ($0.torn, $0.leftTorn, $0.damaged) = (5, 1, 2) }
    let result = Self.result(torn, Self.control(50))
    #expect(result.conclusion == .notPromised)
    #expect(result.because.contains("8 were seen torn"))
    #expect(Self.result(Self.part(.path, Self.no)).conclusion == .notPromised)
    // What is promised beside it decides.
    #expect(Self.result(Self.part(.path, Self.yes), torn, Self.control(50)).conclusion == .untorn)
  }

  /// A read that began after a write's end and does not see it is wrong on any path.
  @Test(arguments: [yes, no, unknown, nil] as [PathVerdict?])
  func staleAndForeignDataAreNobodysRight(promise: PathVerdict?) {
    let kind: TearingStep.Kind = promise == nil ? .severalCommands : .path
    let stale = Self.part(kind, promise) { ($0.stale, $0.staleAlone) = (1, 1) }
    #expect(Self.result(Self.part(.path, Self.no), stale).conclusion == .torn)
    let foreign = Self.part(kind, promise) { ($0.foreign, $0.foreignAlone) = (1, 1) }
    #expect(Self.result(Self.part(.path, Self.no), foreign).conclusion == .torn)
  }

  /// XFS moves blocks in software, and a read may meet what takes their old place.
  @Test func foreignDataDuringWritesThatNobodyPromisesAreNoFailure() {
    let moved = Self.part(.path, Self.no) { ($0.foreign, $0.stale) = (3, 2) }
    #expect(Self.result(moved).conclusion == .notPromised)
    #expect(Self.result(moved).because.contains("5 saw other data"))
    for change: (inout TearingCount) -> Void in [{ $0.foreign = 1 }, { $0.stale = 1 }] {
      let control = Self.part(.severalCommands, nil, change)
      #expect(Self.result(Self.part(.path, Self.no), control).conclusion == .torn)
    }
  }

  @Test(arguments: [unknown, doubtful])
  func anUnknownPromiseIsNoYes(promise: PathVerdict) {
    let result = Self.result(
      Self.part(.path, Self.yes),
      Self.part(.path, promise),
      Self.control(50)
    )
    #expect(result.conclusion == .inconclusive)
    let beside = Self.result(Self.part(.path, Self.no), Self.part(.path, promise), Self.control(50))
    #expect(beside.conclusion == .inconclusive)
  }

  @Test(
    arguments: [nil, .init(inMemory: false, onTarget: nil), .init(inMemory: true, onTarget: false)]
      as [TearingResult.SelfCheck?]
  )
  func aBlindCheckerSaysNothing(check: TearingResult.SelfCheck?) {
    var result = Self.result(Self.part(.path, Self.yes), Self.control(50))
    result.selfCheck = check
    #expect(result.conclusion == .inconclusive)
  }

  @Test func whatEndedEarlyIsInconclusiveUnlessItWasTorn() {
    var result = Self.result(Self.part(.path, Self.yes), Self.control(50))
    result.isInterrupted = true
    #expect(result.conclusion == .inconclusive)
    result.isInterrupted = false
    result.failure = (.readFailed(FailureCause(.ioError)), 0)
    #expect(result.conclusion == .inconclusive)
    result.parts[0].count.torn = 1
    #expect(result.conclusion == .torn)
  }
}
