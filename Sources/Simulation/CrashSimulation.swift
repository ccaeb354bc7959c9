import LinuxIO
package import NVMeAtomic
import SystemPackage

/// The workload of `verify crash` on a simulated drive, path by path: the power is cut after every
/// step, and what may be left is judged by the check that judges a real drive.
///
/// One seed decides everything. What is simulated is the drive; the planner, the engine, the
/// journal, the workload and the check are those that a real one meets.
package struct CrashSimulation {
  /// What was looked at, and found.
  package struct Outcome: Sendable {
    package var path: WritePath
    package var operations = 0
    /// Moments at which the power was cut.
    package var crashPoints = 0
    /// States that these cuts may leave, of which each was looked at.
    package var images = 0
    /// Images that have a page, or a transaction, of two operations.
    package var torn = 0
    /// Images that lack an operation which was acknowledged.
    package var lost = 0
    /// Images with anything else that must not be.
    package var damaged = 0
    /// The first thing that must not be, in words.
    package var example: String?
    /// Why the workload did not come to its end.
    package var problem: String?

    /// Nothing was looked at yet.
    package init(path: WritePath) {
      self.path = path
    }

    /// Whether all of the workload was done, and no image had anything that must not be.
    package var isWhole: Bool {
      torn + lost + damaged == 0 && problem == nil && images > 0
        && operations == Int(CrashSimulation.operations)
    }
  }

  /// Exchanging ranges is not among them: its promise is kept by the log of XFS, which is not
  /// simulated.
  package static let paths: [WritePath] = [.plain, .kernel, .passthrough, .journal]

  /// Logical blocks of the drive, and of a page, which is as much as it keeps whole.
  package static let blockBytes = 4096
  package static let pageBlocks = 4
  package static let pageBytes = blockBytes * pageBlocks
  private static let pages = 8
  private static let journalBlocks = 40
  private static let operations: UInt64 = 48
  private static let mostImages = 32
  /// Each is recovered.
  private static let mostJournalImages = 6

  private let seed: UInt64
  private let lie: SimulatedDrive.Lie?
  private let storageMutant: SimulatedStorage.Mutant?
  private let rules: JournalRules

  /// - Parameters:
  ///   - seed: Decides where pages go, how commands end, and which of too many images are looked
  ///     at.
  ///   - lie: What the drive does against its word, for tests.
  ///   - storage: What goes wrong on the way to the drive, for tests.
  ///   - rules: Those of the journal, for tests.
  package init(
    seed: UInt64,
    lie: SimulatedDrive.Lie? = nil,
    storage: SimulatedStorage.Mutant? = nil,
    rules: JournalRules = JournalRules()
  ) {
    (self.seed, self.lie, storageMutant, self.rules) = (seed, lie, storage, rules)
  }

  /// Carries out the workload by a path.
  package func run(_ path: WritePath) -> Outcome {
    let witness = CrashSimulationWitness(
      plan(path),
      seed: seed,
      mostImages: path == .journal ? Self.mostJournalImages : Self.mostImages
    )
    do throws(JournalProblem) {
      if path == .journal { try commit(witness) } else { try write(path, witness) }
      // Nothing has happened since the last one was told, and it must be there.
      witness.look()
    } catch {
      witness.outcome.problem = witness.outcome.problem ?? "the journal ended: \(error)"
    }
    return witness.outcome
  }

  private func plan(_ path: WritePath) -> CrashPlan {
    CrashPlan(
      run: seed | 1 << 63,
      path: path,
      isDurable: true,
      offsetBytes: 0,
      slotBytes: Self.pageBytes,
      slots: UInt64(Self.pages),
      stampBytes: Self.blockBytes,
      ranges: path == .journal ? 3 : 1,
      threads: 1,
      seed: seed
    )
  }

  private func drive(extraBlocks: Int, image: [UInt8]? = nil) -> SimulatedDrive {
    var geometry = SimulatedDrive.Geometry()
    geometry.blockBytes = Self.blockBytes
    geometry.blocks = Self.pages * Self.pageBlocks + extraBlocks
    geometry.powerFailBlocks = Self.pageBlocks
    // Nobody says that what lies in the cache stays whole there.
    geometry.tearsCached = true
    return SimulatedDrive(geometry, image: image, lie: lie)
  }

  private func storage(
    _ drive: SimulatedDrive,
    _ number: UInt64,
    _ witness: CrashSimulationWitness
  ) -> SimulatedStorage {
    SimulatedStorage(
      drive,
      depth: 2,
      seed: seed &+ number,
      mutant: storageMutant,
      onStep: witness.look
    )
  }

  // MARK: Single writes

  private func write(_ path: WritePath, _ witness: CrashSimulationWitness) throws(JournalProblem) {
    let drive = drive(extraBlocks: 0)
    guard let limits = drive.limits else { return witness.fail("the drive's pages are no pages") }
    witness.watch(drive) { image in image }
    var engine = WriteEngine(
      storage(drive, 1, witness),
      .init(isAtomic: path != .plain, durability: .single, triesAgain: false)
    )
    var admission = WriteAdmission(
      target(limits),
      path: path,
      durability: .onReturn,
      isStrict: false,
      allowsShared: false
    )
    let memory = AlignedMemory(byteCount: Self.pageBytes)
    // SAFETY: each write has ended before the memory is filled again.
    let page = unsafe memory.piece(from: 0, byteCount: Self.pageBytes)
    var slots: [UInt64] = []
    for sequence in 1...Self.operations {
      witness.plan.slots(of: sequence, into: &slots)
      let offset = witness.plan.offset(ofSlot: slots[0])
      do throws(AtomicWriteError) {
        try admission.admit(offset: offset, length: UInt64(Self.pageBytes))
      } catch {
        return witness.fail("the planner refuses: \(error)")
      }
      // SAFETY: the memory is a page's.
      unsafe witness.plan.fill(page, sequence, slot: slots[0])
      // SAFETY: as above.
      guard unsafe Self.write(&engine, page, offset) else {
        return witness.fail("write \(sequence) failed")
      }
      witness.acknowledge()
    }
  }

  private static func write(
    _ engine: inout WriteEngine<SimulatedStorage>,
    _ page: UnsafeMutableRawBufferPointer,
    _ offset: UInt64
  ) -> Bool {
    guard let base = page.baseAddress else { return false }
    do throws(WriteEngine<SimulatedStorage>.BeginFailure) {
      // SAFETY: the caller lends the page until the write has ended.
      unsafe try engine.begin(
        inSlot: engine.nextSlot,
        base,
        byteCount: page.count,
        atBytes: offset
      )
    } catch {
      return false
    }
    do throws(Errno) {
      guard let ended = try engine.next() else { return false }
      return ended.failure == nil
    } catch {
      return false
    }
  }

  /// What the kernel would say of the drive.
  private func target(_ limits: DeviceLimits) -> TargetLimits {
    var target = TargetLimits(kind: .namespace, drive: .known(limits))
    let (block, page) = (UInt64(Self.blockBytes), UInt64(Self.pageBytes))
    target.startBytes = 0
    target.sizeBytes = UInt64(Self.pages) * page
    target.queue.atomicWriteUnitMinBytes = block
    target.queue.atomicWriteUnitMaxBytes = page
    target.queue.atomicWriteMaxBytes = page
    target.queue.atomicWriteBoundaryBytes = 0
    target.queue.logicalBlockSize = block
    target.queue.physicalBlockSize = block
    (target.queue.chunkSectors, target.queue.maxSegments) = (0, 127)
    (target.queue.nomerges, target.queue.maxSectorsKB) = (0, 1024)
    target.queue.maxHWSectorsKB = 1024
    target.queue.writeBack = true
    var statx = StatxLimits()
    (statx.atomicWriteUnitMin, statx.atomicWriteUnitMax) = (UInt32(block), UInt32(page))
    (statx.atomicWriteUnitMaxOpt, statx.atomicWriteSegmentsMax) = (0, 1)
    (statx.dioMemAlign, statx.dioOffsetAlign) = (4, UInt32(block))
    target.statx = statx
    return target
  }

  // MARK: Transactions

  private func commit(_ witness: CrashSimulationWitness) throws(JournalProblem) {
    let targetBlocks = Self.pages * Self.pageBlocks
    guard
      let geometry = JournalGeometry(
        startBytes: UInt64(targetBlocks * Self.blockBytes),
        lengthBytes: UInt64(Self.journalBlocks * Self.blockBytes),
        granuleBytes: UInt64(Self.blockBytes)
      )
    else { return witness.fail("there is no such journal") }
    let layout = JournalLayout(
      targetBlocks: targetBlocks,
      journalBlocks: Self.journalBlocks,
      blockBytes: Self.blockBytes,
      isRegion: true,
      geometry: geometry,
      rules: rules,
      identity: JournalIdentity(low: seed, high: 1)
    )
    let image = ImageMemory()
    image.bytes = [UInt8](repeating: 0, count: layout.driveBlocks[0] * Self.blockBytes)
    var maker = try layout.engine([image])
    try maker.format(JournalSuperblock(identity: layout.identity, geometry: geometry))
    let drive = drive(extraBlocks: Self.journalBlocks, image: image.bytes)
    witness.watch(drive) { left throws(JournalProblem) in
      let image = ImageMemory()
      image.bytes = left
      _ = try layout.recover([image], nil)
      return image.bytes
    }
    var engine = try engine(drive, geometry, witness)
    _ = try engine.recover(check: layout.check(nil))
    var slots: [UInt64] = []
    for sequence in 1...Self.operations {
      let plan = witness.plan
      plan.slots(of: sequence, into: &slots)
      let pages = slots
      let ranges = pages.map { slot in
        plan.offset(ofSlot: slot)..<plan.offset(ofSlot: slot) + UInt64(Self.pageBytes)
      }
      // SAFETY: the memory is lent for the call.
      unsafe try engine.commit(ranges) { memory, range, from in
        // A record has whole pages: a transaction fits in one.
        precondition(from == 0 && memory.count == Self.pageBytes)
        unsafe plan.fill(memory, sequence, slot: pages[range])
      }
      witness.acknowledge()
    }
  }

  private func engine(
    _ drive: SimulatedDrive,
    _ geometry: JournalGeometry,
    _ witness: CrashSimulationWitness
  ) throws(JournalProblem) -> JournalEngine<SimulatedFileStorage> {
    do throws(AtomicWriteError) {
      // SAFETY: no range ends within a granule.
      return unsafe try JournalEngine(
        log: SimulatedFileStorage(storage(drive, 1, witness), nil),
        target: SimulatedFileStorage(storage(drive, 2, witness), nil),
        geometry,
        rules: rules,
        pace: JournalPace { 0 }
      ) { _, _ in .host(.notSupported) }
    } catch {
      throw .source
    }
  }
}
