import Testing

@testable import NVMeAtomic

/// The planner against brute force in random small worlds.
@Suite struct PlannerTruthTests {
  @Test(arguments: Seed.some(4))
  func deviceVerdictsAreTrue(seed: Seed) {
    var generator = WorldGenerator(seed)
    var tally = Tally(seed)
    for _ in 0..<400 {
      let world = generator.device()
      for _ in 0..<2 { tally.check(generator.questions(in: world), in: world) }
    }
    tally.expectSense()
  }

  @Test(arguments: Seed.some(4))
  func fileVerdictsAreTrue(seed: Seed) {
    var generator = WorldGenerator(seed)
    var tally = Tally(seed)
    for _ in 0..<400 {
      let world = generator.file()
      for _ in 0..<2 { tally.check(generator.questions(in: world), in: world) }
    }
    tally.expectSense()
  }

  /// A caution that explains nothing any more is to be removed.
  @Test func everyCautionIsMet() {
    var generator = WorldGenerator(Seed(value: 1))
    var idle = Caution.allCases
    for index in 0..<1200 where !idle.isEmpty {
      let world = index % 2 == 0 ? generator.device() : generator.file()
      for (path, request) in generator.questions(in: world)
      where world.verdict(path, request).promise == nil
        && Truth.fate(of: request, through: path, in: world) == .kept
      {
        idle.removeAll { $0.applies(to: request, through: path, in: world) }
      }
    }
    #expect(idle == [])
  }
}
