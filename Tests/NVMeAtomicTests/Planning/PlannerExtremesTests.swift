import Testing

@testable import NVMeAtomic

/// Figures that no machine reports are answered, not trapped on.
@Suite struct PlannerExtremesTests {
  private static let figures: [UInt64] = [
    0, 1, 511, 512, 513, 4095, 4096, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, .max - 1,
    .max,
  ]

  private static func world(_ random: inout SplitMix64) -> World {
    func figure() -> UInt64? { random.once(in: 8) ? nil : random.pick(figures) }
    func short() -> UInt32? { figure().map(UInt32.init(truncatingIfNeeded:)) }
    var drive = Drive(lbads: random.pick([9, 12, 31]), definesFields: random.once(in: 2))
    func field() -> UInt16 { random.pick([0, 1, 7, .max - 1, .max]) }
    (drive.awun, drive.awupf, drive.nawun, drive.nawupf) = (field(), field(), field(), field())
    (drive.nabsn, drive.nabo, drive.nabspf) = (field(), field(), field())
    drive.mdts = random.pick([0, 1, 50, 51, 52, .max])
    drive.cache = random.pick([nil, false, true])
    let kinds: [TargetKind] = [.namespace, .generic, .partition, .block, .file, .directory]
    var world = World(drive, kind: random.pick(kinds))
    (world.target.startBytes, world.target.sizeBytes) = (figure(), figure())
    world.target.queue.atomicWriteUnitMinBytes = figure()
    world.target.queue.atomicWriteUnitMaxBytes = figure()
    world.target.queue.atomicWriteMaxBytes = figure()
    world.target.queue.atomicWriteBoundaryBytes = figure()
    world.target.queue.physicalBlockSize = figure()
    world.target.queue.maxSectorsKB = figure()
    world.target.queue.maxHWSectorsKB = figure()
    world.target.queue.maxSegments = figure()
    world.target.queue.chunkSectors = figure()
    world.target.queue.nomerges = random.pick([nil, 0, 2, .max])
    var statx = StatxLimits()
    (statx.atomicWriteUnitMin, statx.atomicWriteUnitMax) = (short(), short())
    (statx.atomicWriteUnitMaxOpt, statx.dioOffsetAlign) = (short(), short())
    world.target.statx = statx
    var filesystem = FileSystemReport(type: random.pick(["ext4", "xfs", "btrfs"]))
    (filesystem.blockSize, filesystem.realtime) = (figure(), false)
    filesystem.reflink = random.pick([nil, false, true])
    filesystem.externalLog = random.pick([nil, false, true])
    filesystem.extents = random.pick([nil, false, true])
    filesystem.journal = random.pick([nil, false, true])
    filesystem.externalJournal = random.pick([nil, false, true])
    filesystem.barriers = random.pick([nil, false, true])
    if world.target.kind.isFile { world.target.filesystem = filesystem }
    return world
  }

  @Test func everyFigureIsAnswered() async {
    await #expect(processExitsWith: .success) {
      var random = SplitMix64(1)
      for _ in 0..<4000 {
        let world = Self.world(&random)
        _ = KernelPathLimits(world.target)
        _ = PassthroughPathLimits(world.target)
        _ = world.target.tornFreeBytes
        for writer in Writer.allCases {
          let (offset, length) = (random.pick(Self.figures), random.pick(Self.figures))
          for range in [
            .one(offsetBytes: offset, lengthBytes: length), .everyPage(sizeBytes: length),
          ] as [WriteRequest.Range] {
            let promises = Promises(rawValue: UInt8(random.below(8)))
            let request = WriteRequest(range, promises: promises, writer: writer)
            let plan = Planner(world.target).plan(request)
            for verdict in [plan.kernel, plan.passthrough, plan.plain] {
              switch verdict {
              case .holds(let promise): _ = promise.assumptions.map(\.description)
              case .fails(let refusal): _ = refusal.description
              case .unknown(let fact): _ = fact.description
              }
            }
          }
        }
      }
    }
  }

  @Test(
    arguments: [
      (0, 0), (0, UInt64.max), (.max, 1), (.max, .max), (1 << 63, 4096), ((1 << 63) - 4096, 8192),
    ] as [(UInt64, UInt64)]
  )
  func whatOffsetsCannotSayIsRefusedEverywhere(offset: UInt64, length: UInt64) {
    for kind in [TargetKind.namespace, .generic, .file] {
      var world = World(Drive(definesFields: true, nawupf: .max), kind: kind)
      world.target.sizeBytes = kind == .file ? nil : .max
      world.deriveQueue(.namespaceOnly)
      world.deriveDeviceStatx()
      if kind == .file { world.deriveXFS(block: 4096, reflink: false, software: 0) }
      for path in WritePath.planned {
        let range = WriteRequest.Range.one(offsetBytes: offset, lengthBytes: length)
        #expect(world.verdict(path, WriteRequest(range, writer: path.writer)).promise == nil)
      }
    }
  }

  @Test func anEmptyPageIsNoPage() {
    for kind in [TargetKind.namespace, .generic, .file] {
      let world = World(Drive(awupf: 7), kind: kind)
      for path in WritePath.planned {
        let request = WriteRequest(.everyPage(sizeBytes: 0), writer: path.writer)
        #expect(world.verdict(path, request).promise == nil)
      }
    }
  }
}
