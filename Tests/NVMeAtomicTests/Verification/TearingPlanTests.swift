import TestSupport
import Testing

@testable import NVMeAtomic

/// Which sizes are hunted, where, and what counts as beyond the limits.
@Suite struct TearingPlanTests {
  static let kib: UInt64 = 1024

  static func plan(
    _ name: String,
    _ path: WritePath = .kernel,
    sizeBytes: UInt64 = 1 << 30,
    _ change: (inout TearingOptions) -> Void = { _ in },
    facts: (inout TargetLimits) -> Void = { _ in }
  ) throws -> TearingPlan {
    var limits = try #require(FixtureTarget.named(name)).report().limits
    facts(&limits)
    var options = TearingOptions()
    change(&options)
    return try TearingPlan(
      limits,
      sizeBytes: sizeBytes,
      path: path,
      allowsShared: false,
      options
    )
  }

  static func sizes(_ plan: TearingPlan, _ kind: TearingStep.Kind = .path) -> [UInt64] {
    plan.steps.filter { $0.kind == kind }.map(\.sizeBytes)
  }

  /// NAWUPF 16 KiB, NAWUN 64 KiB, 128 KiB in one command.
  @Test func eachPowerOfTwoUpToTheLimitAndThenBeyond() throws {
    for path in [WritePath.kernel, .passthrough] {
      let plan = try Self.plan("namespace", path)
      #expect(plan.blockBytes == 512)
      #expect(Self.sizes(plan) == [512, 1024, 2048, 4096, 8192, 16384])
      #expect(plan.steps.prefix(6).allSatisfy { $0.isPromised && $0.readMayBeSplit == false })
      #expect(plan.steps.prefix(6).allSatisfy { $0.readBytes == $0.sizeBytes })
      #expect(Self.sizes(plan, .oneCommand) == [128 * Self.kib])
      // A command of our own is never several.
      #expect(Self.sizes(plan, .severalCommands) == (path == .kernel ? [512 * Self.kib] : []))
    }
  }

  /// What is larger than the drive's unit for power failures, and not than that for readers, shows
  /// nothing: the control is beyond both.
  @Test func theControlIsBeyondWhatReadersArePromised() throws {
    let plan = try Self.plan(
      "namespace",
      facts: { facts in
        if case .known(var drive) = facts.drive {
          drive.normalBytes = 128 * Self.kib
          facts.drive = .known(drive)
        }
      }
    )
    #expect(Self.sizes(plan, .oneCommand) == [])
    let below = try Self.plan(
      "namespace",
      facts: { facts in
        if case .known(var drive) = facts.drive {
          drive.normalBytes = 127 * Self.kib
          facts.drive = .known(drive)
        }
      }
    )
    #expect(Self.sizes(below, .oneCommand) == [128 * Self.kib])
  }

  @Test func ordinaryWritesAreTriedUpToOneCommand() throws {
    let plan = try Self.plan("namespace-nomerges", .plain)
    #expect(Self.sizes(plan).first == 512 && Self.sizes(plan).last == 128 * Self.kib)
    let promised = plan.steps.filter(\.isPromised).map(\.sizeBytes)
    #expect(promised == [512, 1024, 2048, 4096, 8192, 16384])
    #expect(plan.steps.first { $0.sizeBytes == 32 * Self.kib }?.isNotPromised == true)
    #expect(Self.sizes(plan, .oneCommand) == [])
  }

  /// `max_segments` 33 less one page for the kernel's own ways leaves 128 KiB, as the limit does.
  @Test(
    arguments: [
      (128, 33, 128), (127, 33, 64), (1280, 33, 128), (1280, 32, 128), (1280, 31, 64),
      (1280, 1000, 1024),
    ] as [(UInt64, UInt64, UInt64)]
  )
  func whatOneCommandCarriesIsThePowerOfTwoBelowAllLimits(
    kilobytes: UInt64,
    segments: UInt64,
    expected: UInt64
  ) throws {
    let plan = try Self.plan(
      "namespace",
      facts: { facts in
        (facts.queue.maxSectorsKB, facts.queue.maxSegments) = (kilobytes, segments)
      }
    )
    #expect(plan.oneCommandBytes == expected * Self.kib)
  }

  @Test func whatIsNotKnownIsNotGuessed() throws {
    let changes: [(inout TargetLimits) -> Void] = [
      { $0.queue.maxSectorsKB = nil }, { $0.queue.maxSegments = nil },
    ]
    for change in changes {
      let plan = try Self.plan("namespace", facts: change)
      #expect(plan.oneCommandBytes == nil)
      #expect(Self.sizes(plan, .oneCommand) == [])
      // One block is one command, whatever the limits are.
      #expect(plan.steps.map(\.readMayBeSplit) == [false] + plan.steps.dropFirst().map { _ in nil })
    }
    let stacked = try Self.plan("dm")
    #expect(stacked.oneCommandBytes == nil && Self.sizes(stacked, .oneCommand) == [])
    let lines = try Self.plan("namespace", .plain, facts: { $0.queue.chunkSectors = nil })
    #expect(lines.steps.dropFirst().allSatisfy { $0.readMayBeSplit == nil })
  }

  /// Reads of whole ranges lie between the lines that commands are cut at; longer ones do not, and
  /// of pieces of longer ones nobody knows.
  @Test func linesThatReadsAreCutAtCount() throws {
    let plan = try Self.plan("namespace", .plain, facts: { $0.queue.chunkSectors = 16 })
    let split = Dictionary(
      uniqueKeysWithValues: plan.steps.map { ($0.sizeBytes, $0.readMayBeSplit) }
    )
    // Nothing longer is one command.
    #expect(plan.oneCommandBytes == 8192 && Self.sizes(plan, .oneCommand) == [])
    #expect(split[8192] == .some(false) && split[16384] == nil)
    let longer = plan.steps.filter { $0.kind == .severalCommands }
    #expect(!longer.isEmpty && longer.allSatisfy { $0.readMayBeSplit == nil })
  }

  /// Longer writes are read in pieces of half a command, which nothing cuts wherever they begin.
  @Test func longerWritesAreReadInPieces() throws {
    let plan = try Self.plan("namespace")
    let several = try #require(plan.steps.first { $0.kind == .severalCommands })
    #expect(several.readBytes == 64 * Self.kib && several.readMayBeSplit == false)
  }

  @Test func rangesAreWholeAlignedAndWithin() throws {
    let plan = try Self.plan("namespace") {
      ($0.offsetBytes, $0.lengthBytes, $0.writers) = (5000, 100_000, 3)
    }
    for step in plan.steps {
      #expect(!step.offsetsBytes.isEmpty && step.offsetsBytes.count <= 3)
      for offset in step.offsetsBytes {
        #expect(
          offset >= 5000 && offset + step.sizeBytes <= 105_000 && offset % step.sizeBytes == 0
        )
      }
      #expect(Set(step.offsetsBytes).count == step.offsetsBytes.count)
    }
    // No room for 128 KiB, nor for more.
    #expect(Self.sizes(plan, .oneCommand) == [] && Self.sizes(plan, .severalCommands) == [])
    let four = try Self.plan("namespace") { ($0.offsetBytes, $0.lengthBytes) = (4096, 1024) }
    #expect(Self.sizes(four) == [512, 1024])
    #expect(four.steps[0].offsetsBytes == [4096, 4608] && four.steps[1].offsetsBytes == [4096])
  }

  /// Lines 32 KiB apart from 4 KiB on: commands of 24 KiB fit between them at some places only.
  @Test func placesAcrossALineAreLeftOut() throws {
    let plan = try Self.plan("namespace-boundary-offset", .passthrough)
    for step in plan.steps where step.kind == .path {
      for offset in step.offsetsBytes {
        var admission = WriteAdmission(
          try #require(FixtureTarget.named("namespace-boundary-offset")).report().limits,
          path: .passthrough,
          durability: .none,
          isStrict: false,
          allowsShared: false
        )
        #expect(throws: Never.self) { try admission.admit(offset: offset, length: step.sizeBytes) }
      }
    }
  }

  @Test func aSizeThatIsAskedForIsTakenOrRefused() throws {
    let some = try Self.plan("namespace") { $0.sizesBytes = [16384, 512] }
    #expect(Self.sizes(some) == [16384, 512])
    for (size, path) in [
      (32768, .kernel), (12288, .kernel), (32768, .passthrough), (0, .plain), (513, .plain),
    ] as [(UInt64, WritePath)] {
      #expect(throws: AtomicWriteError.self) {
        try Self.plan("namespace", path) { $0.sizesBytes = [512, size] }
      }
    }
    // What is no power of two, commands carry.
    let odd = try Self.plan("namespace", .passthrough) { $0.sizesBytes = [12288] }
    #expect(odd.steps[0].offsetsBytes == [0, 12288] && odd.steps[0].isPromised)
  }

  /// Offset, length, and the size of the target.
  @Test(
    arguments: [
      (0, 1024, 512, true), (0, 512, 512, false), (0, 511, 512, true), (512, 1, 1024, true),
      (512, 512, 1024, false), (513, 512, 2048, true), (1024, 512, 1024, true),
      (.max, 512, 1024, true), (512, .max, 1024, true),
    ] as [(UInt64, UInt64, UInt64, Bool)]
  )
  func whatDoesNotFitIsRefused(
    offset: UInt64,
    length: UInt64,
    sizeBytes: UInt64,
    isRefused: Bool
  ) throws {
    func plan() throws -> TearingPlan {
      try Self.plan("namespace", sizeBytes: sizeBytes) {
        ($0.offsetBytes, $0.lengthBytes) = (offset, length)
      }
    }
    if isRefused {
      #expect(throws: AtomicWriteError.self) { try plan() }
    } else {
      #expect(try Self.sizes(plan()) == [512])
    }
  }

  @Test func whereNothingIsTakenTheReasonIsGiven() {
    #expect(throws: AtomicWriteError.refused(.kernelOffersNone)) {
      try Self.plan("namespace-6.10")
    }
    #expect(throws: AtomicWriteError.missingFact(.metadata)) {
      try Self.plan("namespace-metadata")
    }
    #expect(throws: AtomicWriteError.refused(.kernelOffersNone)) { try Self.plan("tmpfs") }
    #expect(throws: AtomicWriteError.refused(.noDirectIO)) { try Self.plan("tmpfs", .plain) }
  }

  @Test func readersArePromisedWhatThePlannerSays() throws {
    #expect(
      try Self.plan("namespace-dn").steps.filter { $0.kind == .path }.allSatisfy {
        $0.isNotPromised
      }
    )
    let remote = try Self.plan("namespace-tcp").steps.filter { $0.kind == .path }
    #expect(remote.allSatisfy { !$0.isPromised && !$0.isNotPromised })
    let software = try Self.plan("xfs-software").steps.filter { $0.kind == .path }
    #expect(software.allSatisfy { $0.isNotPromised } && !software.isEmpty)
    // On XFS over a drive it depends on where a range lies, up to what the drive keeps.
    let mixed = try Self.plan("xfs").steps.filter { $0.kind == .path }
    #expect(
      mixed.filter { $0.sizeBytes <= 16384 }.allSatisfy { $0.promise == .unknown(.placement) }
    )
    #expect(mixed.filter { $0.sizeBytes > 16384 }.allSatisfy { $0.isNotPromised })
    #expect(mixed.allSatisfy { $0.sizeBytes <= 512 || $0.readMayBeSplit == nil })
  }

  /// What was seen before a step and not after it is not known.
  @Test func aFileThatMovesIsNotPromisedAnything() throws {
    let step = try #require(try Self.plan("xfs").steps.first)
    var before = step
    before.promise = .holds(PathPromise(backing: .hardware))
    before.readMayBeSplit = false
    #expect(TearingPlacement.agreed(before, before) == before)
    let moved = TearingPlacement.agreed(before, step)
    #expect(moved.promise == .unknown(.placement) && moved.readMayBeSplit == nil)
    #expect(moved.sizeBytes == step.sizeBytes && moved.offsetsBytes == step.offsetsBytes)
  }
}
