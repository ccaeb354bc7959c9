@testable import NVMeAtomic

/// Random worlds small enough to try everything in, and requests that mean something there.
struct WorldGenerator {
  var random: SplitMix64

  init(_ seed: Seed) {
    random = seed.generator
  }

  /// A drive; every other one obeys the specification's relations between the fields.
  mutating func drive() -> Drive {
    var drive = Drive(lbads: random.once(in: 4) ? 12 : 9)
    drive.definesFields = !random.once(in: 3)
    drive.awupf = UInt16(random.below(8))
    drive.awun = UInt16(random.below(12))
    drive.nawupf = UInt16(random.below(8))
    drive.nawun = UInt16(random.below(12))
    drive.nabspf = random.pick([0, 0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 15])
    drive.nabsn = random.pick([0, 0, 0, 1, 2, 3, 3, 5, 7, 8, 15])
    drive.nabo = random.pick([0, 0, 0, 1, 2, 3])
    if random.once(in: 2) {
      drive.awun = max(drive.awun, drive.awupf)
      drive.nawupf = max(drive.nawupf, drive.awupf)
      drive.nawun = max(drive.nawun, drive.awun, drive.nawupf)
      if drive.nabspf != 0 { drive.nabspf = max(drive.nabspf, drive.nawupf) }
      if drive.nabsn != 0 { drive.nabsn = max(drive.nabsn, drive.nawun) }
      // No boundary is zero; an offset needs one.
      drive.nabo = min(drive.nabo, max(drive.nabsn, drive.nabspf))
    } else {
      drive.nabo = min(drive.nabo, drive.nabspf, drive.nabsn)
    }
    drive.mdts = random.pick([0, 0, 1, 2])
    drive.metadata = random.once(in: 16) ? 8 : 0
    drive.disabled = random.pick([false, false, false, true, nil])
    drive.cache = random.pick([false, false, true, nil])
    return drive
  }

  /// A block device on such a drive, its queue as the kernel derives it, or free of all rules.
  mutating func device() -> World {
    var world = World(drive(), kind: random.pick([.namespace, .partition, .partition, .generic]))
    let (block, scale) = (world.drive.block, world.drive.block / 512)
    if world.target.kind == .partition {
      world.target.startBytes = random.pick([0, 1, 2, 3, 4, 5, 8, 16]) * block
    }
    world.target.sizeBytes = random.pick([40, 48, 63, 64]) * block
    world.target.queue.maxSectorsKB = random.pick([1, 2, 3, 4, 8, 16]) * scale
    world.target.queue.maxHWSectorsKB = random.pick([2, 4, 8, 64]) * scale
    world.target.queue.maxSegments = random.pick([2, 3, 4, 9, 128])
    world.target.queue.chunkSectors = random.pick([0, 0, 0, 8, 16, 24]) * scale
    world.target.queue.nomerges = random.pick([0, 1, 2, 2])
    world.target.queue.physicalBlockSize = max(block, random.pick([512, 512, 1024, 4096]))
    if random.once(in: 6) { world.target.queue.writeBack = random.pick([false, true]) }
    world.deriveQueue(random.pick(KernelRules.allCases))
    if random.once(in: 4) {
      // A kernel that believes something else: limits from before a format, another path's.
      let unit = random.pick([1, 2, 4, 8, 16]) * block
      world.target.queue.atomicWriteUnitMinBytes = block
      world.target.queue.atomicWriteUnitMaxBytes = unit
      world.target.queue.atomicWriteMaxBytes = unit * random.pick([1, 2])
      world.target.queue.atomicWriteBoundaryBytes = random.pick([0, 0, 2 * unit, 4 * unit])
    }
    world.deriveDeviceStatx()
    return world
  }

  /// A file on such a device.
  mutating func file() -> World {
    var world = device()
    if world.target.kind == .generic { world.target.kind = .namespace }
    let block = max(world.drive.block, random.pick([1, 2, 4, 8]) * world.drive.block)
    switch random.below(8) {
    case 0...2: world.deriveExt4(block: block)
    case 3: world.deriveExt4(block: block, cluster: random.pick([2, 4]) * block)
    case 4: world.deriveXFS(block: block, reflink: false, software: 0)
    case 5: world.deriveXFS(block: block, reflink: true, software: block, optimal: false)
    default:
      let software = random.pick([1, 2, 4, 16]) * block
      world.deriveXFS(block: block, reflink: true, software: software)
    }
    if random.once(in: 12) { world.target.statx?.dioOffsetAlign = 0 }
    if random.once(in: 12) { world.target.statx?.dioOffsetAlign = UInt32(block) }
    if random.once(in: 16) { world.target.filesystem?.realtime = true }
    if random.once(in: 16) {
      world.target.filesystem?.type = random.pick(["btrfs", "f2fs", "nfs"])
    }
    return world
  }

  /// A request of one kind of writer: mostly in blocks, now and then anything at all.
  mutating func request(in world: World, by writer: Writer) -> WriteRequest {
    let block = world.drive.block
    var promises: Promises = .powerFailAtomic
    if random.once(in: 3) { promises = Promises(rawValue: UInt8(random.below(8))) }
    return WriteRequest(range(block), promises: promises, writer: writer)
  }

  /// A dozen requests, each by the writer of its path.
  mutating func questions(in world: World) -> [(path: WritePath, request: WriteRequest)] {
    var questions: [(path: WritePath, request: WriteRequest)] = []
    for _ in 0..<4 {
      let atomic = request(in: world, by: .rwfAtomic)
      questions += [(.kernel, atomic), (.passthrough, atomic)]
      questions.append((.plain, request(in: world, by: .direct)))
    }
    return questions
  }

  private mutating func range(_ block: UInt64) -> WriteRequest.Range {
    switch random.below(16) {
    case 0...3: return .everyPage(sizeBytes: random.pick([1, 2, 4, 8, 16]) * block)
    case 4: return .everyPage(sizeBytes: random.below(12) * block)
    case 5...9:
      let length = random.pick([1, 2, 4, 8]) * block
      return .one(offsetBytes: random.below(40 * block / length) * length, lengthBytes: length)
    case 10...13:
      return .one(offsetBytes: random.below(64) * block, lengthBytes: random.below(12) * block)
    case 14: return .one(offsetBytes: random.below(8192), lengthBytes: random.below(8192))
    default:
      let far: [UInt64] = [0, 1, block, 1 << 62, 1 << 63, .max - block, .max]
      if random.once(in: 2) { return .everyPage(sizeBytes: random.pick(far)) }
      return .one(offsetBytes: random.pick(far), lengthBytes: random.pick(far))
    }
  }
}
