import LinuxIO
import NVMeAtomic
import SystemPackage

/// Commits transactions by the library's own journal on simulated drives, cuts the power after
/// every step, also of recovery, and looks at what recovery makes of what may be left.
///
/// One seed decides everything.
package struct JournalExplorer {
  private static let mostImages = 8
  /// So that the log has room for more than there is memory for.
  private static let longestRecordBytes: UInt64 = 7 * 512

  private let seed: UInt64
  private let mutant: Mutant?
  private var random: SplitMix64
  private let layout: JournalLayout
  private var drive = SimulatedDrive.Geometry()
  private let depth: Int
  private var failsOneOf: UInt64 = 0
  private let rots: Bool
  private let hasForeign: Bool
  /// What the journal is found by; `nil` where somebody says where it is.
  private var names: SimulatedNames.State?
  private var journalsMade: UInt64 = 0
  /// The second superblock before a journal's proper end.
  private var olderSuperblock: [UInt8]?

  package init(seed: UInt64, mutant: Mutant? = nil) {
    self.seed = seed
    self.mutant = mutant
    random = SplitMix64(seed)
    depth = Int(1 + random.below(4))
    drive.powerFailBlocks = Int(1 + random.below(4))
    drive.hasVolatileCache = random.below(4) > 0
    drive.tearsCached = true
    let targetBlocks = 8
    let journalBlocks = Int(7 + random.below(16))
    let isRegion = random.below(2) == 0
    // Whatever these may be, there is a geometry.
    guard
      let geometry = JournalGeometry(
        startBytes: isRegion ? UInt64(targetBlocks * 512) : 0,
        lengthBytes: UInt64(journalBlocks * 512),
        blockBytes: 512,
        granuleBytes: 512
      )
    else { preconditionFailure() }
    layout = JournalLayout(
      targetBlocks: targetBlocks,
      journalBlocks: journalBlocks,
      blockBytes: 512,
      isRegion: isRegion,
      geometry: geometry,
      rules: mutant?.rules ?? JournalRules(),
      identity: JournalIdentity(low: seed, high: 1)
    )
    if random.below(4) == 0 { failsOneOf = 8 + random.below(40) }
    rots = random.below(4) == 0
    hasForeign = random.below(2) == 0
    // A file that has none yet: its first start makes it.
    if !layout.isRegion, random.below(2) == 0 { names = SimulatedNames.State() }
  }

  private var isMarked: Bool { names != nil }

  /// What the seed has chosen.
  package var scenario: String {
    "\(layout.journalBlocks) blocks of journal, "
      + (layout.isRegion ? "a region of the drive" : "a drive of its own")
      + ", \(drive.powerFailBlocks) blocks kept whole, "
      + (drive.hasVolatileCache ? "a volatile cache" : "no cache") + ", depth \(depth), "
      + (failsOneOf == 0 ? "nothing fails" : "one of \(failsOneOf) commands fails")
      + (rots ? ", bytes rot" : "") + (hasForeign && !isMarked ? ", an older journal beneath" : "")
      + (isMarked ? ", found by its name and a mark" : "")
  }

  /// Runs several starts, each ended by a power failure.
  package mutating func explore() -> (CrashExplorer.Tally, String?) {
    // A file begins with some size, a region with all that is before it.
    let sizeBytes = layout.isRegion ? layout.targetBytes : Int(random.below(2000))
    let witness = JournalWitness(
      layout,
      [UInt8](repeating: 0, count: sizeBytes),
      seed: random.next(),
      mostImages: Self.mostImages,
      rots: rots
    )
    do throws(JournalProblem) {
      var images = try newJournal(sizeBytes)
      for _ in 0..<(2 + random.below(2)) where witness.problem == nil {
        images = try start(images, witness)
      }
    } catch {
      return (witness.tally, witness.problem ?? "seed \(seed): \(error)")
    }
    return (witness.tally, witness.problem)
  }

  /// What each drive holds with a journal that was just made, perhaps where another one was.
  private mutating func newJournal(_ sizeBytes: Int) throws(JournalProblem) -> [ImageMemory] {
    let images = layout.driveBlocks.map { blocks in
      let image = ImageMemory()
      image.bytes = [UInt8](repeating: 0, count: blocks * layout.blockBytes)
      return image
    }
    // A new file has nothing beneath.
    if hasForeign, !isMarked {
      var engine = try layout.engine(images)
      try engine.format(superblock(JournalIdentity(low: seed, high: 2)))
      for _ in 0..<3 {
        let first = random.below(6)
        let range = first * 512..<(first + 1) * 512
        // SAFETY: the memory is lent for the call.
        unsafe try engine.commit([range]) { memory, _, _ in
          unsafe memory.initializeMemory(as: UInt8.self, repeating: 0xee)
        }
      }
      images[0].bytes.replaceSubrange(
        0..<layout.targetBytes,
        with: [UInt8](repeating: 0, count: layout.targetBytes)
      )
    }
    if !isMarked {
      var engine = try layout.engine(images)
      try engine.format(superblock(layout.identity))
    }
    if !layout.isRegion { images[0].cut(toBytes: sizeBytes) }
    return images
  }

  private func superblock(_ identity: JournalIdentity) -> JournalSuperblock {
    JournalSuperblock(identity: identity, geometry: layout.geometry)
  }

  /// Opens, writes, and is cut off; what the drives hold then.
  private mutating func start(
    _ images: [ImageMemory],
    _ witness: JournalWitness
  ) throws(JournalProblem) -> [ImageMemory] {
    let drives = zip(images, layout.driveBlocks).map { image, blocks in
      var geometry = drive
      geometry.blocks = blocks
      return SimulatedDrive(geometry, image: image.bytes, lie: mutant?.lie)
    }
    let file = images[0].sizeBytes.map { SimulatedFile(drives[0], sizeBytes: $0) }
    let names = names.map { SimulatedNames($0, lie: mutant?.lieOfNames) }
    witness.watch(drives, file, names)
    var fails = failsOneOf
    // Recovery is cut off at each of its steps, and then comes to its end.
    if let names, !names.seen.isNamed {
      try make(names, drives, file, witness)
    } else {
      try recover(names, drives, file, witness)
    }
    if random.below(2) == 0 { fails = 0 }
    do throws(JournalProblem) {
      var engine = try engine(drives, file, witness, failsOneOf: fails)
      let check = layout.check(names?.seen)
      _ = try engine.recover(check: check)
      try write(&engine, drives, file, witness)
      if let names, random.below(3) == 0 { try drop(&engine, names) }
    } catch {
      // A failing command ends the journal's work, as it must; nothing else does.
      if fails == 0 { throw error }
    }
    let images = witness.cutForGood()
    if names != nil { self.names = witness.leftNames }
    // Or the power failed between the two superblocks of that end.
    if let olderSuperblock, random.below(2) == 0 {
      let place = Int(layout.geometry.superblocks[1])
      images[images.count - 1].bytes.replaceSubrange(
        place..<place + layout.blockBytes,
        with: olderSuperblock
      )
    }
    return images
  }

  private mutating func recover(
    _ names: SimulatedNames?,
    _ drives: [SimulatedDrive],
    _ file: SimulatedFile?,
    _ witness: JournalWitness
  ) throws(JournalProblem) {
    var engine = try engine(drives, file, witness, failsOneOf: 0)
    let check = layout.check(names?.seen)
    _ = try engine.recover(check: check)
    if let names { try lead(names, to: engine.superblock, isNew: false) }
    witness.settle(
      on: file?.contents ?? drives[0].visible(firstBlock: 0, count: layout.targetBytes)
    )
  }

  private mutating func engine(
    _ drives: [SimulatedDrive],
    _ file: SimulatedFile?,
    _ witness: JournalWitness,
    failsOneOf: UInt64
  ) throws(JournalProblem) -> JournalEngine<SimulatedFileStorage> {
    func storage(_ drive: SimulatedDrive, _ seed: UInt64) -> SimulatedStorage {
      SimulatedStorage(
        drive,
        depth: depth,
        seed: seed,
        failsOneOf: failsOneOf,
        onStep: witness.look
      )
    }
    let seeds = (random.next(), random.next())
    var times = SplitMix64(random.next())
    let pace = JournalPace(beginsAlone: random.below(2) == 0) { times.next() }
    do throws(AtomicWriteError) {
      // SAFETY: the memory is lent for the call.
      return unsafe try JournalEngine(
        log: SimulatedFileStorage(storage(drives[drives.count - 1], seeds.0), nil),
        target: SimulatedFileStorage(storage(drives[0], seeds.1), file),
        layout.geometry,
        recordBytes: UInt64(512 * (2 + random.below(6))),
        longestBytes: Self.longestRecordBytes,
        memoryBytes: random.below(2) * layout.geometry.logBytes,
        rules: layout.rules,
        pace: pace
      ) { bytes, offset in
        guard let file else { return .host(.notSupported) }
        // SAFETY: as above.
        unsafe file.write([UInt8](bytes), at: Int(offset))
        witness.look()
        return .bytes(bytes.count)
      }
    } catch {
      throw .source
    }
  }

  /// Some transactions, now and then a proper end and a write by another path.
  private mutating func write(
    _ engine: inout JournalEngine<SimulatedFileStorage>,
    _ drives: [SimulatedDrive],
    _ file: SimulatedFile?,
    _ witness: JournalWitness
  ) throws(JournalProblem) {
    olderSuperblock = nil
    for _ in 0..<Int(2 + random.below(7)) where witness.problem == nil {
      try commit(&engine, witness)
      if engine.failure != nil { return }
      if random.below(8) == 0 { try writeDirectly(&engine, drives, file, witness) }
    }
    if random.below(4) > 0 { return }
    let older = drives[drives.count - 1].visible(
      firstBlock: Int(layout.geometry.superblocks[1]) / 512,
      count: 512
    )
    try engine.close()
    olderSuperblock = older
  }

  /// One transaction of up to three ranges.
  private mutating func commit(
    _ engine: inout JournalEngine<SimulatedFileStorage>,
    _ witness: JournalWitness
  ) throws(JournalProblem) {
    var ranges: [Range<UInt64>] = []
    for _ in 0..<(1 + random.below(3)) {
      let first = random.below(UInt64(layout.targetBlocks))
      let most = random.below(8) == 0 ? UInt64(layout.targetBlocks) : 3
      let count = 1 + random.below(min(most, UInt64(layout.targetBlocks) - first))
      let range = first * 512..<(first + count) * 512
      if !ranges.contains(where: { $0.overlaps(range) }) { ranges.append(range) }
    }
    if !layout.isRegion { endFile(&ranges, UInt64(witness.newest.count)) }
    let stamp = random.next()
    witness.begin { state in
      for range in ranges {
        let missing = Int(range.upperBound) - state.count
        if missing > 0 { state += repeatElement(0, count: missing) }
        for place in range { state[Int(place)] = Self.byte(stamp, place) }
      }
    }
    do throws(JournalProblem) {
      // SAFETY: the memory is lent for the call.
      unsafe try engine.commit(ranges) { memory, range, from in
        for place in memory.indices {
          unsafe memory[place] = Self.byte(stamp, ranges[range].lowerBound + UInt64(from + place))
        }
      }
      witness.end()
    } catch {
      guard case .exceeds = error else { throw error }
      witness.takeBack()
      witness.tally.refused += 1
    }
  }

  /// Another path writes: what is in the log goes in place first.
  private mutating func writeDirectly(
    _ engine: inout JournalEngine<SimulatedFileStorage>,
    _ drives: [SimulatedDrive],
    _ file: SimulatedFile?,
    _ witness: JournalWitness
  ) throws(JournalProblem) {
    if mutant != .directOverLive { try engine.close() }
    // Within the file.
    let blocks = UInt64(witness.newest.count / 512)
    if blocks == 0 { return }
    let (first, stamp) = (Int(random.below(blocks)), random.next())
    let bytes = (0..<512).map { Self.byte(stamp, UInt64(first * 512 + $0)) }
    witness.begin { state in
      state.replaceSubrange(first * 512..<(first + 1) * 512, with: bytes)
    }
    drives[0].write(bytes, firstBlock: first)
    witness.end()
    witness.look()
  }

  /// A range that ends within a block ends with the file: chance cuts the last one off, or others
  /// where the file's last block is.
  private mutating func endFile(_ ranges: inout [Range<UInt64>], _ sizeBytes: UInt64) {
    guard let last = ranges.indices.max(by: { ranges[$0].upperBound < ranges[$1].upperBound })
    else { return }
    let end = ranges[last].upperBound
    let shorter = end - random.below(512)
    if shorter >= sizeBytes, random.below(2) == 0 {
      ranges[last] = ranges[last].lowerBound..<shorter
    } else if end > sizeBytes, end - sizeBytes < 512 {
      ranges[last] = ranges[last].lowerBound..<sizeBytes
    }
  }

  private static func byte(_ stamp: UInt64, _ place: UInt64) -> UInt8 {
    UInt8(truncatingIfNeeded: stamp >> (8 * (place & 7)) ^ place >> 3)
  }
}

/// Journals that are found by a name and a mark.
extension JournalExplorer {
  /// As ``JournalOpening`` does: the journal, its name, and then the mark.
  private mutating func make(
    _ names: SimulatedNames,
    _ drives: [SimulatedDrive],
    _ file: SimulatedFile?,
    _ witness: JournalWitness
  ) throws(JournalProblem) {
    journalsMade += 1
    var engine = try engine(drives, file, witness, failsOneOf: 0)
    try engine.format(superblock(JournalIdentity(low: seed, high: journalsMade)))
    try lead(names, to: engine.superblock, isNew: true)
    witness.settle(on: file?.contents ?? [])
  }

  private func lead(
    _ names: SimulatedNames,
    to superblock: JournalSuperblock,
    isNew: Bool
  ) throws(JournalProblem) {
    let mark = JournalMark(
      superblock.identity,
      generation: superblock.generation,
      isOnSameFilesystem: true,
      path: "/journal"
    )
    do throws(JournalNameProblem) {
      try names.lead(
        to: names.seen.mark == mark.text ? nil : mark,
        naming: isNew ? names : nil
      )
    } catch {
      throw .source
    }
  }

  /// The journal goes: what it has is in place, and nothing leads to it any more.
  private mutating func drop(
    _ engine: inout JournalEngine<SimulatedFileStorage>,
    _ names: SimulatedNames
  ) throws(JournalProblem) {
    if engine.failure != nil { return }
    try engine.close()
    olderSuperblock = nil
    do throws(JournalNameProblem) {
      try names.part(isMarked: true) { names.unlinkJournal() }
    } catch {
      throw .source
    }
  }
}

extension SimulatedDrive {
  /// A write that ends at once and is durable.
  func write(_ bytes: [UInt8], firstBlock: Int) {
    end(begin(firstBlock: firstBlock, bytes: bytes, isForced: true))
    flush(ended)
  }
}
