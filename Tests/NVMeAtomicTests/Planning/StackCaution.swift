@testable import NVMeAtomic

/// Where the planner means to be more careful with a stack than its layers demand.
enum StackCaution: CaseIterable {
  /// A page is judged by every place on the grids that layers lay on their members, reached or not,
  /// and by the rules for a single drive.
  case everyPlaceOnEveryGrid
  /// Seams and origins are judged whether or not a page lies across.
  case everySeam
  /// Every layer and every drive has to take the write, also where it does not go.
  case everyQueue
  /// Below a mirror anywhere no drive may lose what it merged, whether or not the write goes there.
  case mergedBesideAMirror
  /// A head and its only path that differ are trusted in nothing they differ in.
  case headUnlikeItsPath
  /// A cache anywhere has to be reached through every queue there is.
  case flushesEverywhere
  /// Layers are held to the limits for ordinary writes, though most cut by other rules.
  case ordinaryThroughLayers

  func applies(_ truth: StackTruth) -> Bool {
    let world = truth.world
    let length = truth.length
    let disks = world.devices.filter { if case .partition = $0.shape { false } else { true } }
    switch self {
    case .everyPlaceOnEveryGrid:
      return world.grids.contains { leaf, origin in
        fails(truth, leaf, origin: origin)
      }
    case .everySeam:
      return world.seams.contains { $0 % length != 0 }
    case .everyQueue:
      return disks.contains {
        let queue = $0.queue.facts
        return length > queue.atomicWriteUnitMaxBytes ?? 0
          || length < queue.atomicWriteUnitMinBytes ?? 0
      }
    case .mergedBesideAMirror:
      let isMirrored = disks.contains {
        switch $0.shape {
        case .raid1, .raid10: true
        default: false
        }
      }
      return isMirrored
        && world.leaves.map(\.queue).contains {
          $0.nomerges != 2 && $0.atomicWriteMaxBytes ?? 0 > $0.atomicWriteUnitMaxBytes ?? 0
        }
    case .headUnlikeItsPath:
      return disks.contains {
        guard case .head(let paths) = $0.shape, paths.count == 1 else { return false }
        return paths[0].queue.facts != $0.queue.facts
      }
    case .flushesEverywhere:
      let queues = disks.map(\.queue.facts) + world.leaves.map(\.queue)
      return world.leaves.contains { $0.drive.cache != false }
        && queues.contains { $0.writeBack != true }
    case .ordinaryThroughLayers:
      return truth.request.writer == .direct
    }
  }

  private func fails(_ truth: StackTruth, _ leaf: StackWorld.LeafQueue, origin: UInt64) -> Bool {
    let page = WriteRequest(
      .everyPage(sizeBytes: truth.length),
      promises: truth.request.promises.union(.powerFailAtomic),
      writer: truth.request.writer
    )
    var world = World(leaf.drive)
    world.target.queue = leaf.queue
    world.target.startBytes = origin
    world.target.sizeBytes = 1 << 40
    world.target.statx = .some(
      unitMin: leaf.queue.atomicWriteUnitMinBytes ?? 0,
      unitMax: leaf.queue.atomicWriteUnitMaxBytes ?? 0,
      optimal: 0,
      offsetAlign: leaf.drive.block
    )
    let path: WritePath = truth.request.writer == .direct ? .plain : .kernel
    // Durability is another caution's.
    var undurable = page
    undurable.promises.remove(.durable)
    if Truth.fate(of: undurable, through: path, in: world) != .kept { return true }
    let careful: [Caution] = [
      .powerFailAlways, .controllerUnitInsideBoundary, .mergedByAnotherRule,
    ]
    if careful.contains(where: { $0.applies(to: undurable, through: path, in: world) }) {
      return true
    }
    let asked = StackTruth(world: truth.world, request: page, target: truth.target)
    return (0..<48 as Range<UInt64>).contains { index in
      let first = origin + index * truth.length
      let device = StackWorld.Device(
        shape: .drive(leaf.drive),
        queue: StackQueue(leaf.queue),
        size: 0
      )
      return !asked.isTakenWhole(device, first..<first + truth.length)
    }
  }
}

extension StackQueue {
  fileprivate init(_ facts: QueueLimits) {
    self.init(chunk: 0)
    self.facts = facts
  }
}

extension StackWorld {
  struct LeafQueue {
    var drive: Drive
    var queue: QueueLimits
  }

  /// Every drive by every path.
  var leaves: [LeafQueue] { devices.flatMap(\.leaves) }

  /// Every drive, head and array by every path, each with the begin of every grid of pages on it.
  var grids: [(LeafQueue, UInt64)] {
    origins.flatMap { device, origin -> [(LeafQueue, UInt64)] in
      var queues = devices[device].leaves
      switch devices[device].shape {
      case .raid0, .raid1, .raid10, .head:
        // What an array or a head cuts, without any drive's own rules.
        var drive = Drive(definesFields: true, awupf: 4095, nawupf: 4095)
        drive.lbads = 9
        queues.append(LeafQueue(drive: drive, queue: devices[device].queue.facts))
      default: break
      }
      return queues.map { ($0, origin) }
    }
  }

  /// Every seam between pieces, and every origin of a device that has some.
  var seams: [UInt64] {
    origins.flatMap { device, origin -> [UInt64] in
      switch devices[device].shape {
      case .drive, .head, .partition: return []
      case .linear(let segments):
        if segments.count == 1 { return [] }
        var edges = [origin, 0]
        for segment in segments { edges.append(edges[edges.count - 1] + segment.length) }
        return edges
      case .raid1: return [origin]
      case .striped(_, let chunk), .raid0(_, let chunk), .raid10(_, let chunk):
        return [origin, chunk]
      }
    }
  }

  /// Every device that is in use, with the begin of every grid on it.
  private var origins: [(device: Int, origin: UInt64)] {
    var found: [(device: Int, origin: UInt64)] = []
    func visit(_ device: Int, _ origin: UInt64) {
      if found.contains(where: { $0.device == device && $0.origin == origin }) { return }
      found.append((device, origin))
      switch devices[device].shape {
      case .drive, .head: return
      case .partition(let place): visit(place.device, place.start + origin)
      case .linear(let segments):
        for segment in segments {
          visit(segment.place.device, segment.place.start + (segments.count == 1 ? origin : 0))
        }
      case .raid1(let places):
        for place in places { visit(place.device, place.start + origin) }
      case .striped(let places, _), .raid0(let places, _), .raid10(let places, _):
        for place in places { visit(place.device, place.start) }
      }
    }
    visit(top, 0)
    return found
  }
}

extension StackWorld.Device {
  fileprivate var leaves: [StackWorld.LeafQueue] {
    switch shape {
    case .drive(let drive): [StackWorld.LeafQueue(drive: drive, queue: queue.facts)]
    case .head(let paths):
      paths.map { StackWorld.LeafQueue(drive: $0.drive, queue: $0.queue.facts) }
    default: []
    }
  }
}
