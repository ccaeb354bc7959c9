import LinuxIO
import NVMeAtomic
import SystemPackage

/// Writes to a simulated drive by the library's own planner and engine, cuts the power after every
/// step, and looks at what may be left.
///
/// One seed decides everything: the drive, the rules, the writes, the order in which they end, and
/// which of too many images are looked at.
package struct CrashExplorer {
  /// What is made wrong on purpose, for the explorer to notice.
  package enum Mutant: Hashable, Sendable {
    case drive(SimulatedDrive.Lie)
    case storage(SimulatedStorage.Mutant)
    /// The drive's limit is taken for one block more, as by forgetting that it is 0's-based twice.
    case limitOffByOne
    /// NABSPF is not looked at.
    case ignoresBoundary
    /// Ordinary writes are taken for atomic ones.
    case plainWrites
    /// What a cache may do to a write that has ended is taken for certain not to happen.
    case trustsCache

    package static var all: [Self] {
      SimulatedDrive.Lie.allCases.map { .drive($0) }
        + SimulatedStorage.Mutant.allCases.map { .storage($0) }
        + [.limitOffByOne, .ignoresBoundary, .plainWrites, .trustsCache]
    }

    package var name: String {
      switch self {
      case .drive(let lie): lie.rawValue
      case .storage(let mutant): mutant.rawValue
      case .limitOffByOne: "limit-off-by-one"
      case .ignoresBoundary: "ignores-boundary"
      case .plainWrites: "plain-writes"
      case .trustsCache: "trusts-cache"
      }
    }
  }

  /// What was looked at.
  package struct Tally: Sendable {
    /// Moments at which the power was cut.
    package var crashPoints = 0
    /// Images that were looked at.
    package var images = 0
    /// Writes that were carried out, and that the planner refused.
    package var writes = 0
    package var refused = 0

    package init() {}

    package mutating func add(_ other: Self) {
      crashPoints += other.crashPoints
      images += other.images
      writes += other.writes
      refused += other.refused
    }
  }

  /// Images of one crash point that are looked at one and all; of more, as many by chance.
  private static let mostWays = 48

  private let seed: UInt64
  private let mutant: Mutant?
  private var random: SplitMix64
  private var geometry = SimulatedDrive.Geometry()
  private var durability = Durability.onReturn
  private var rule = WriteEngine<SimulatedStorage>.DurabilityRule.single
  private let depth: Int
  /// One of so many commands fails; 0: none.
  private var failsOneOf: UInt64 = 0

  package init(seed: UInt64, mutant: Mutant? = nil) {
    self.seed = seed
    self.mutant = mutant
    random = SplitMix64(seed)
    depth = Int(1 + random.below(4))
    geometry.blocks = 24
    geometry.powerFailBlocks = Int(1 + random.below(6))
    geometry.isOfNamespace = random.below(2) == 0
    geometry.hasVolatileCache = random.below(4) > 0
    if random.below(2) == 0 {
      geometry.boundaryBlocks = geometry.powerFailBlocks + Int(random.below(5))
      geometry.boundaryOffsetBlocks = Int(random.below(UInt64(geometry.boundaryBlocks)))
      // A boundary of one block has no number: 0 stands for none.
      if geometry.boundaryBlocks == 1 { geometry.boundaryBlocks = 0 }
    }
    chooseRule()
    if random.below(3) == 0 { failsOneOf = 4 + random.below(24) }
  }

  /// The drive and the rules that the seed has chosen.
  package var scenario: String {
    let boundary =
      geometry.boundaryBlocks == 0
      ? "no boundary" : "boundary \(geometry.boundaryBlocks) from \(geometry.boundaryOffsetBlocks)"
    return "\(geometry.powerFailBlocks) blocks kept whole, "
      + "\(geometry.isOfNamespace ? "NAWUPF" : "AWUPF"), \(boundary), "
      + "\(geometry.hasVolatileCache ? "a volatile cache" : "no cache")"
      + "\(geometry.tearsCached ? " that may tear" : ""), depth \(depth), "
      + "durability \(durability), rule \(rule), "
      + (failsOneOf == 0 ? "nothing fails" : "one of \(failsOneOf) commands fails")
  }

  /// Which promises the writes are to keep, and how they become durable.
  private mutating func chooseRule() {
    switch random.below(4) {
    case 0: (durability, rule) = (.none, .none)
    case 1: (durability, rule) = (.onReturn, .single)
    case 2: (durability, rule) = (.onReturn, .shared)
    default: (durability, rule) = (.onReturn, .faster(window: 3))
    }
    // Only FUA leaves nothing to a cache: all else rests on the assumption that what has ended
    // there stays whole.
    if case .single = rule { geometry.tearsCached = true }
    if mutant == .trustsCache { geometry.tearsCached = true }
  }

  /// Writes, and looks at what each power failure leaves.
  ///
  /// - Returns: What was looked at, and the first thing that must not be; `nil` where all was well.
  package mutating func explore() -> (Tally, String?) {
    var lie: SimulatedDrive.Lie?
    if case .drive(let wanted)? = mutant { lie = wanted }
    let drive = SimulatedDrive(geometry, lie: lie)
    guard let limits = drive.limits else { return (Tally(), "the drive's pages cannot be decoded") }
    let witness = CrashWitness(drive, seed: random.next(), mostWays: Self.mostWays)
    var storageMutant: SimulatedStorage.Mutant?
    if case .storage(let wanted)? = mutant { storageMutant = wanted }
    let storage = SimulatedStorage(
      drive,
      depth: depth,
      seed: random.next(),
      mutant: storageMutant,
      failsOneOf: failsOneOf,
      onStep: witness.look
    )
    // Which way of flushing is faster is chance here.
    var (times, now) = (SplitMix64(random.next()), UInt64(0))
    var engine = WriteEngine(
      storage,
      .init(
        isAtomic: mutant != .plainWrites,
        durability: rule,
        triesAgain: false,
        clock: {
          now += times.below(1000)
          return now
        }
      )
    )
    let problem = write(&engine, target(limits), witness)
    return (witness.tally, witness.problem ?? problem)
  }

  private func target(_ limits: DeviceLimits) -> TargetLimits {
    var limits = limits
    if mutant == .limitOffByOne { limits.powerFailBytes += UInt64(geometry.blockBytes) }
    if mutant == .ignoresBoundary { limits.powerFailBoundary = nil }
    var target = TargetLimits(kind: .namespace, drive: .known(limits))
    target.queue.maxHWSectorsKB = 1024
    target.startBytes = 0
    target.sizeBytes = UInt64(geometry.blocks * geometry.blockBytes)
    return target
  }

  /// A few dozen writes, of which some are too long or cross a line and are refused.
  private mutating func write(
    _ engine: inout WriteEngine<SimulatedStorage>,
    _ target: TargetLimits,
    _ witness: CrashWitness
  ) -> String? {
    var admission = WriteAdmission(
      target,
      path: .passthrough,
      durability: durability,
      isStrict: false,
      allowsShared: false
    )
    let block = geometry.blockBytes
    let size = geometry.blocks * block
    let memory = AlignedMemory(byteCount: depth * size)
    var numbers = [Int](repeating: 0, count: depth)
    for _ in 0..<24 where witness.problem == nil && !witness.isClosed {
      let blocks = Int(1 + random.below(UInt64(geometry.powerFailBlocks + 2)))
      let first = Int(random.below(UInt64(geometry.blocks)))
      do throws(AtomicWriteError) {
        try admission.admit(offset: UInt64(first * block), length: UInt64(blocks * block))
      } catch {
        witness.tally.refused += 1
        continue
      }
      // Who owns the target keeps what failed from being written to.
      if witness.hasFailed(in: first..<first + blocks) { continue }
      while !engine.hasRoom { if let problem = tell(&engine, numbers, witness) { return problem } }
      let slot = engine.nextSlot
      // SAFETY: the memory of a slot is let go when its write has been told.
      let bytes = unsafe memory.piece(from: slot * size, byteCount: blocks * block)
      // SAFETY: as above.
      numbers[slot] = unsafe witness.begin(firstBlock: first, blocks: blocks, bytes)
      do throws(WriteEngine<SimulatedStorage>.BeginFailure) {
        // SAFETY: the memory of a slot is let go when its write has been told.
        try unsafe engine.begin(
          inSlot: slot,
          bytes.baseAddress.unsafelyUnwrapped,
          byteCount: blocks * block,
          atBytes: UInt64(first * block)
        )
      } catch {
        guard case .rangeUnknown = error, failsOneOf > 0 else {
          return "seed \(seed): a write could not be begun"
        }
        witness.takeBack(numbers[slot])
      }
      if random.below(16) == 0 { flush(&engine, numbers, witness) }
    }
    while engine.inFlightCount > 0 {
      if let problem = tell(&engine, numbers, witness) { return problem }
    }
    return nil
  }

  /// The next write that has ended: durable from now on, where that was asked for.
  private func tell(
    _ engine: inout WriteEngine<SimulatedStorage>,
    _ numbers: [Int],
    _ witness: CrashWitness
  ) -> String? {
    do throws(Errno) {
      guard let ended = try engine.next() else { return "seed \(seed): nothing is told" }
      if let failure = ended.failure {
        witness.fail(numbers[ended.slot], isOfFlush: failure.isOfFlush)
        return failsOneOf > 0 ? nil : "seed \(seed): a write failed"
      }
      witness.end(numbers[ended.slot], isDurable: durability == .onReturn)
      return nil
    } catch {
      return "seed \(seed): \(error)"
    }
  }

  /// Waits for everything, and flushes: what was told before is durable, whatever its rule.
  private func flush(
    _ engine: inout WriteEngine<SimulatedStorage>,
    _ numbers: [Int],
    _ witness: CrashWitness
  ) {
    while engine.inFlightCount > 0 {
      if tell(&engine, numbers, witness) != nil { return }
    }
    let ended = witness.endedNumbers
    // After a failed one, one that succeeds says nothing.
    guard engine.flush() == .complete else { return witness.close() }
    if witness.isClosed { return }
    for number in ended { witness.end(number, isDurable: true) }
  }
}

extension WriteFailure {
  fileprivate var isOfFlush: Bool {
    if case .flush = self { true } else { false }
  }
}
