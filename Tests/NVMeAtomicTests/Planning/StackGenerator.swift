@testable import NVMeAtomic

/// Random stacks of up to three drives and four layers, and what to ask of them.
struct StackGenerator {
  var random: SplitMix64

  init(_ seed: Seed) {
    random = seed.generator
  }

  mutating func world() -> StackWorld {
    var world = StackWorld()
    let common = drive()
    let isAlike = !random.once(in: 3)
    for _ in 0...random.below(3) {
      let index = world.addDrive(isAlike ? common : drive(), transfer: transfer())
      disturb(&world.devices[index].queue)
    }
    if random.once(in: 6) { addPaths(to: &world) }
    var free = Array(world.devices.indices)
    for _ in 0...random.below(3) { addLayer(to: &world, &free) }
    if free.count > 1 || isDrive(world.devices[free[0]]) { addLayer(to: &world, &free, all: true) }
    if random.once(in: 4) {
      // The last device is the target.
      addPartition(of: free[0], size: 512 * 512, to: &world)
    }
    // Layers keep what they were built with when something below or beside them changes.
    if random.once(in: 2) {
      let index = Int(random.below(UInt64(world.devices.count)))
      for _ in 0..<3 { disturb(&world.devices[index].queue) }
    }
    if random.once(in: 4) {
      world.file = random.pick([
        .ext4(cluster: nil), .ext4(cluster: 16384), .xfs(reflink: false, software: 4096),
        .xfs(reflink: true, software: 16384), .xfs(reflink: true, software: 65536),
      ])
    }
    return world
  }

  mutating func request() -> WriteRequest {
    let length = random.pick([512, 1024, 2048, 4096, 4096, 8192, 16384, 32768] as [UInt64])
    var promises: Promises = .powerFailAtomic
    if random.once(in: 3) { promises = Promises(rawValue: UInt8(random.below(8))) }
    let range: WriteRequest.Range =
      random.once(in: 3)
      ? .one(offsetBytes: random.below(24) * length, lengthBytes: length)
      : .everyPage(sizeBytes: length)
    return WriteRequest(
      range,
      promises: promises,
      writer: random.once(in: 4) ? .direct : .rwfAtomic
    )
  }

  // MARK: Parts

  private mutating func drive() -> Drive {
    var drive = Drive(lbads: random.once(in: 8) ? 12 : 9)
    drive.definesFields = !random.once(in: 8)
    drive.nawupf = random.pick([0, 7, 15, 19, 31, 31, 63])
    drive.awupf = min(drive.nawupf, random.pick([0, 7]))
    (drive.awun, drive.nawun) = (drive.awupf, max(drive.nawupf, 31))
    drive.nabspf = random.pick([0, 0, 0, 0, 31, 63, 47])
    drive.nabo = random.once(in: 12) ? 8 : 0
    drive.cache = random.once(in: 3)
    drive.disabled = random.once(in: 8)
    drive.metadata = random.once(in: 24) ? 8 : 0
    return drive
  }

  private mutating func transfer() -> UInt64 {
    random.pick([8192, 16384, 65536, 1 << 20, 1 << 20, 1 << 20])
  }

  private mutating func start() -> UInt64 {
    random.pick([0, 0, 8, 16, 32, 64, 128, 2048, 2048, 1, 2, 4, 63]) * 512
  }

  /// The same, or 0 where it would leave next to nothing of a device.
  private mutating func start(in size: UInt64) -> UInt64 {
    let start = start()
    return start * 4 <= size ? start : 0
  }

  @discardableResult
  private mutating func addPartition(
    of device: Int,
    size: UInt64,
    to world: inout StackWorld
  ) -> Int {
    let whole = world.devices[device].size
    let place = StackWorld.Place(device: device, start: start(in: whole))
    return world.addLayer(.partition(place), size: min(size, whole - place.start))
  }

  private mutating func chunk() -> UInt64 {
    random.pick([8, 16, 32, 64, 128, 24, 48, 12, 2]) * 512
  }

  /// What an administrator or a drive may have set.
  private mutating func disturb(_ queue: inout StackQueue) {
    queue.facts.nomerges = random.pick([0, 0, 1, 2, 2])
    if random.once(in: 4) {
      queue.facts.physicalBlockSize = max(
        queue.facts.logicalBlockSize ?? 0,
        random.pick([4096, 16384])
      )
    }
    if random.once(in: 5) { queue.facts.chunkSectors = random.pick([8, 32, 64, 24]) }
    if random.once(in: 4) { queue.facts.writeBack = random.once(in: 2) }
    if random.once(in: 12) { queue.facts.maxSectorsKB = random.pick([4, 8]) }
    if random.once(in: 12) {
      // Limits from before the devices below became what they are.
      let unit = random.pick([4096, 8192, 16384, 32768] as [UInt64])
      queue.hardwareUnitMin = queue.facts.logicalBlockSize ?? 512
      (queue.hardwareUnitMax, queue.hardwareMax) = (unit, unit * random.pick([1, 2]))
      queue.boundary = random.pick([0, 0, 65536])
      queue.update()
    }
  }

  private mutating func addPaths(to world: inout StackWorld) {
    let drive = drive()
    var paths: [(drive: Drive, queue: StackQueue)] = []
    for _ in 0...random.below(2) {
      var queue = StackQueue(drive, transfer: transfer())
      disturb(&queue)
      var own = drive
      if random.once(in: 3) { own.nawupf = random.pick([7, 31]) }
      paths.append((own, queue))
    }
    // One path: a controller of its own, and the head as good as gone.
    var queue = paths[0].queue
    for path in paths.dropFirst() {
      if path.queue.hardwareUnitMax < queue.hardwareUnitMax { queue = path.queue }
    }
    if paths.count > 1 { queue.facts.nomerges = 0 }
    world.add(.head(paths), size: 1 << 30, queue)
  }

  private mutating func addLayer(
    to world: inout StackWorld,
    _ free: inout [Int],
    all: Bool = false
  ) {
    let wanted = all ? free.count : Int(1 + random.below(UInt64(free.count)))
    var members: [Int] = []
    for _ in 0..<wanted { members.append(free.remove(at: Int(random.below(UInt64(free.count))))) }
    if members.count == 1, !isPartition(world.devices[members[0]]), random.once(in: 5) {
      members = [addPartition(of: members[0], size: 1 << 29, to: &world)]
    }
    let least = members.map { world.devices[$0].size }.min() ?? 0
    let begin = start(in: least)
    let room = least - begin
    let count = UInt64(members.count)
    let places = members.map { StackWorld.Place(device: $0, start: begin) }
    let index: Int
    switch random.below(6) {
    case 0, 1: index = addLinear(members, to: &world)
    case 2: index = world.addLayer(.raid1(places), size: room)
    case 3:
      let chunk = chunk()
      index = world.addLayer(.raid0(places, chunk: chunk), size: room / chunk * chunk * count)
    case 4:
      let chunk = chunk()
      index = world.addLayer(.striped(places, chunk: chunk), size: room / chunk * chunk * count)
    default:
      guard places.count > 1 else {
        index = addLinear(members, to: &world)
        break
      }
      let chunk = random.pick([4096, 16384, 65536] as [UInt64])
      let size = room / chunk * chunk * (count / 2)
      index = world.addLayer(.raid10(places, chunk: chunk), size: size)
    }
    if random.once(in: 3) { disturb(&world.devices[index].queue) }
    world.devices[index].queue.facts.nomerges = 0
    free.append(index)
  }

  private mutating func addLinear(_ members: [Int], to world: inout StackWorld) -> Int {
    var segments: [(place: StackWorld.Place, length: UInt64)] = []
    for device in members + (random.once(in: 3) ? members : []) {
      let size = world.devices[device].size
      let begin = start(in: size)
      let length = min(size - begin, random.pick([256, 512, 512, 1024, 264, 257]) * 512)
      segments.append((StackWorld.Place(device: device, start: begin), length))
    }
    return world.addLayer(.linear(segments), size: segments.reduce(0) { $0 + $1.length })
  }

  private func isDrive(_ device: StackWorld.Device) -> Bool {
    switch device.shape {
    case .drive, .head: true
    default: false
    }
  }

  private func isPartition(_ device: StackWorld.Device) -> Bool {
    if case .partition = device.shape { true } else { false }
  }
}
