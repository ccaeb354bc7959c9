import Testing

@testable import NVMeAtomic

/// What is remembered of a length lets nothing pass that the planner would refuse, and keeps out
/// nothing that it would let pass.
@Suite struct WriteAdmissionTests {
  /// Every small write, in an order in which each is met after others of its length.
  private static func check(_ world: World, _ path: WritePath, _ text: Comment) {
    let block = world.drive.block
    let size = world.target.sizeBytes ?? 0
    // What is refused is forgotten, so that most must follow what was admitted.
    let aligned = Array(stride(from: 0, through: size + block, by: Int(block)))
    let offsets = aligned + aligned.reversed() + aligned.map { $0 + block / 2 }
    for durability in [Durability.none, .onReturn] {
      var admission = WriteAdmission(
        world.target,
        path: path,
        durability: durability,
        isStrict: false,
        allowsShared: false
      )
      var promises: Promises = .powerFailAtomic
      if durability == .onReturn { promises.insert(.durable) }
      for length in stride(from: block / 2, through: 12 * block, by: Int(block / 2)) {
        for offset in offsets {
          let request = WriteRequest(
            .one(offsetBytes: offset, lengthBytes: length),
            promises: promises,
            writer: .rwfAtomic
          )
          let verdict = world.verdict(path, request)
          let isAdmitted = (try? admission.admit(offset: offset, length: length)) != nil
          guard isAdmitted == (verdict.promise != nil) else {
            Issue.record("\(offset) + \(length) by \(path): \(isAdmitted), \(verdict). \(text)")
            return
          }
          if isAdmitted { #expect(admission.promise == verdict.promise, text) }
        }
      }
    }
  }

  private static func world(_ drive: Drive, startBlocks: UInt64, blocks: UInt64) -> World {
    var world = World(drive)
    world.target.startBytes = startBlocks * drive.block
    world.target.kind = startBlocks == 0 ? .namespace : .partition
    world.target.sizeBytes = blocks * drive.block
    world.deriveQueue(.namespaceOnly)
    world.deriveDeviceStatx()
    return world
  }

  /// Unoptimised this takes ten times as long; the optimised tests run all of it.
  #if DEBUG
  private static let starts: [UInt64] = [3]
  #else
  private static let starts: [UInt64] = [0, 1, 3, 8]
  #endif

  @Test(arguments: starts)
  func itIsThePlanner(startBlocks: UInt64) {
    for nawupf in [0, 2, 3, 7, 9] as [UInt16] {
      for (nabspf, nabo) in [(0, 0), (9, 0), (15, 0), (11, 5), (15, 4)] as [(UInt16, UInt16)] {
        if nabspf != 0, nabspf < nawupf { continue }
        let drive = Drive(
          definesFields: true,
          nawun: nawupf,
          nawupf: nawupf,
          nabsn: nabspf,
          nabo: nabo,
          nabspf: nabspf
        )
        let world = Self.world(drive, startBlocks: startBlocks, blocks: 28)
        let text: Comment = "NAWUPF \(nawupf), NABSPF \(nabspf), NABO \(nabo), from \(startBlocks)"
        Self.check(world, .passthrough, text)
        Self.check(world, .kernel, text)
      }
    }
  }

  /// Until the flush that it shares a write is in the cache, as one that is not durable.
  @Test func aSharedFlushRestsOnTheCache() throws {
    for path in [WritePath.kernel, .passthrough] {
      for cache in [false, true] {
        for sharesFlushes in [false, true] {
          var drive = Drive(definesFields: true, nawun: 7, nawupf: 7)
          drive.cache = cache
          let world = Self.world(drive, startBlocks: 0, blocks: 64)
          var admission = WriteAdmission(
            world.target,
            path: path,
            durability: .onReturn,
            isStrict: false,
            allowsShared: false,
            sharesFlushes: sharesFlushes
          )
          try admission.admit(offset: 0, length: world.drive.block * 4)
          let assumptions = try #require(admission.promise).assumptions
          #expect(
            assumptions == (cache && sharesFlushes ? [.volatileCacheKeepsWritesWhole] : []),
            "\(path)"
          )
        }
      }
    }
  }
}
