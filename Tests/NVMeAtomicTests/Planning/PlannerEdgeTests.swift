import Testing

@testable import NVMeAtomic

/// One limit at a time: the last length that is kept, and the first that is not.
private struct Edge: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let path: WritePath
  let last: UInt64
  let first: UInt64
  let set: @Sendable (inout World) -> Void

  init(
    _ name: String,
    _ path: WritePath,
    _ last: UInt64,
    not first: UInt64,
    set: @escaping @Sendable (inout World) -> Void
  ) {
    (testDescription, self.path, self.last, self.first) = (name, path, last, first)
    self.set = set
  }

  static let all: [Edge] = [
    Edge("unit_max", .kernel, 16_384, not: 32_768) { $0.target.statx?.atomicWriteUnitMax = 16_384 },
    Edge("unit_min", .kernel, 16_384, not: 8192) { $0.target.statx?.atomicWriteUnitMin = 16_384 },
    Edge("power of two", .kernel, 8192, not: 12_288) { _ in },
    Edge("power-fail unit, kernel", .kernel, 16_384, not: 32_768) { $0.drive.nawupf = 31 },
    Edge("power-fail unit, passthrough", .passthrough, 16_384, not: 16_896) {
      $0.drive.nawupf = 31
    },
    Edge("power-fail unit, plain", .plain, 16_384, not: 16_896) { $0.drive.nawupf = 31 },
    Edge("MDTS", .passthrough, 8192, not: 8704) { $0.drive.mdts = 1 },
    Edge("max_hw_sectors_kb", .passthrough, 8192, not: 8704) {
      $0.target.queue.maxHWSectorsKB = 8
    },
    Edge("a block, passthrough", .passthrough, 512, not: 511) { _ in },
    Edge("a block, plain", .plain, 512, not: 511) { _ in },
    Edge("size, kernel", .kernel, 8192, not: 16_384) { $0.target.sizeBytes = 12_288 },
    Edge("size, passthrough", .passthrough, 12_288, not: 12_800) { $0.target.sizeBytes = 12_288 },
    Edge("size, character device", .passthrough, 12_288, not: 12_800) {
      ($0.target.kind, $0.target.sizeBytes) = (.generic, 12_288)
    },
    Edge("size, plain", .plain, 12_288, not: 12_800) { $0.target.sizeBytes = 12_288 },
    Edge("max_sectors_kb", .plain, 8192, not: 8704) { $0.target.queue.maxSectorsKB = 8 },
    Edge("max_segments", .plain, 12_288, not: 12_800) { $0.target.queue.maxSegments = 4 },
    Edge("256 pages of a bio", .plain, 255 * 4096, not: 256 * 4096) {
      $0.target.queue.maxSegments = 1024
    },
    Edge("chunk_sectors", .plain, 8192, not: 8704) { $0.target.queue.chunkSectors = 16 },
    Edge("boundary, kernel", .kernel, 8192, not: 16_384) { $0.drive.nabspf = 15 },
    Edge("boundary, passthrough", .passthrough, 8192, not: 8704) { $0.drive.nabspf = 15 },
    Edge("boundary, plain", .plain, 8192, not: 8704) { $0.drive.nabspf = 15 },
    Edge("begin, passthrough", .passthrough, 7680, not: 8192) {
      ($0.drive.nabspf, $0.target.startBytes) = (15, 512)
    },
    Edge("NABO, passthrough", .passthrough, 1536, not: 2048) {
      ($0.drive.nabspf, $0.drive.nabo) = (15, 3)
    },
    Edge("NABO and begin", .passthrough, 8192, not: 8704) {
      ($0.drive.nabspf, $0.drive.nabo, $0.target.startBytes) = (15, 3, 1536)
    },
  ]
}

@Suite struct PlannerEdgeTests {
  /// Everything up to 1 MiB is kept on every path.
  private static let world: World = {
    let drive = Drive(definesFields: true, awun: .max, nawupf: 4095)
    var world = World(drive, kind: .partition)
    world.target.sizeBytes = 1 << 30
    world.target.queue.nomerges = 2
    world.target.queue.maxSectorsKB = 4096
    world.target.queue.maxHWSectorsKB = 4096
    world.target.queue.maxSegments = 256
    world.target.queue.atomicWriteUnitMinBytes = 512
    world.target.queue.atomicWriteUnitMaxBytes = 1 << 20
    world.target.queue.atomicWriteMaxBytes = 1 << 20
    world.deriveDeviceStatx()
    return world
  }()

  private static func holds(_ world: World, _ path: WritePath, _ offset: UInt64, _ length: UInt64)
    -> Bool
  {
    let range = WriteRequest.Range.one(offsetBytes: offset, lengthBytes: length)
    return world.verdict(path, WriteRequest(range, writer: path.writer)).promise != nil
  }

  @Test(arguments: Edge.all)
  private func theLastIsKeptAndTheFirstBeyondIsNot(edge: Edge) {
    var world = Self.world
    edge.set(&world)
    world.target.drive = .known(world.drive.limits)
    #expect(Self.holds(world, edge.path, 0, edge.last))
    #expect(!Self.holds(world, edge.path, 0, edge.first))
    #expect(!Self.holds(world, edge.path, 0, 0))
  }

  @Test(arguments: WritePath.planned)
  func withoutThatLimitBothAreKept(path: WritePath) {
    for edge in Edge.all where edge.path == path && edge.first.isMultiple(of: 512) {
      let isRule = edge.testDescription == "power of two" || edge.first > 255 * 4096
      #expect(Self.holds(Self.world, path, 0, edge.first) != isRule, "\(edge.testDescription)")
    }
  }

  @Test func offsetsAreNaturallyAlignedInTheKernelAndInBlocksElsewhere() {
    #expect(Self.holds(Self.world, .kernel, 8192, 8192))
    #expect(!Self.holds(Self.world, .kernel, 4096, 8192))
    for path in [WritePath.passthrough, .plain] {
      #expect(Self.holds(Self.world, path, 512, 8192))
      #expect(!Self.holds(Self.world, path, 256, 8192))
    }
  }
}
