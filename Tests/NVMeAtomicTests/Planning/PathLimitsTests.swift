import Testing

@testable import NVMeAtomic

/// The limits that are shown to people, against the verdicts that are given to writers.
@Suite struct PathLimitsTests {
  private static func holds(_ world: World, _ path: WritePath, _ range: WriteRequest.Range) -> Bool
  {
    world.verdict(path, WriteRequest(range, writer: path.writer)).promise != nil
  }

  /// Powers of two that the kernel path keeps at every naturally aligned offset, one by one.
  private static func keptEverywhere(_ world: World) -> [UInt64] {
    let size = world.target.sizeBytes ?? 64 * world.drive.block
    return (0...6).map { world.drive.block << UInt64($0) }.filter { length in
      length <= size
        && stride(from: 0, through: size - length, by: Int(length)).allSatisfy {
          holds(world, .kernel, .one(offsetBytes: $0, lengthBytes: length))
        }
    }
  }

  /// Merging depends on who else writes, so no limit speaks of it.
  private static func unmerged(_ world: World) -> World {
    var world = world
    world.target.queue.nomerges = 2
    return world
  }

  @Test(arguments: Seed.some(4))
  func kernelLimitsOfDevicesAreWhatIsAccepted(seed: Seed) {
    var generator = WorldGenerator(seed)
    for _ in 0..<200 {
      let world = Self.unmerged(generator.device())
      let limits = KernelPathLimits(world.target)
      let kept = Self.keptEverywhere(world)
      let text: Comment = "\(limits), kept \(kept), \(world). \(seed.replay)"
      guard world.drive.metadata == 0 else {
        #expect(kept.isEmpty && limits.available != true, text)
        continue
      }
      #expect(limits.available == !kept.isEmpty, text)
      #expect(limits.maximumBytes == kept.max() ?? 0, text)
      #expect(limits.minimumBytes == kept.min() ?? 0, text)
      #expect(limits.softwareMaximumBytes == 0, text)
      #expect(limits.hardwareMaximumBytes == limits.maximumBytes, text)
      #expect(limits.backing == (kept.isEmpty ? .unknown : .hardware), text)
      #expect((limits.reason == nil) == !kept.isEmpty, text)
      #expect(world.target.tornFreeBytes == limits.maximumBytes, text)
      #expect(
        limits.maximumBytes ?? 0 <= world.target.statx?.atomicWriteUnitMax.map(UInt64.init) ?? 0
      )
      #expect(limits.maximumBytes ?? 0 <= world.drive.powerFail, text)
      for length in kept {
        #expect(Self.holds(world, .kernel, .everyPage(sizeBytes: length)), text)
      }
    }
  }

  @Test(arguments: Seed.some(4))
  func kernelLimitsOfFilesAreWhatIsAccepted(seed: Seed) {
    var generator = WorldGenerator(seed)
    for _ in 0..<300 {
      let world = Self.unmerged(generator.file())
      let limits = KernelPathLimits(world.target)
      let kept = (0...10).map { world.drive.block << UInt64($0) }.filter {
        Self.holds(world, .kernel, .everyPage(sizeBytes: $0))
      }
      let text: Comment = "\(limits), kept \(kept), \(world). \(seed.replay)"
      switch limits.available {
      case true?:
        #expect(limits.maximumBytes == kept.max(), text)
        #expect(limits.minimumBytes == kept.min(), text)
      case false?:
        #expect(kept.isEmpty, text)
        #expect(limits.maximumBytes == 0, text)
      case nil:
        #expect(limits.maximumBytes == nil, text)
        #expect(limits.reason != nil, text)
      }
      let hardware = limits.hardwareMaximumBytes ?? 0
      #expect(hardware <= world.drive.powerFail, text)
      #expect(hardware <= limits.maximumBytes ?? 0, text)
      if let torn = world.target.tornFreeBytes {
        #expect(torn <= hardware && limits.backing != .mixed, text)
      }
      let isXFS = world.target.filesystem?.type == "xfs"
      #expect(isXFS || limits.softwareMaximumBytes ?? 0 == 0, text)
    }
  }

  /// The longest command is the longest that is accepted somewhere.
  @Test(arguments: Seed.some(4))
  func passthroughLimitsAreWhatIsAcceptedSomewhere(seed: Seed) {
    var generator = WorldGenerator(seed)
    for _ in 0..<50 {
      var world = generator.device()
      // The kernel's own lines may lie elsewhere than the drive's; that is the planner's caution.
      world.target.queue.atomicWriteBoundaryBytes = 0
      let block = world.drive.block
      let limits = PassthroughPathLimits(world.target)
      let longest = (1...17 as ClosedRange<UInt64>).last { count in
        (0...20 as ClosedRange<UInt64>).contains {
          Self.holds(world, .passthrough, .one(offsetBytes: $0 * block, lengthBytes: count * block))
        }
      }
      let text: Comment = "\(limits), longest \(longest ?? 0), \(world). \(seed.replay)"
      #expect(limits.available == (longest != nil), text)
      #expect(limits.maximumBytes == (longest ?? 0) * block, text)
      #expect(limits.maximumBytes ?? 0 <= min(world.drive.powerFail, world.drive.transfer), text)
      #expect(limits.granuleBytes == block, text)
      #expect(limits.boundaryBytes == world.drive.powerFailLines?.size ?? 0, text)
      #expect(limits.boundaryOffsetBytes == UInt64(world.drive.nabo) * block, text)
    }
  }

  /// A yes for every page is a yes for each.
  @Test(arguments: Seed.some(4))
  func everyPageIsEachPage(seed: Seed) {
    var generator = WorldGenerator(seed)
    for _ in 0..<200 {
      let world = generator.device()
      guard let size = world.target.sizeBytes else { continue }
      for path in WritePath.planned {
        let length = generator.random.pick([1, 2, 3, 4, 8]) * world.drive.block
        guard Self.holds(world, path, .everyPage(sizeBytes: length)) else { continue }
        let torn = stride(from: 0, through: size - length, by: Int(length)).first {
          !Self.holds(world, path, .one(offsetBytes: $0, lengthBytes: length))
        }
        #expect(torn == nil, "\(path) \(length), \(world). \(seed.replay)")
      }
    }
  }

  @Test func aCharacterDeviceTakesNoAtomicWrites() {
    for kind in [TargetKind.generic, .controller] {
      let limits = KernelPathLimits(World(Drive(awupf: 7), kind: kind).target)
      #expect(limits.available == false)
      #expect(limits.maximumBytes == 0)
    }
  }

  @Test func whatIsNotKnownIsNil() {
    var world = World(Drive(awupf: 7))
    #expect(KernelPathLimits(world.target).available == nil)
    #expect(world.target.tornFreeBytes == nil)
    world.deriveQueue(.awupf)
    world.deriveDeviceStatx()
    #expect(world.target.tornFreeBytes == 4096)
    world.target.drive = .unknown(.identifyInvalid)
    #expect(KernelPathLimits(world.target).available == nil)
    #expect(PassthroughPathLimits(world.target).available == nil)
    #expect(world.target.tornFreeBytes == nil)
    world = World(Drive(awupf: 7))
    world.target.queue.maxHWSectorsKB = nil
    #expect(PassthroughPathLimits(world.target).available == nil)
  }

  @Test(arguments: [TargetKind.block, .file, .directory, .controller])
  func passthroughGoesToNamespacesOnly(kind: TargetKind) {
    let limits = PassthroughPathLimits(World(Drive(awupf: 7), kind: kind).target)
    #expect(limits.available == false)
    #expect(limits.maximumBytes == 0)
    #expect(limits.reason != nil)
  }
}
