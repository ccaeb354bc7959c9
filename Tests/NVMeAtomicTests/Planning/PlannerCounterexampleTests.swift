import Testing

@testable import NVMeAtomic

/// Writes that look whole and are not, one by one, in figures that people meet.
@Suite struct PlannerCounterexampleTests {
  private static func ask(
    _ world: World,
    _ path: WritePath,
    _ range: WriteRequest.Range,
    _ promises: Promises = .powerFailAtomic
  ) -> PathVerdict {
    world.verdict(path, WriteRequest(range, promises: promises, writer: path.writer))
  }

  /// Units of 4 and 8 KiB within windows of 16 KiB over power loss, of 8 KiB in normal operation.
  /// The kernel knows the first boundary only: it merges 2 + 2 KiB across 8192.
  @Test func mergedAtomicWritesCrossTheBoundaryThatTheKernelIgnores() {
    let drive = Drive(definesFields: true, nawun: 15, nawupf: 7, nabsn: 15, nabspf: 31)
    var world = World(drive)
    world.deriveQueue(.namespaceOnly)
    world.deriveDeviceStatx()
    let range = WriteRequest.Range.one(offsetBytes: 6144, lengthBytes: 2048)
    #expect(Self.ask(world, .kernel, range).promise != nil)
    #expect(Self.ask(world, .kernel, range, .untorn).promise == nil)
    world.target.queue.nomerges = 2
    #expect(Self.ask(world, .kernel, range, .untorn).promise != nil)
  }

  /// The queue still has the limits from before a format: 4 + 4 KiB become one command of 8 KiB.
  @Test func mergedAtomicWritesOutgrowTheDrive() {
    var world = World(Drive(definesFields: true, nawupf: 7))
    world.target.queue.atomicWriteUnitMinBytes = 512
    world.target.queue.atomicWriteUnitMaxBytes = 16_384
    world.target.queue.atomicWriteMaxBytes = 16_384
    world.deriveDeviceStatx()
    let range = WriteRequest.Range.everyPage(sizeBytes: 4096)
    #expect(Self.ask(world, .kernel, range).promise == nil)
    world.target.queue.nomerges = 2
    #expect(Self.ask(world, .kernel, range).promise != nil)
  }

  /// `max_sectors_kb` set to the unit, so that nothing merges; a partition from sector 34 on.
  /// The kernel cuts each page at the last edge of a physical block that the limit reaches.
  @Test func aPageOffThePhysicalBlocksIsSplitAtTheLimit() {
    var world = World(Drive(definesFields: true, nawupf: 31), kind: .partition)
    world.target.queue.maxSectorsKB = 16
    world.target.queue.physicalBlockSize = 16_384
    let range = WriteRequest.Range.everyPage(sizeBytes: 16_384)
    world.target.startBytes = 1 << 20
    #expect(Self.ask(world, .plain, range).promise != nil)
    world.target.startBytes = 34 * 512
    #expect(Self.ask(world, .plain, range).promise == nil)
    world.target.queue.physicalBlockSize = 512
    #expect(Self.ask(world, .plain, range).promise != nil)
  }

  /// ext4 with encryption takes direct I/O in whole filesystem blocks, and buffers the rest.
  @Test func lessThanTheDirectAlignmentIsBuffered() {
    var world = World(Drive(definesFields: true, nawupf: 31))
    world.target.queue.nomerges = 2
    world.deriveQueue(.namespaceOnly)
    world.deriveExt4(block: 4096)
    #expect(Self.ask(world, .plain, .everyPage(sizeBytes: 512)).promise != nil)
    world.target.statx?.dioOffsetAlign = 4096
    #expect(Self.ask(world, .plain, .everyPage(sizeBytes: 512)).promise == nil)
    #expect(Self.ask(world, .plain, .everyPage(sizeBytes: 4096)).promise != nil)
  }

  @Test(arguments: [WritePath.kernel, .plain])
  func anUnreadWriteCacheSettingIsNotAPromiseToFlush(path: WritePath) {
    var world = World(Drive(definesFields: true, nawupf: 7, cache: true))
    world.target.queue.nomerges = 2
    world.deriveQueue(.namespaceOnly)
    world.deriveDeviceStatx()
    let range = WriteRequest.Range.everyPage(sizeBytes: 4096)
    let durable: Promises = [.powerFailAtomic, .durable]
    #expect(Self.ask(world, path, range, durable).promise != nil)
    world.target.queue.writeBack = nil
    #expect(Self.ask(world, path, range, durable).promise == nil)
    #expect(Self.ask(world, path, range).promise != nil)
  }

  /// The log of XFS is in order on the drive only if the kernel flushes.
  @Test func softwareNeedsFlushes() {
    var world = World(Drive(cache: true))
    world.deriveQueue(.namespaceOnly)
    world.deriveXFS(block: 4096, reflink: true, software: 1 << 20)
    let range = WriteRequest.Range.everyPage(sizeBytes: 65_536)
    #expect(Self.ask(world, .kernel, range) == .holds(PathPromise(backing: .software)))
    world.target.queue.writeBack = false
    #expect(Self.ask(world, .kernel, range) == .fails(.cacheNeverFlushed))
    #expect(KernelPathLimits(world.target).available != true)
    world.target.queue.writeBack = nil
    #expect(Self.ask(world, .kernel, range).promise == nil)
    // A drive that could not be asked may have such a cache: no yes without a word about it.
    world.target.queue.writeBack = false
    world.target.drive = .unknown(.identify("it is asleep"))
    #expect(Self.ask(world, .kernel, range).promise?.assumptions != [])
  }

  /// With single blocks no optimal length is told, and a shared block is still moved by the log.
  @Test func oneSharedBlockNeedsFlushesToo() {
    var world = World(Drive(definesFields: true, nawupf: 7, cache: true))
    world.target.queue.nomerges = 2
    world.deriveQueue(.namespaceOnly)
    world.deriveXFS(block: 4096, reflink: true, software: 4096)
    let range = WriteRequest.Range.everyPage(sizeBytes: 4096)
    #expect(Self.ask(world, .kernel, range).promise?.backing == .mixed)
    world.target.queue.writeBack = false
    #expect(Self.ask(world, .kernel, range).promise == nil)
  }

  /// Beyond an unknown end lies the next partition, and passthrough checks nothing.
  @Test(arguments: WritePath.planned)
  func anUnknownSizeIsNotEndless(path: WritePath) {
    var world = World(Drive(definesFields: true, nawupf: 7), kind: .partition)
    world.target.queue.nomerges = 2
    world.deriveQueue(.namespaceOnly)
    world.deriveDeviceStatx()
    let range = WriteRequest.Range.one(offsetBytes: 1 << 30, lengthBytes: 4096)
    #expect(Self.ask(world, path, range).promise == nil)
    world.target.sizeBytes = nil
    #expect(Self.ask(world, path, range).promise == nil)
  }

  @Test func anUnknownShortestUnitIsNotZero() {
    var world = World(Drive(definesFields: true, nawupf: 7))
    world.target.queue.nomerges = 2
    world.deriveQueue(.namespaceOnly)
    world.deriveDeviceStatx()
    world.target.statx?.atomicWriteUnitMin = nil
    #expect(Self.ask(world, .kernel, .everyPage(sizeBytes: 512)).promise == nil)
  }

  @Test func anUnknownKernelBoundaryIsNotNone() {
    var world = World(Drive(definesFields: true, nawupf: 7, nabspf: 31))
    world.target.queue.nomerges = 2
    world.deriveQueue(.namespaceOnly)
    world.deriveDeviceStatx()
    #expect(Self.ask(world, .kernel, .everyPage(sizeBytes: 4096)).promise != nil)
    world.target.queue.atomicWriteBoundaryBytes = nil
    #expect(Self.ask(world, .kernel, .everyPage(sizeBytes: 4096)).promise == nil)
  }

  /// The kernel believes in 16 KiB, the drive keeps 8: XFS asks the drive up to the optimal length.
  @Test func softwareDoesNotStandInForWhatIsSentToTheDrive() {
    var world = World(Drive(definesFields: true, nawupf: 15))
    world.target.queue.nomerges = 2
    world.target.queue.atomicWriteUnitMinBytes = 512
    world.target.queue.atomicWriteUnitMaxBytes = 16_384
    world.target.queue.atomicWriteMaxBytes = 16_384
    world.deriveXFS(block: 4096, reflink: true, software: 16_384)
    #expect(Self.ask(world, .kernel, .everyPage(sizeBytes: 16_384)).promise == nil)
    #expect(KernelPathLimits(world.target).maximumBytes == 8192)
    world.deriveXFS(block: 4096, reflink: true, software: 65_536)
    #expect(Self.ask(world, .kernel, .everyPage(sizeBytes: 65_536)).promise != nil)
    #expect(KernelPathLimits(world.target).maximumBytes == 65_536)
  }

  /// The boundary keeps `RWF_ATOMIC` off a partition that begins between two lines: XFS sees no
  /// drive then, whatever the queue of the whole disk says.
  @Test func aMisalignedPartitionLeavesXFSToItself() {
    let drive = Drive(definesFields: true, nawupf: 31, nabspf: 31, cache: true)
    var world = World(drive, kind: .partition)
    world.target.startBytes = 34 * 512
    world.deriveQueue(.namespaceOnly)
    world.deriveXFS(block: 4096, reflink: true, software: 4096)
    let range = WriteRequest.Range.everyPage(sizeBytes: 4096)
    #expect(Self.ask(world, .kernel, range).promise?.backing == .software)
    world.deriveXFS(block: 4096, reflink: true, software: 65_536)
    #expect(Self.ask(world, .kernel, range).promise?.backing == .software)
    #expect(KernelPathLimits(world.target).backing == .software)
  }
}
