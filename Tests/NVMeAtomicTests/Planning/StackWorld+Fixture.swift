import LinuxIO
import TestSupport

@testable import NVMeAtomic

extension StackWorld {
  /// The same as sysfs, device-mapper and the drives show it, and what a probe makes of that.
  func probed() -> TargetLimits {
    let target = fixture
    return TargetProbe.report(on: target.path, FixtureMachine(target.world)).limits
  }

  private var fixture: FixtureTarget {
    var world = FixtureWorld()
    var disks: [FixtureDisk] = []
    for (index, device) in devices.enumerated() {
      disks.append(Self.add(device, index, disks, to: &world))
    }
    switch file {
    case nil: return FixtureTarget("", disks[top].node, world)
    case .ext4(let cluster)?: world.addFiles(on: .ext4(on: disks[top], cluster: cluster))
    case .xfs(let reflink, let software)?:
      world.addFiles(on: .xfs(on: disks[top], reflink: reflink, softwareMaximum: software))
    }
    return FixtureTarget("", FixtureWorld.file, world)
  }

  private static func add(
    _ device: Device,
    _ index: Int,
    _ disks: [FixtureDisk],
    to world: inout FixtureWorld
  ) -> FixtureDisk {
    let queue = FixtureQueue(device.queue.facts)
    let minor = UInt32(8 * index)
    func sectors(_ place: Place) -> UInt64 { place.start / 512 }
    switch device.shape {
    case .drive(let drive):
      return world.addNamespace(FixtureDrive(drive), queue: queue, instance: 4 + index)
    case .head(let paths):
      let head = world.addMultipathNamespace(
        FixtureDrive(paths[0].drive),
        paths: paths.count,
        queue: queue
      )
      for (number, path) in paths.enumerated() {
        let node = "/dev/nvme\(number)"
        world.nodes[node]?.drive = FixtureDrive(path.drive)
        world.addQueue(
          FixtureQueue(path.queue.facts),
          below: FixtureWorld.controllerPath(number, "nvme0c\(number)n1")
        )
      }
      return head
    case .partition(let place):
      return world.addPartition(
        of: disks[place.device],
        startSector: sectors(place),
        sectors: device.size / 512
      )
    case .linear(let segments):
      return world.addMapper(
        over: [],
        segments.map {
          .linear(disks[$0.place.device], startSector: sectors($0.place), sectors: $0.length / 512)
        },
        queue: queue,
        minor: minor
      )
    case .striped(let places, let chunk):
      let members = places.map { "\(disks[$0.device].number) \(sectors($0))" }
      let text = "\(places.count) \(chunk / 512) " + members.joined(separator: " ")
      return world.addMapper(
        over: places.map { disks[$0.device] },
        [.other("striped", text, sectors: device.size / 512)],
        queue: queue,
        minor: minor
      )
    case .raid0(let places, _), .raid1(let places), .raid10(let places, _):
      var (level, bytes): (String, UInt64) = ("raid1", 0)
      if case .raid0(_, let chunk) = device.shape { (level, bytes) = ("raid0", chunk) }
      if case .raid10(_, let chunk) = device.shape { (level, bytes) = ("raid10", chunk) }
      return world.addRAID(
        over: places.map { disks[$0.device] },
        level: level,
        chunkBytes: bytes,
        dataOffsetSectors: sectors(places[0]),
        queue: queue,
        minor: minor
      )
    }
  }
}

extension FixtureQueue {
  fileprivate init(_ facts: QueueLimits) {
    self.init {
      $0.atomicUnitMin = facts.atomicWriteUnitMinBytes
      $0.atomicUnitMax = facts.atomicWriteUnitMaxBytes
      $0.atomicMax = facts.atomicWriteMaxBytes
      $0.atomicBoundary = facts.atomicWriteBoundaryBytes
      $0.logicalBlockSize = facts.logicalBlockSize
      $0.physicalBlockSize = facts.physicalBlockSize
      $0.maxSectorsKB = facts.maxSectorsKB
      $0.maxHWSectorsKB = facts.maxHWSectorsKB
      $0.maxSegments = facts.maxSegments
      $0.chunkSectors = facts.chunkSectors
      $0.nomerges = facts.nomerges
      $0.writeCache = facts.writeBack.map { $0 ? "write back" : "write through" }
    }
  }
}

extension FixtureDrive {
  fileprivate init(_ drive: Drive) {
    self.init {
      $0.lbaBytes = drive.block
      $0.blockCount = (1 << 30) / drive.block
      $0.metadataBytes = drive.metadata
      $0.nsfeat = drive.definesFields ? 2 : 0
      ($0.awun, $0.awupf, $0.nawun, $0.nawupf) =
        (drive.awun, drive.awupf, drive.nawun, drive.nawupf)
      ($0.nabsn, $0.nabo, $0.nabspf, $0.mdts) = (drive.nabsn, drive.nabo, drive.nabspf, drive.mdts)
      $0.vwc = drive.cache == false ? 0 : 1
      $0.writeAtomicityNormal = drive.disabled == true ? 1 : 0
    }
  }
}
