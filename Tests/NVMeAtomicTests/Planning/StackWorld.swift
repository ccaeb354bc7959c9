import LinuxIO
import TestSupport

@testable import NVMeAtomic

/// A few drives below a few layers: what a stack is, once more and apart from the code under test.
struct StackWorld {
  /// Where a layer lies on a device below it.
  struct Place {
    var device: Int
    var start: UInt64
  }

  enum Shape {
    case drive(Drive)
    /// A namespace by several paths, each with what its controller says and its own queue.
    case head([(drive: Drive, queue: StackQueue)])
    case partition(Place)
    case linear([(place: Place, length: UInt64)])
    case striped([Place], chunk: UInt64)
    case raid0([Place], chunk: UInt64)
    case raid1([Place])
    /// Two copies, near each other.
    case raid10([Place], chunk: UInt64)
  }

  struct Device {
    var shape: Shape
    var queue: StackQueue
    var size: UInt64
  }

  /// Below before above; the last one is the target, or carries the file.
  var devices: [Device] = []
  var file: File?

  enum File {
    case ext4(cluster: UInt64?)
    case xfs(reflink: Bool, software: UInt64)
  }

  var top: Int { devices.count - 1 }

  // MARK: Making

  @discardableResult
  mutating func add(_ shape: Shape, size: UInt64, _ queue: StackQueue) -> Int {
    devices.append(Device(shape: shape, queue: queue, size: size))
    return top
  }

  mutating func addDrive(_ drive: Drive, transfer: UInt64 = 1 << 20) -> Int {
    add(.drive(drive), size: 1 << 30, StackQueue(drive, transfer: transfer))
  }

  /// A layer whose queue is stacked as `block/blk-settings.c:blk_stack_limits` does.
  mutating func addLayer(_ shape: Shape, size: UInt64) -> Int {
    var queue: StackQueue
    switch shape {
    case .partition(let place): queue = devices[place.device].queue
    case .drive, .head: fatalError("not a layer")
    case .linear(let segments): queue = stacked(segments.map(\.place), chunk: 0)
    case .raid1(let places): queue = stacked(places, chunk: 0)
    case .striped(let places, let chunk), .raid0(let places, let chunk),
      .raid10(let places, let chunk):
      queue = stacked(places, chunk: chunk)
    }
    return add(shape, size: size, queue)
  }

  private func stacked(_ places: [Place], chunk: UInt64) -> StackQueue {
    var queue = StackQueue(chunk: chunk)
    for place in places {
      let (disk, start) = disk(of: place)
      queue.stack(devices[disk].queue, start: start)
    }
    queue.update()
    return queue
  }

  /// The whole disk that a place lies on, and where.
  func disk(of place: Place) -> (device: Int, start: UInt64) {
    guard case .partition(let below) = devices[place.device].shape else {
      return (place.device, place.start)
    }
    return (below.device, below.start + place.start)
  }

  // MARK: Mapping

  /// Where one byte of a layer lies, once for each copy.
  func copies(of address: UInt64, on device: Int) -> [(device: Int, address: UInt64)] {
    switch devices[device].shape {
    case .drive, .head: return []
    case .partition(let place): return [(place.device, place.start + address)]
    case .linear(let segments):
      var begin: UInt64 = 0
      for (place, length) in segments {
        if address < begin + length { return [(place.device, place.start + address - begin)] }
        begin += length
      }
      return []
    case .raid1(let places): return places.map { ($0.device, $0.start + address) }
    case .striped(let places, let chunk), .raid0(let places, let chunk):
      return [Self.slot(address / chunk, places, chunk, address % chunk)]
    case .raid10(let places, let chunk):
      return (0...1).map { Self.slot(2 * (address / chunk) + $0, places, chunk, address % chunk) }
    }
  }

  private static func slot(
    _ index: UInt64,
    _ places: [Place],
    _ chunk: UInt64,
    _ rest: UInt64
  ) -> (device: Int, address: UInt64) {
    let count = UInt64(places.count)
    let place = places[Int(index % count)]
    return (place.device, place.start + index / count * chunk + rest)
  }
}

/// Limits of a queue as the kernel keeps them: the hardware's, and what becomes of them.
struct StackQueue {
  var hardwareMax: UInt64
  var hardwareUnitMin: UInt64
  var hardwareUnitMax: UInt64
  var boundary: UInt64
  var transfer: UInt64
  var facts: QueueLimits

  /// Of a drive.
  init(_ drive: Drive, transfer: UInt64) {
    var world = World(drive)
    world.deriveQueue(.namespaceOnly)
    hardwareMax = world.target.queue.atomicWriteMaxBytes ?? 0
    hardwareUnitMin = world.target.queue.atomicWriteUnitMinBytes ?? 0
    hardwareUnitMax = world.target.queue.atomicWriteUnitMaxBytes ?? 0
    boundary = world.target.queue.atomicWriteBoundaryBytes ?? 0
    self.transfer = transfer
    facts = world.target.queue
    facts.maxHWSectorsKB = transfer / 1024
    facts.maxSectorsKB = min(transfer / 1024, 1280)
    update()
  }

  /// Of a layer with nothing below yet: `blk_set_stacking_limits`.
  init(chunk: UInt64) {
    (hardwareMax, hardwareUnitMin, hardwareUnitMax) = (.max, 0, .max)
    (boundary, transfer) = (0, 1 << 20)
    facts = QueueLimits()
    facts.logicalBlockSize = 512
    facts.physicalBlockSize = 512
    facts.chunkSectors = chunk / 512
    facts.maxHWSectorsKB = 1 << 20
    facts.maxSectorsKB = 1280
    facts.maxSegments = 128
    facts.nomerges = 0
    facts.writeBack = false
  }

  /// `blk_stack_limits` and `blk_stack_atomic_writes_limits`.
  mutating func stack(_ below: StackQueue, start: UInt64) {
    let other = below.facts
    facts.logicalBlockSize = max(facts.logicalBlockSize ?? 0, other.logicalBlockSize ?? 0)
    facts.physicalBlockSize = max(facts.physicalBlockSize ?? 0, other.physicalBlockSize ?? 0)
    transfer = min(transfer, below.transfer)
    facts.maxHWSectorsKB = transfer / 1024
    facts.maxSectorsKB = min(facts.maxSectorsKB ?? 0, other.maxSectorsKB ?? 0)
    if other.writeBack == true { facts.writeBack = true }
    if let chunk = other.chunkSectors, chunk > 0 {
      facts.chunkSectors = Self.divisor(facts.chunkSectors ?? 0, chunk)
    }
    let chunk = (facts.chunkSectors ?? 0) * 512
    let alignment = max(below.hardwareUnitMin, below.boundary)
    guard hardwareMax > 0, below.hardwareUnitMin > 0, start % alignment == 0 else { return drop() }
    if hardwareMax == .max {
      if chunk > 0, below.boundary > 0, chunk % below.boundary != 0, below.boundary % chunk != 0 {
        return drop()
      }
      (hardwareMax, hardwareUnitMin) = (below.hardwareMax, below.hardwareUnitMin)
      (hardwareUnitMax, boundary) = (below.hardwareUnitMax, below.boundary)
    } else {
      guard boundary == below.boundary, hardwareUnitMin <= below.hardwareUnitMax,
        hardwareUnitMax >= below.hardwareUnitMin
      else { return drop() }
      hardwareMax = min(hardwareMax, below.hardwareMax)
      hardwareUnitMin = max(hardwareUnitMin, below.hardwareUnitMin)
      hardwareUnitMax = min(hardwareUnitMax, below.hardwareUnitMax)
    }
    guard chunk > 0 else { return }
    var factor: UInt64 = 1
    while chunk % (factor * 2) == 0 { factor *= 2 }
    hardwareUnitMax = min(hardwareUnitMax, factor)
    hardwareUnitMin = min(hardwareUnitMin, hardwareUnitMax)
    hardwareMax = min(hardwareMax, chunk)
  }

  private mutating func drop() {
    (hardwareMax, hardwareUnitMin, hardwareUnitMax, boundary) = (0, 0, 0, 0)
  }

  private static func divisor(_ left: UInt64, _ right: UInt64) -> UInt64 {
    right == 0 ? left : divisor(right, left % right)
  }

  /// `blk_atomic_writes_update_limits`.
  mutating func update() {
    let segments = min(256, facts.maxSegments ?? 0)
    let guaranteed =
      min(segments, 2) * (facts.logicalBlockSize ?? 0) + (segments - min(segments, 2)) * 4096
    let limit = min(transfer, guaranteed).roundedToPowerOfTwo
    let isOffered = hardwareMax > 0 && hardwareMax < .max
    facts.atomicWriteUnitMinBytes = isOffered ? min(hardwareUnitMin, limit) : 0
    facts.atomicWriteUnitMaxBytes = isOffered ? min(hardwareUnitMax, limit) : 0
    facts.atomicWriteMaxBytes = isOffered ? min(hardwareMax, transfer) : 0
    facts.atomicWriteBoundaryBytes = isOffered ? boundary : 0
  }
}

extension StackWorld: CustomStringConvertible {
  var description: String {
    let lines = devices.enumerated().map { index, device in
      "\(index): \(device.text) \(device.queue.facts.text)"
    }
    return lines.joined(separator: "; ") + (file.map { "; \($0)" } ?? "")
  }
}

extension StackWorld.Device {
  fileprivate var text: String {
    func list(_ places: [StackWorld.Place]) -> String {
      places.map { "\($0.device)@\($0.start)" }.joined(separator: ",")
    }
    switch shape {
    case .drive(let drive): return "(\(drive))"
    case .head(let paths):
      return "head " + paths.map { "(\($0.drive)) \($0.queue.facts.text)" }.joined(separator: ", ")
    case .partition(let place): return "partition \(list([place]))"
    case .linear(let segments):
      return "linear "
        + segments.map { "\(list([$0.place]))+\($0.length)" }.joined(separator: ",")
    case .striped(let places, let chunk): return "striped \(chunk) \(list(places))"
    case .raid0(let places, let chunk): return "raid0 \(chunk) \(list(places))"
    case .raid1(let places): return "raid1 \(list(places))"
    case .raid10(let places, let chunk): return "raid10 \(chunk) \(list(places))"
    }
  }
}

extension QueueLimits {
  /// Smallest and largest unit, the most that merging builds, and what else decides.
  fileprivate var text: String {
    func number(_ value: UInt64?) -> String { value.map(String.init) ?? "?" }
    return "[\(number(atomicWriteUnitMinBytes))…\(number(atomicWriteUnitMaxBytes)) "
      + "max \(number(atomicWriteMaxBytes)) lines \(number(atomicWriteBoundaryBytes)) "
      + "chunk \(number(chunkSectors)) block \(number(logicalBlockSize)) "
      + "pbs \(number(physicalBlockSize)) kb \(number(maxSectorsKB)) "
      + "nomerges \(number(nomerges)) wb \(writeBack.map(String.init) ?? "?")]"
  }
}
