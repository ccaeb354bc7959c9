import Testing

@testable import NVMeAtomic

/// Who writes a range of a file: every small file against a block-by-block statement of XFS.
@Suite struct RangePlacementTests {
  /// XFS with reflink on a drive that takes two of the four blocks at once.
  private static let target: TargetLimits = {
    var world = World(Drive(definesFields: true, awun: 63, nawupf: 15))
    world.target.queue.nomerges = 2
    world.deriveQueue(.namespaceOnly)
    world.deriveXFS(block: RangeWorld.blockSize, reflink: true, software: 1 << 20)
    return world.target
  }()
  private static let largest = 2

  private static func placement(
    _ world: RangeWorld,
    _ first: Int,
    _ count: Int,
    mayHaveCopies: Bool,
    in target: TargetLimits = target
  ) -> RangePlacement.Fate {
    RangePlacement(
      FileMapping(
        offsetBytes: UInt64(first) * RangeWorld.blockSize,
        lengthBytes: UInt64(count) * RangeWorld.blockSize,
        extents: world.extents(first: first, count: count),
        mayHaveCopies: mayHaveCopies
      ),
      on: target
    ).fate
  }

  private static let ranges = [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (2, 2), (0, 4)]

  private static func allBlocks() -> [[RangeWorld.Block]] {
    var all: [[RangeWorld.Block]] = [[]]
    for _ in 0..<4 { all = all.flatMap { head in RangeWorld.Block.allCases.map { head + [$0] } } }
    return all
  }

  private static func allSteps() -> [[RangeWorld.Step]] {
    var all: [[RangeWorld.Step]] = [[]]
    for _ in 0..<3 { all = all.flatMap { head in RangeWorld.Step.allCases.map { head + [$0] } } }
    return all
  }

  /// What the file may be besides its blocks: whether it ever shared, what is set aside, and
  /// whether that can be excluded.
  private static let pasts: [(isReflinked: Bool, copies: Set<UInt64>, isDoubtful: Bool)] = [
    (false, [], false), (false, [], true), (true, [], false), (true, [], true), (true, [1], true),
    (true, [0, 1, 2, 3], true),
  ]

  @Test(arguments: allBlocks())
  func everySmallFileIsWrittenAsPlaced(blocks: [RangeWorld.Block]) {
    for steps in Self.allSteps() {
      for base in 0..<2 as Range<UInt64> {
        for past in Self.pasts {
          var world = RangeWorld(
            blocks: blocks,
            steps: steps,
            base: base,
            isReflinked: past.isReflinked
          )
          world.copies = past.copies
          for (first, count) in Self.ranges {
            Self.check(world, first, count, isDoubtful: past.isDoubtful)
          }
        }
      }
    }
  }

  private static func check(_ world: RangeWorld, _ first: Int, _ count: Int, isDoubtful: Bool) {
    let truth = world.outcome(first: first, count: count, largest: largest)
    let fate = placement(world, first, count, mayHaveCopies: isDoubtful)
    switch fate {
    case .drive(let place?): #expect(truth == .drive(place / RangeWorld.blockSize), "\(world)")
    case .drive(nil): #expect(truth == .driveAllocates, "\(world)")
    case .moved: #expect(truth == .moved, "\(world) \(first) \(count)")
    case .unknown(let doubt):
      // Only where blocks may be set aside, and never where they make no difference.
      #expect(doubt == .copiesSetAside && isDoubtful, "\(world)")
      var bare = world
      bare.copies = []
      #expect(bare.outcome(first: first, count: count, largest: largest) != .moved, "\(world)")
    case .refused: Issue.record("\(world) refuses \(count) at \(first)")
    }
  }

  @Test func everyOutcomeAndCauseIsMet() {
    var outcomes: Set<RangeWorld.Outcome> = []
    var causes: Set<String> = []
    for blocks in Self.allBlocks() {
      for steps in Self.allSteps() {
        let world = RangeWorld(blocks: blocks, steps: steps, base: 1, isReflinked: true)
        for (first, count) in Self.ranges {
          outcomes.insert(world.outcome(first: first, count: count, largest: Self.largest))
          guard
            case .moved(let cause) = Self.placement(world, first, count, mayHaveCopies: false)
          else { continue }
          causes.insert(Self.name(cause))
        }
      }
    }
    #expect(outcomes.contains(.moved) && outcomes.contains(.driveAllocates))
    #expect(outcomes.contains { if case .drive = $0 { true } else { false } })
    #expect(
      causes == ["shared", "fragmented", "hole", "partly a hole", "misaligned", "longer"]
    )
  }

  private static func name(_ cause: MoveCause) -> String {
    switch cause {
    case .noDrive: "no drive"
    case .longerThanDrive: "longer"
    case .shared: "shared"
    case .fragmented: "fragmented"
    case .hole(let isWhole): isWhole ? "hole" : "partly a hole"
    case .misaligned: "misaligned"
    }
  }

  // MARK: What is asked, and of what

  private static let whole = FileExtent(
    logicalBytes: 0,
    physicalBytes: 1 << 20,
    lengthBytes: 1 << 20
  )

  private static func fate(
    at offset: UInt64 = 0,
    _ length: UInt64,
    extents: [FileExtent] = [whole],
    in target: TargetLimits = target,
    _ change: (inout FileMapping) -> Void = { _ in }
  ) -> RangePlacement.Fate {
    var mapping = FileMapping(offsetBytes: offset, lengthBytes: length, extents: extents)
    change(&mapping)
    return RangePlacement(mapping, on: target).fate
  }

  @Test(
    arguments: [
      (0, 0, .refused), (0, 512, .refused), (0, 4095, .refused),
      (0, 4096, .drive(atBytes: 1 << 20)),
      (0, 4097, .refused), (0, 8192, .drive(atBytes: 1 << 20)), (4096, 8192, .refused),
      (8192, 8192, .drive(atBytes: (1 << 20) + 8192)), (0, 12288, .refused),
      (0, 16384, .moved(.longerThanDrive(limitBytes: 8192))),
      (0, 1 << 20, .moved(.longerThanDrive(limitBytes: 8192))), (0, 2 << 20, .refused),
      (.max, 8192, .refused),
    ] as [(UInt64, UInt64, RangePlacement.Fate)]
  )
  func lengthsHaveTheirLimits(offset: UInt64, length: UInt64, expected: RangePlacement.Fate) {
    #expect(Self.fate(at: offset, length) == expected)
  }

  @Test func theReportIsBelievedOnlyWhole() {
    #expect(Self.fate(8192) { $0.hasUnwrittenPages = true } == .unknown(.unwrittenPages))
    #expect(Self.fate(8192) { $0.hasUnwrittenPages = nil } == .unknown(.pagesNotCounted))
    #expect(Self.fate(8192) { $0.mayHaveCopies = true } == .unknown(.copiesSetAside))
    #expect(
      Self.fate(8192) { $0.isComplete = false } == .moved(.fragmented(pieces: 1, isAll: false)),
      "a piece that was not reported is another piece"
    )
    for bit in 0..<32 as Range<UInt32> {
      let flags = FileExtent.Flags(rawValue: 1 << bit)
      let fate = Self.fate(8192) { $0.extents[0].flags = flags }
      switch flags {
      case .last, .unwritten: #expect(fate == .drive(atBytes: 1 << 20))
      case .shared: #expect(fate == .moved(.shared))
      default: #expect(fate == .unknown(.placeless(flags)))
      }
    }
    // Longer than the drive takes it is moved whatever the report says.
    #expect(
      Self.fate(16384) { $0.hasUnwrittenPages = nil }
        == .moved(.longerThanDrive(limitBytes: 8192))
    )
  }

  @Test func extentsThatCannotBeAreNotBelieved() {
    let second = FileExtent(logicalBytes: 0, physicalBytes: 2 << 20, lengthBytes: 4096)
    #expect(Self.fate(8192, extents: [Self.whole, second]) == .unknown(.contradiction))
    for (logical, physical, length) in [
      (0, 0, 0), (.max - 4095, 0, 8192),
    ] as [(UInt64, UInt64, UInt64)] {
      let extent = FileExtent(logicalBytes: logical, physicalBytes: physical, lengthBytes: length)
      #expect(Self.fate(8192, extents: [extent]) == .unknown(.contradiction))
    }
    let beyond = FileExtent(logicalBytes: 0, physicalBytes: .max - 4095, lengthBytes: 8192)
    #expect(Self.fate(8192, extents: [beyond]) != .drive(atBytes: .max - 4095))
  }

  @Test func extentsMayReachBeyondTheRange() {
    for (logical, physical, length, expected) in [
      (0, 65536, 32768, .drive(atBytes: 73728)), (8192, 65536, 8192, .drive(atBytes: 65536)),
      (8192, 65536, 4096, .moved(.hole(isWhole: false))),
      (12288, 65536, 8192, .moved(.hole(isWhole: false))),
      (4096, 65536, 12288, .moved(.misaligned(atBytes: 69632))),
    ] as [(UInt64, UInt64, UInt64, RangePlacement.Fate)] {
      let extent = FileExtent(logicalBytes: logical, physicalBytes: physical, lengthBytes: length)
      #expect(Self.fate(at: 8192, 8192, extents: [extent]) == expected, "\(extent)")
    }
  }

  /// Linux 6.13 to 6.15: one block, and nobody tells an optimal length.
  @Test func oneBlockIsTheDrivesUnlessShared() {
    var world = World(Drive(definesFields: true, awun: 63, nawupf: 15))
    world.deriveQueue(.namespaceOnly)
    world.deriveXFS(block: 4096, reflink: true, software: 0, optimal: false)
    #expect(Self.fate(4096, in: world.target) == .drive(atBytes: 1 << 20))
    #expect(Self.fate(8192, in: world.target) == .refused)
    let shared = Self.fate(4096, in: world.target) { $0.extents[0].flags = .shared }
    #expect(shared == .moved(.shared))
  }

  @Test func withoutADriveEverythingIsMoved() {
    var world = World(Drive())
    world.deriveQueue(.namespaceOnly)
    world.deriveXFS(block: 4096, reflink: true, software: 1 << 20)
    #expect(Self.fate(4096, in: world.target) == .moved(.noDrive))
    world.target.filesystem?.realtime = nil
    #expect(Self.fate(4096, in: world.target) == .unknown(.filesystem))
    world.target.statx = nil
    #expect(Self.fate(4096, in: world.target) == .unknown(.filesystem))
  }

  /// Nothing is ever written elsewhere; what is not one mapping has no known place.
  @Test func withoutCopiesTheDriveWritesEverything() {
    var world = World(Drive(definesFields: true, awun: 63, nawupf: 15))
    world.deriveQueue(.namespaceOnly)
    world.deriveExt4(block: 4096, cluster: 65536)
    var plain = World(Drive(definesFields: true, awun: 63, nawupf: 15))
    plain.deriveQueue(.namespaceOnly)
    plain.deriveXFS(block: 4096, reflink: false, software: 0)
    for (target, length) in [(world.target, 8192), (plain.target, 4096)]
      as [(TargetLimits, UInt64)]
    {
      #expect(Self.fate(length, in: target) == .drive(atBytes: 1 << 20))
      #expect(Self.fate(length, extents: [], in: target) == .drive(atBytes: nil))
      let dirty = Self.fate(length, in: target) { $0.hasUnwrittenPages = nil }
      #expect(dirty == .drive(atBytes: nil))
      let encoded = Self.fate(length, in: target) { $0.extents[0].flags = .encrypted }
      #expect(encoded == .unknown(.placeless(.encrypted)))
      #expect(Self.fate(16384, in: target) == .refused)
    }
  }

  // MARK: The mapping's own arithmetic

  @Test(
    arguments: [
      // Writes shorter than a block are direct: no clone ever.
      (4096, 512, 512, nil, nil, false), (4096, 4096, 512, nil, nil, true),
      (4096, 4096, 4096, nil, nil, true), (4096, 0, 0, nil, nil, true),
      (4096, nil, 512, nil, nil, true), (4096, 512, nil, nil, nil, true),
      (nil, 512, 512, nil, nil, true),
      // Every block that is counted is mapped.
      (4096, 4096, 512, 65536, 65536, false), (4096, 4096, 4096, 65536, 65536, false),
      (4096, 4096, 512, 69632, 65536, true), (4096, 4096, 512, 65536, 69632, true),
      (4096, 4096, 512, 65536, nil, true), (4096, 4096, 512, nil, 65536, true),
    ] as [(UInt64?, UInt32?, UInt32?, UInt64?, UInt64?, Bool)]
  )
  func blocksSetAsideAreExcludedByTwoFacts(
    block: UInt64?,
    write: UInt32?,
    read: UInt32?,
    allocated: UInt64?,
    mapped: UInt64?,
    expected: Bool
  ) {
    let doubt = FileMapping.mayHaveCopies(
      block: block,
      writeAlignment: write,
      readAlignment: read,
      allocatedBytes: allocated,
      mappedBytes: mapped
    )
    #expect(doubt == expected)
  }

  @Test func flagsHaveTheKernelsNames() {
    let flags: FileExtent.Flags = [.shared, .unwritten, .last, .init(rawValue: 0x8000_0010)]
    #expect(flags.names == ["last", "unwritten", "shared", "0x10", "0x80000000"])
    #expect(FileExtent.Flags().names == [])
  }
}
