import Testing

@testable import NVMeAtomic

/// What each filesystem of kernel and drive makes of pages, in figures that people meet.
@Suite struct FileSystemPlanTests {
  /// A drive of 512-byte blocks that keeps 16 KiB, without a cache, and merges nothing.
  private static func world(
    _ drive: Drive = Drive(definesFields: true, awun: 63, nawupf: 31),
    rules: KernelRules = .namespaceOnly
  ) -> World {
    var world = World(drive, kind: .partition)
    world.target.startBytes = 1 << 20
    world.target.queue.nomerges = 2
    world.deriveQueue(rules)
    return world
  }

  private static func ask(
    _ world: World,
    _ path: WritePath,
    _ size: UInt64,
    _ promises: Promises = .powerFailAtomic
  ) -> PathVerdict {
    let request = WriteRequest(.everyPage(sizeBytes: size), promises: promises, writer: path.writer)
    return world.verdict(path, request)
  }

  @Test func ext4KeepsOneBlockEitherWay() {
    var world = Self.world()
    world.deriveExt4(block: 4096)
    for path in [WritePath.kernel, .plain] {
      #expect(Self.ask(world, path, 4096) == .holds(PathPromise(backing: .hardware)))
      #expect(Self.ask(world, path, 8192).promise == nil)
    }
    #expect(Self.ask(world, .plain, 512) == .holds(PathPromise(backing: .hardware)))
    #expect(Self.ask(world, .plain, 1536).promise == nil, "three blocks straddle an edge")
    #expect(KernelPathLimits(world.target).backing == .hardware)
    #expect(world.target.tornFreeBytes == 4096)
  }

  @Test func ext4ClustersAreWrittenAtomicallyOnlyByName() {
    var world = Self.world()
    world.deriveExt4(block: 4096, cluster: 65_536)
    #expect(Self.ask(world, .kernel, 16_384) == .holds(PathPromise(backing: .hardware)))
    #expect(Self.ask(world, .kernel, 32_768).promise == nil)
    #expect(Self.ask(world, .plain, 16_384).promise == nil)
    #expect(world.target.tornFreeBytes == 16_384)
  }

  @Test func ext4WithJournalledDataKeepsNothing() {
    var world = Self.world()
    world.deriveExt4(block: 4096)
    world.target.statx?.dioOffsetAlign = 0
    #expect(Self.ask(world, .kernel, 4096) == .fails(.kernelOffersNone))
    #expect(Self.ask(world, .plain, 4096) == .fails(.noDirectIO))
    #expect(world.target.tornFreeBytes == 0)
  }

  /// NSABP is clear: newer kernels report one block of 512 bytes, and ext4 has none as short.
  @Test func anIgnoredLimitLeavesOnlyOrdinaryWrites() {
    var world = Self.world(Drive(awun: 63, awupf: 31))
    world.deriveExt4(block: 4096)
    #expect(Self.ask(world, .kernel, 4096) == .fails(.kernelOffersNone))
    #expect(Self.ask(world, .plain, 4096) == .holds(PathPromise(backing: .hardware)))
  }

  @Test func xfsWithoutReflinkKeepsOneBlock() {
    var world = Self.world()
    world.deriveXFS(block: 4096, reflink: false, software: 0)
    for path in [WritePath.kernel, .plain] {
      #expect(Self.ask(world, path, 4096) == .holds(PathPromise(backing: .hardware)))
      #expect(Self.ask(world, path, 8192).promise == nil)
    }
  }

  @Test func xfsWithReflinkKeepsMoreInSoftware() {
    var world = Self.world()
    world.deriveXFS(block: 4096, reflink: true, software: 2 << 20)
    #expect(Self.ask(world, .kernel, 16_384) == .holds(PathPromise(backing: .mixed)))
    #expect(Self.ask(world, .kernel, 32_768) == .holds(PathPromise(backing: .software)))
    #expect(Self.ask(world, .kernel, 2 << 20) == .holds(PathPromise(backing: .software)))
    #expect(Self.ask(world, .kernel, 4 << 20).promise == nil)
    #expect(Self.ask(world, .kernel, 32_768, .untorn) == .fails(.softwareIsSeenTorn))
    #expect(Self.ask(world, .kernel, 4096, .untorn) == .unknown(.placement))
    #expect(Self.ask(world, .plain, 4096) == .fails(.filesystemMayMove(type: "xfs")))
    let limits = KernelPathLimits(world.target)
    #expect(limits.backing == .mixed)
    #expect(limits.hardwareMaximumBytes == 16_384)
    #expect(limits.softwareMaximumBytes == 2 << 20)
    #expect(world.target.tornFreeBytes == nil)
  }

  @Test func xfsWithReflinkNeedsNoDrive() {
    var world = Self.world(Drive())
    world.deriveXFS(block: 4096, reflink: true, software: 2 << 20)
    #expect(Self.ask(world, .kernel, 4096) == .holds(PathPromise(backing: .software)))
    #expect(Self.ask(world, .kernel, 2 << 20) == .holds(PathPromise(backing: .software)))
    #expect(KernelPathLimits(world.target).backing == .software)
    #expect(world.target.tornFreeBytes == 0)
  }

  /// Linux 6.13 to 6.15, or a newer one limited to one block: nothing tells the two apart, and the
  /// newer one moves a shared block.
  @Test func xfsWithOneBlockMayMoveIt() {
    var world = Self.world()
    world.deriveXFS(block: 4096, reflink: true, software: 0, optimal: false)
    #expect(Self.ask(world, .kernel, 4096) == .holds(PathPromise(backing: .mixed)))
    #expect(Self.ask(world, .kernel, 4096, .untorn) == .unknown(.placement))
    #expect(Self.ask(world, .kernel, 8192).promise == nil)
    #expect(world.target.tornFreeBytes == nil)
  }

  @Test func anExternalLogIsNotDescribed() {
    for externalLog in [true, nil] as [Bool?] {
      var world = Self.world()
      world.deriveXFS(block: 4096, reflink: true, software: 65_536)
      world.target.filesystem?.externalLog = externalLog
      #expect(Self.ask(world, .kernel, 4096).promise == nil)
      #expect(Self.ask(world, .kernel, 65_536).promise == nil)
      #expect(KernelPathLimits(world.target).available == nil)
    }
  }

  /// `ext4_map_blocks_atomic_write_slow` forces a commit of a journal that is not there.
  @Test func ext4WithoutAJournalKeepsOneBlockAndNoMore() {
    for (journal, barriers) in [(false, true), (true, false), (false, false)] {
      var world = Self.world()
      world.deriveExt4(block: 4096, cluster: 16_384)
      world.target.filesystem?.journal = journal
      world.target.filesystem?.barriers = barriers
      #expect(Self.ask(world, .kernel, 16_384) == .fails(.journalNotKept))
      #expect(Self.ask(world, .kernel, 4096).promise != nil)
      #expect(world.target.tornFreeBytes == 4096)
      if !barriers {
        #expect(Self.ask(world, .kernel, 4096, .durable) == .fails(.journalNotKept))
      }
    }
  }

  /// The other device may cache what nobody flushes, or be gone after the crash.
  @Test func ext4WithAJournalElsewhereIsNotDescribed() {
    for external in [true, nil] as [Bool?] {
      var world = Self.world()
      world.deriveExt4(block: 4096, cluster: 16_384)
      world.target.filesystem?.externalJournal = external
      #expect(Self.ask(world, .kernel, 16_384).promise == nil)
      #expect(KernelPathLimits(world.target).available == nil)
      #expect(world.target.tornFreeBytes == nil)
      world.deriveExt4(block: 4096)
      world.target.filesystem?.externalJournal = external
      for path in [WritePath.kernel, .plain] {
        #expect(Self.ask(world, path, 4096).promise == nil)
        #expect(Self.ask(world, path, 4096, [.powerFailAtomic, .durable]).promise == nil)
      }
      #expect(world.target.tornFreeBytes == nil)
    }
  }

  /// It may lie on another device.
  @Test func ext4WithAnUnknownJournalIsNotDescribed() {
    var world = Self.world()
    world.deriveExt4(block: 4096)
    world.target.filesystem?.journal = nil
    world.target.filesystem?.externalJournal = nil
    #expect(Self.ask(world, .kernel, 4096).promise == nil)
    #expect(Self.ask(world, .kernel, 4096, [.powerFailAtomic, .durable]).promise == nil)
  }

  @Test func ext4WithoutExtentsWritesThroughThePageCache() {
    for extents in [false, nil] as [Bool?] {
      var world = Self.world()
      world.deriveExt4(block: 4096)
      world.target.filesystem?.extents = extents
      for path in [WritePath.kernel, .plain] {
        #expect(Self.ask(world, path, 4096).promise == nil)
      }
      #expect(KernelPathLimits(world.target).available == nil)
    }
  }

  @Test func aRealTimeDeviceIsNotDescribed() {
    for reflink in [false, true] {
      var world = Self.world()
      world.deriveXFS(block: 4096, reflink: reflink, software: 65_536)
      for realtime in [true, nil] as [Bool?] {
        world.target.filesystem?.realtime = realtime
        for path in [WritePath.kernel, .plain] {
          #expect(Self.ask(world, path, 4096).promise == nil)
        }
        #expect(world.target.tornFreeBytes == nil)
      }
    }
  }

  @Test(arguments: ["btrfs", "f2fs", "zfs", "nfs", "tmpfs", "overlay", "unheard-of"])
  func noOtherFilesystemIsTrusted(type: String) {
    var world = Self.world()
    world.deriveExt4(block: 4096)
    world.target.filesystem = FileSystemReport(type: type)
    world.target.filesystem?.blockSize = 4096
    // As if the kernel offered what it does not.
    for path in WritePath.planned {
      #expect(Self.ask(world, path, 4096).promise == nil, "\(path)")
    }
    world.target.drive = .none
    for path in WritePath.planned {
      #expect(Self.ask(world, path, 4096).promise == nil, "\(path)")
    }
  }

  /// Boundaries count below a file only where the kernel itself refuses to cross them.
  @Test func aBoundaryBelowAFileIsTheKernelsOrNobodys() {
    var drive = Drive(definesFields: true, awun: 63, nawupf: 31, nabspf: 31)
    var world = Self.world(drive)
    world.deriveExt4(block: 4096, cluster: 65_536)
    #expect(Self.ask(world, .kernel, 16_384).promise != nil)
    world.target.queue.atomicWriteBoundaryBytes = 0
    #expect(Self.ask(world, .kernel, 16_384) == .unknown(.placement))
    #expect(Self.ask(world, .kernel, 4096).promise != nil, "every block lies whole")
    drive.nabo = 1
    world.target.drive = .known(drive.limits)
    #expect(Self.ask(world, .kernel, 4096).promise == nil, "lines run through blocks")
    #expect(Self.ask(world, .plain, 4096).promise == nil)
  }
}
