import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// The rules of writes on their way, on a drive in memory that ends them in any order.
@Suite struct WriteEngineTests {
  /// Unoptimised each takes ten times as long; the optimised tests run all of them.
  #if DEBUG || UNOPTIMISED
  static let seeds: [UInt64] = (0..<4).map { $0 }
  #else
  static let seeds: [UInt64] = (0..<16).map { $0 }
  #endif
  private static let block = 512
  private static let blocks = 16

  /// Writes random blocks; what each place was last given, and what was told to be done by when.
  private struct Run {
    var journal: MemoryStorage.Journal
    var model: [UInt8]
    var failures: [UInt64: WriteFailure] = [:]
    var told = 0
    var resent = 0
    /// Writes told of between one write's begin and its end, at most.
    var longestWait = 0

    /// `onTold` is called with each write told of, and its bytes.
    init(
      _ rules: WriteEngine<MemoryStorage>.Rules,
      depth: Int,
      writes: Int = 200,
      seed: UInt64,
      isSequential: Bool = false,
      mostBlocks: Int = 1,
      _ prepare: (MemoryStorage.Journal) -> Void = { _ in },
      onTold: (MemoryStorage.Journal, Int, UInt8) -> Void = { _, _, _ in }
    ) throws {
      journal = MemoryStorage.Journal(byteCount: block * blocks)
      prepare(journal)
      model = journal.bytes
      var random = SplitMix64(seed)
      let memory = UnsafeMutableRawBufferPointer.allocate(
        byteCount: depth * block * mostBlocks,
        alignment: 16
      )
      defer { memory.deallocate() }
      var free = Array(0..<depth)
      var places: [Int: (memory: Int, block: Int, byte: UInt8, number: Int, toldBefore: Int)] = [:]
      var engine = WriteEngine(
        MemoryStorage(journal, depth: depth, seed: seed &+ 1),
        rules
      )

      func tell(_ ended: WriteEngine<MemoryStorage>.Ended) throws {
        let removed = places.removeValue(forKey: ended.slot)
        let write = try #require(removed, "told of no write")
        free.append(write.memory)
        told += 1
        longestWait = max(longestWait, told - write.toldBefore)
        if let failure = ended.failure {
          failures[UInt64(write.number)] = failure
        } else {
          onTold(journal, write.block, write.byte)
        }
      }

      for number in 0..<writes {
        while free.isEmpty {
          let ended = try engine.next()
          try tell(try #require(ended))
        }
        let place = free.removeLast()
        let target = isSequential ? number % blocks : Int(random.next() % UInt64(blocks))
        let byte = UInt8(truncatingIfNeeded: number &+ 1)
        let length = block * min(1 + Int(random.below(UInt64(mostBlocks))), blocks - target)
        let start = place * block * mostBlocks
        let piece = UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + length])
        piece.copyBytes(from: repeatElement(byte, count: length))
        model.replaceSubrange(target * block..<target * block + length, with: piece)
        let base = try #require(piece.baseAddress)
        var slot = engine.nextSlot
        while true {
          do throws(WriteEngine<MemoryStorage>.BeginFailure) {
            let offset = UInt64(target * block)
            try engine.begin(inSlot: slot, base, byteCount: length, atBytes: offset)
            break
          } catch {
            // A write to the same bytes has failed: it is to be told of first.
            guard case .rangeUnknown = error else { throw error }
            let ended = try engine.next()
            try tell(try #require(ended))
            slot = engine.nextSlot
          }
        }
        #expect(places[slot] == nil, "a slot was given twice")
        places[slot] = (place, target, byte, number, told)
        #expect(engine.inFlightCount == places.count)
      }
      while let ended = try engine.next() { try tell(ended) }
      #expect(places.isEmpty)
      #expect(told == writes)
      resent = engine.resentCount
    }
  }

  @Test(arguments: [1, 2, 7, 32], seeds)
  func overlappingWritesEndInTheOrderGiven(depth: Int, seed: UInt64) throws {
    for mostBlocks in 2...4 {
      let mixed = try Run(.init(), depth: depth, seed: seed, mostBlocks: mostBlocks)
      #expect(mixed.journal.bytes == mixed.model, "seed \(seed), up to \(mostBlocks) blocks")
    }
    let run = try Run(.init(), depth: depth, seed: seed)
    #expect(run.journal.bytes == run.model, "seed \(seed)")
    #expect(run.failures.isEmpty)
    #expect(run.journal.mostInFlight > min(depth, 8) / 2)
  }

  /// Whichever way a write becomes durable, and also where the ways change all the time.
  @Test(arguments: [2, 7, 32], seeds)
  func aDurableWriteIsToldOnlyWhenItIsOnStableStorage(depth: Int, seed: UInt64) throws {
    // At the moment of being told, stable storage holds these bytes or newer ones.
    var numbers: [UInt8: Int] = [:]
    for number in 0..<200 { numbers[UInt8(truncatingIfNeeded: number &+ 1)] = number }
    for durability in [
      WriteEngine<MemoryStorage>.DurabilityRule.shared, .single, .faster(window: 3),
    ] {
      let run = try Run(
        .init(durability: durability),
        depth: depth,
        seed: seed,
        onTold: { journal, block, byte in
          let kept = journal.stable[block * Self.block]
          let (keptNumber, toldNumber) = (numbers[kept] ?? -1, numbers[byte] ?? 0)
          #expect(keptNumber >= toldNumber, "seed \(seed), \(durability): told durable, and lost")
        }
      )
      #expect(run.journal.stable == run.model)
      #expect(run.longestWait <= 8 * depth, "seed \(seed), \(durability): it was left behind")
      let flushes = run.journal.events.count {
        if case .pushed(_, .flush) = $0 { true } else { false }
      }
      switch durability {
      case .single: #expect(flushes == 0)
      default: #expect((1..<200).contains(flushes), "no flush was shared")
      }
    }
  }

  @Test(arguments: seeds)
  func aDurableWriteCarriesItsFlag(seed: UInt64) throws {
    let run = try Run(.init(durability: .single), depth: 1, seed: seed)
    #expect(run.journal.stable == run.model)
    #expect(
      !run.journal.events.contains { if case .pushed(_, .flush) = $0 { true } else { false } }
    )
  }

  /// The trap: without the rule a sequential load loses every write of a batch.
  @Test func neighboursInOneBatchAreRefusedTogether() throws {
    let run = try Run(.init(), depth: 8, seed: 1, isSequential: true) {
      $0.joinedLimit = Self.block
    }
    #expect(run.failures.values.contains(.result(.host(.invalidArgument))))
  }

  @Test(arguments: [2, 7, 32], seeds)
  func neighboursAreKeptApart(depth: Int, seed: UInt64) throws {
    for isSequential in [true, false] {
      let run = try Run(
        .init(keepsNeighboursApart: true),
        depth: depth,
        seed: seed,
        isSequential: isSequential,
        { $0.joinedLimit = Self.block }
      )
      #expect(run.failures.isEmpty, "seed \(seed)")
      #expect(run.journal.bytes == run.model, "seed \(seed)")
      #expect(run.resent == 0, "seed \(seed): what is apart is not refused")
    }
  }

  /// Merging can happen beyond the batch too, in a scheduler: the refused one is sent by itself.
  @Test(arguments: [2, 7, 32], seeds)
  func whatWasJoinedAllTheSameIsSentAlone(depth: Int, seed: UInt64) throws {
    let run = try Run(.init(keepsNeighboursApart: true), depth: depth, seed: seed) {
      for number in stride(from: 0, to: 150, by: 11) {
        $0.results[number] = .host(.invalidArgument)
      }
    }
    #expect(run.journal.bytes == run.model, "seed \(seed)")
    #expect(run.resent > 0)
    #expect(run.longestWait <= 8 * depth + 40, "seed \(seed): it waited while others went ahead")
    #expect(run.failures.isEmpty)
    // Refused with nothing beside it, again and again: that is reported.
    let always = try Run(
      .init(keepsNeighboursApart: true, pause: { _ in }),
      depth: depth,
      writes: 1,
      seed: seed
    ) {
      for number in 0..<20 { $0.results[number] = .host(.invalidArgument) }
    }
    #expect(always.failures[0] == .result(.host(.invalidArgument)))
    #expect(always.resent == Int(WriteEngine<MemoryStorage>.mostAttempts))
  }

  @Test func withoutNeighboursARefusalIsReportedAtOnce() throws {
    let run = try Run(.init(), depth: 4, seed: 3) { $0.results[5] = .host(.invalidArgument) }
    #expect(run.failures.count == 1)
    #expect(run.resent == 0)
  }

  @Test(arguments: [1, 4])
  func whatIsBusyIsTriedAgainAndThenReported(depth: Int) throws {
    let once = try Run(.init(), depth: depth, seed: 5) {
      $0.results[3] = .host(.resourceTemporarilyUnavailable)
    }
    #expect(once.failures.isEmpty)
    #expect(once.journal.events.contains { if case .droppedPages = $0 { true } else { false } })
    let always = try Run(.init(pause: { _ in }), depth: depth, writes: 1, seed: 5) {
      for number in 0..<20 { $0.results[number] = .host(.resourceTemporarilyUnavailable) }
    }
    #expect(always.failures[0] == .result(.host(.resourceTemporarilyUnavailable)))
    #expect(
      always.journal.events.count { if case .pushed = $0 { true } else { false } }
        == Int(WriteEngine<MemoryStorage>.mostAttempts)
    )
  }

  /// What a command's EAGAIN says of it is nobody's word: it is not sent again.
  @Test(arguments: [1, 4])
  func aCommandIsNeverSentAgain(depth: Int) throws {
    let rules = WriteEngine<MemoryStorage>.Rules(triesAgain: false)
    for errno in [Errno.resourceTemporarilyUnavailable, .invalidArgument] {
      let run = try Run(rules, depth: depth, writes: 1, seed: 5) { $0.results[0] = .host(errno) }
      #expect(run.failures[0] == .result(.host(errno)))
      #expect(run.journal.events.count { if case .pushed = $0 { true } else { false } } == 1)
      let journal = MemoryStorage.Journal(byteCount: Self.block)
      journal.results[0] = .host(errno)
      var engine = WriteEngine(MemoryStorage(journal, depth: 1, seed: 1), rules)
      var bytes = [UInt8](repeating: 9, count: Self.block)
      let failure = bytes.withUnsafeMutableBytes { bytes in
        bytes.baseAddress.flatMap { engine.writeAlone($0, byteCount: Self.block, atBytes: 0) }
      }
      #expect(failure == .result(.host(errno)))
    }
  }

  @Test(arguments: [Errno.resourceTemporarilyUnavailable, .invalidArgument])
  func aSingleWriteThatIsBusyIsTriedForAWhile(errno: Errno) {
    let most = Int(WriteEngine<MemoryStorage>.mostAttempts)
    for refusals in 0...most + 1 {
      let journal = MemoryStorage.Journal(byteCount: Self.block)
      for number in 0..<refusals { journal.results[number] = .host(errno) }
      var pauses: [UInt32] = []
      var engine = WriteEngine(
        MemoryStorage(journal, depth: 1, seed: 1),
        .init(keepsNeighboursApart: true, pause: { pauses.append($0) })
      )
      var bytes = [UInt8](repeating: 9, count: Self.block)
      let failure = bytes.withUnsafeMutableBytes { bytes in
        bytes.baseAddress.flatMap { engine.writeAlone($0, byteCount: Self.block, atBytes: 0) }
      }
      #expect(failure == (refusals < most ? nil : .result(.host(errno))))
      #expect(journal.bytes.allSatisfy { $0 == (refusals < most ? 9 : 0) })
      let pushed = journal.events.count { if case .pushed = $0 { true } else { false } }
      #expect(pushed == min(refusals + 1, most))
      #expect(pauses.allSatisfy { $0 <= 256 } && (refusals < most || pauses.reduce(0, +) > 1000))
    }
  }

  @Test(arguments: [StorageResult.bytes(256), .bytes(0), .host(.ioError), .device(0x280)])
  func whatFailsIsToldOnceAndNeverRepeated(result: StorageResult) throws {
    for depth in [1, 8] {
      let run = try Run(.init(), depth: depth, writes: 50, seed: 9) { $0.results[7] = result }
      #expect(Array(run.failures.values) == [.result(result)])
      #expect(run.journal.events.count { if case .pushed = $0 { true } else { false } } == 50)
    }
  }

  @Test func aFailedFlushFailsEveryWriteThatRestsOnIt() throws {
    // The first eight operations are writes; a flush is among the next ones.
    var failed = 0
    for number in 4..<24 {
      let run = try Run(.init(durability: .shared), depth: 8, writes: 40, seed: 11) {
        $0.results[number] = .host(.ioError)
      }
      let flushes = run.failures.values.filter { $0 == .flush(.host(.ioError)) }.count
      let writes = run.failures.values.filter { $0 == .result(.host(.ioError)) }.count
      #expect(flushes + writes == run.failures.count)
      #expect(flushes > 0 || writes == 1)
      failed = max(failed, flushes)
    }
    #expect(failed > 1, "no shared flush failed")
  }

  /// What failed is old or new, nobody knows which, until whoever wrote it has been told.
  @Test(arguments: [1, 8])
  func whatOverlapsAFailedWriteIsRefused(writesBetween: Int) throws {
    let journal = MemoryStorage.Journal(byteCount: Self.block * 16)
    journal.results[0] = .host(.ioError)
    var engine = WriteEngine(MemoryStorage(journal, depth: 16, seed: 1), .init())
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.block, alignment: 16)
    defer { memory.deallocate() }
    func begin(_ block: Int) -> Bool? {
      do {
        let slot = engine.nextSlot
        try engine.begin(
          inSlot: slot,
          memory,
          byteCount: Self.block,
          atBytes: UInt64(block * Self.block)
        )
        return true
      } catch .rangeUnknown {
        return false
      } catch {
        return nil
      }
    }
    #expect(begin(0) == true)
    for other in 1...writesBetween { #expect(begin(other) == true) }
    #expect(begin(0) == false)
    #expect(begin(15) == true)
    var failures = 0
    while let ended = try engine.next() { if ended.failure != nil { failures += 1 } }
    #expect(failures == 1)
    #expect(begin(0) == true)
  }

  /// Other writers of the target are to know before this one's are told.
  @Test func aFailedFlushIsToldAtOnce() throws {
    let journal = MemoryStorage.Journal(byteCount: Self.block * 4)
    // The write, then its flush.
    journal.results[1] = .host(.ioError)
    var noted: [StorageResult] = []
    var engine = WriteEngine(
      MemoryStorage(journal, depth: 2, seed: 1),
      .init(durability: .shared, onFlushFailure: { noted.append($0) })
    )
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.block, alignment: 16)
    defer { memory.deallocate() }
    try engine.begin(inSlot: engine.nextSlot, memory, byteCount: Self.block, atBytes: 0)
    #expect(noted.isEmpty)
    let ended = try engine.next()
    #expect(ended?.failure == .flush(.host(.ioError)))
    #expect(noted == [.host(.ioError)])
  }

  /// Nobody knows what a drive keeps that has failed to flush, be it after a write that was to be
  /// durable at once: only what is durable by itself is told from then on.
  @Test(
    arguments: [WriteEngine<MemoryStorage>.DurabilityRule.shared, .faster(window: 3)],
    seeds
  )
  func afterAFailedFlushNothingIsToldDurable(
    rule: WriteEngine<MemoryStorage>.DurabilityRule,
    seed: UInt64
  ) throws {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.block, alignment: 16)
    defer { memory.deallocate() }
    var failures = 0
    for number in 2..<40 {
      var hasFailed = false
      let journal = MemoryStorage.Journal(byteCount: Self.block * 64)
      journal.results[number] = .host(.ioError)
      var engine = WriteEngine(
        MemoryStorage(journal, depth: 4, seed: seed),
        .init(durability: rule)
      )
      for block in 0..<64 {
        while !engine.hasRoom {
          guard let ended = try engine.next() else { break }
          let isDurable = engine.isDurable(inSlot: ended.slot)
          switch ended.failure {
          case .flush: hasFailed = true
          case .result: hasFailed = hasFailed || isDurable
          case nil:
            #expect(isDurable || !hasFailed, "seed \(seed), operation \(number), \(rule)")
          }
        }
        if hasFailed { failures += 1 }
        let slot = engine.nextSlot
        try engine.begin(
          inSlot: slot,
          memory,
          byteCount: Self.block,
          atBytes: UInt64(block * Self.block)
        )
      }
    }
    #expect(failures > 0, "no flush failed")
  }
}
