import Testing

@testable import Simulation

/// Power failures of the library's own writes, and of mistakes made on purpose.
@Suite struct CrashExplorerTests {
  @Test(arguments: 1...12 as ClosedRange<UInt64>)
  func nothingIsLeftThatMustNotBe(seed: UInt64) {
    var explorer = CrashExplorer(seed: seed)
    let (tally, problem) = explorer.explore()
    #expect(problem == nil, "seed \(seed), \(explorer.scenario): \(problem ?? "")")
    #expect(tally.crashPoints > 0 && tally.images > tally.crashPoints)
  }

  @Test(arguments: CrashExplorer.Mutant.all)
  func everyMistakeIsNoticed(mutant: CrashExplorer.Mutant) {
    let isNoticed = (1...10 as ClosedRange<UInt64>).contains { (seed: UInt64) in
      var explorer = CrashExplorer(seed: seed, mutant: mutant)
      return explorer.explore().1 != nil
    }
    #expect(isNoticed, "\(mutant.name)")
  }

  /// A seed that is printed shows the same again.
  @Test func aSeedDecidesEverything() {
    for seed in 1...3 as ClosedRange<UInt64> {
      for mutant in [nil, .plainWrites] as [CrashExplorer.Mutant?] {
        var (one, other) = (
          CrashExplorer(seed: seed, mutant: mutant), CrashExplorer(seed: seed, mutant: mutant)
        )
        let (first, second) = (one.explore(), other.explore())
        #expect(first.1 == second.1)
        #expect(first.0.images == second.0.images)
        #expect(first.0.writes == second.0.writes)
      }
    }
  }
}
