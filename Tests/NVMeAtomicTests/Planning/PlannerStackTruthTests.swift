import Testing

@testable import NVMeAtomic

/// What discovery and planner make of a stack, against brute force.
@Suite struct PlannerStackTruthTests {
  @Test(arguments: Seed.some(4))
  func stackVerdictsAreTrue(seed: Seed) {
    var generator = StackGenerator(seed)
    var tally = StackTally(seed)
    for _ in 0..<100 {
      let world = generator.world()
      let limits = world.probed()
      for _ in 0..<8 { tally.check(generator.request(), limits, in: world) }
      tally.checkLimits(limits, in: world)
    }
    tally.expectSense(oneIn: 40)
  }

  /// Two drives one behind the other: every seam and every begin.
  @Test func everySeamIsSeen() {
    var tally = StackTally()
    for seam in [1, 8, 24, 32, 63, 96] as [UInt64] {
      for start in [0, 1, 2, 8, 16, 2048] as [UInt64] {
        var world = StackWorld()
        let drives = (0...1).map { _ in world.addDrive(.sixteenKiB) }
        _ = world.addLayer(
          .linear([
            (place: .init(device: drives[0], start: start * 512), length: seam * 512),
            (place: .init(device: drives[1], start: 0), length: 128 * 512),
          ]),
          size: (seam + 128) * 512
        )
        tally.checkAllSizes(world)
      }
    }
    tally.expectSense(oneIn: 8)
  }

  /// A drive was formatted to larger blocks below a layer that still lies on the old ones.
  @Test(arguments: [false, true])
  func blocksThatGrewBelowALayerAreSeen(isMirror: Bool) {
    var tally = StackTally()
    for start in [0, 1, 4, 8, 12, 2048] as [UInt64] {
      var world = StackWorld()
      let index = world.addDrive(Drive(lbads: 12, definesFields: true, nawun: 3, nawupf: 3))
      let place = StackWorld.Place(device: index, start: start * 512)
      world.add(
        isMirror ? .raid1([place]) : .linear([(place: place, length: 256 * 512)]),
        size: 256 * 512,
        StackQueue(.sixteenKiB, transfer: 1 << 20)
      )
      tally.checkAllSizes(world)
    }
    tally.expectSense(oneIn: 8)
  }

  enum Level: CaseIterable { case striped, raid0, raid1, raid10 }

  /// Every chunk and begin, bare and below a partition.
  @Test(arguments: Level.allCases)
  func everyChunkIsSeen(level: Level) {
    var tally = StackTally()
    for chunk in [1, 3, 8, 12, 24, 32, 64] as [UInt64] {
      for start in [0, 1, 8, 2048] as [UInt64] {
        for partition in [nil, 1, 8, 2048] as [UInt64?] {
          if level == .raid1, chunk != 1 { continue }
          if level == .raid10, chunk.nonzeroBitCount != 1 || chunk < 8 { continue }
          var world = StackWorld()
          let places = (0...1).map { _ in
            StackWorld.Place(device: world.addDrive(.sixteenKiB), start: start * 512)
          }
          let shape: StackWorld.Shape =
            switch level {
            case .striped: .striped(places, chunk: chunk * 512)
            case .raid0: .raid0(places, chunk: chunk * 512)
            case .raid1: .raid1(places)
            case .raid10: .raid10(places, chunk: chunk * 512)
            }
          let index = world.addLayer(shape, size: chunk * 512 * 4096)
          if level == .raid1 { world.devices[index].size = 1 << 30 }
          if let partition {
            let size = world.devices[index].size / 2
            _ = world.addLayer(.partition(.init(device: index, start: partition * 512)), size: size)
          }
          tally.checkAllSizes(world)
        }
      }
    }
    tally.expectSense(oneIn: 16)
  }

  /// A caution that explains nothing any more is to be removed.
  @Test func everyCautionIsMet() {
    var generator = StackGenerator(Seed(value: 3))
    var idle = StackCaution.allCases
    for _ in 0..<2000 where !idle.isEmpty {
      let world = generator.world()
      let limits = world.probed()
      for _ in 0..<8 {
        let request = generator.request()
        let truth = StackTruth(world: world, request: request, target: limits)
        guard StackTally.verdict(request, limits).promise == nil, truth.fate == .kept else {
          continue
        }
        idle.removeAll { $0.applies(truth) }
      }
    }
    #expect(idle == [])
  }
}

extension Drive {
  /// 16 KiB over power loss, declared for the namespace.
  fileprivate static let sixteenKiB = Drive(definesFields: true, awun: 0, nawun: 31, nawupf: 31)
}

/// Compares what is said of stacks with the truth.
struct StackTally {
  let seed: Seed?
  var asked = 0
  var held = 0
  var failures = 0

  init(_ seed: Seed? = nil) {
    self.seed = seed
  }

  static func verdict(_ request: WriteRequest, _ limits: TargetLimits) -> PathVerdict {
    let plan = Planner(limits).plan(request)
    return request.writer == .direct ? plan.plain : plan.kernel
  }

  mutating func check(_ request: WriteRequest, _ limits: TargetLimits, in world: StackWorld) {
    asked += 1
    let verdict = Self.verdict(request, limits)
    let truth = StackTruth(world: world, request: request, target: limits)
    switch (verdict.promise, truth.fate) {
    case (let promise?, .kept):
      held += 1
      let isCached = world.leaves.contains { $0.drive.cache != false }
      let isAssumed =
        isCached && !request.promises.contains(.durable) && promise.backing != .software
      if promise.assumptions != (isAssumed ? [.volatileCacheKeepsWritesWhole] : []) {
        fail("WRONG ASSUMPTIONS: \(verdict)", request, world)
      }
    case (_?, let fate): fail("UNSOUND: \(verdict), but \(fate)", request, world)
    case (nil, .kept):
      if !StackCaution.allCases.contains(where: { $0.applies(truth) }) {
        fail("TOO CAREFUL: \(verdict)", request, world)
      }
    case (nil, _): break
    }
  }

  /// What the probe says without being asked.
  mutating func checkLimits(_ limits: TargetLimits, in world: StackWorld) {
    let kernel = KernelPathLimits(limits)
    guard kernel.available == true else { return }
    for size in Set([kernel.minimumBytes, kernel.maximumBytes, limits.tornFreeBytes]) {
      guard let size, size > 0, size <= world.devices[world.top].size else { continue }
      asked += 1
      let request = WriteRequest(.everyPage(sizeBytes: size), writer: .rwfAtomic)
      let truth = StackTruth(world: world, request: request, target: limits)
      if truth.fate != .kept { fail("UNSOUND LIMIT: \(kernel), but \(truth.fate)", request, world) }
    }
  }

  mutating func checkAllSizes(_ world: StackWorld) {
    let limits = world.probed()
    for shift in 9...15 as ClosedRange<UInt64> {
      let page = WriteRequest.Range.everyPage(sizeBytes: 1 << shift)
      check(WriteRequest(page, writer: .rwfAtomic), limits, in: world)
    }
    checkLimits(limits, in: world)
  }

  private mutating func fail(_ what: String, _ request: WriteRequest, _ world: StackWorld) {
    failures += 1
    guard failures <= 3 else { return }
    Issue.record("\(what): \(request.text), \(world). \(seed?.replay ?? "")")
  }

  func expectSense(oneIn odds: Int) {
    #expect(failures == 0, "of \(asked); \(seed?.replay ?? "")")
    #expect(held * odds > asked, "too few are kept: \(held) of \(asked); \(seed?.replay ?? "")")
  }
}
