import Testing

@testable import Simulation

/// Power failures of the journal's transactions, and of mistakes made on purpose.
@Suite struct JournalExplorerTests {
  @Test(arguments: 1...12 as ClosedRange<UInt64>)
  func everyTransactionIsWholeAndInOrder(seed: UInt64) {
    var explorer = JournalExplorer(seed: seed)
    let (tally, problem) = explorer.explore()
    #expect(problem == nil, "seed \(seed), \(explorer.scenario): \(problem ?? "")")
    #expect(tally.crashPoints > 0 && tally.images > tally.crashPoints)
  }

  @Test(arguments: JournalExplorer.Mutant.allCases)
  func everyMistakeIsNoticed(mutant: JournalExplorer.Mutant) {
    let isNoticed = (1...400 as ClosedRange<UInt64>).contains { (seed: UInt64) in
      var explorer = JournalExplorer(seed: seed, mutant: mutant)
      return explorer.explore().1 != nil
    }
    #expect(isNoticed, "\(mutant.rawValue)")
  }

  /// A seed that is printed shows the same again.
  @Test func aSeedDecidesEverything() {
    for seed in 1...3 as ClosedRange<UInt64> {
      for mutant in [nil, .tailEarly] as [JournalExplorer.Mutant?] {
        var (one, other) = (
          JournalExplorer(seed: seed, mutant: mutant), JournalExplorer(seed: seed, mutant: mutant)
        )
        let (first, second) = (one.explore(), other.explore())
        #expect(first.1 == second.1)
        #expect(first.0.images == second.0.images)
        #expect(first.0.writes == second.0.writes)
      }
    }
  }

  /// Every scenario's mistakes have names of their own, by which they are replayed.
  @Test func everyMistakeHasAName() {
    let names = CrashScenario.allCases.flatMap(\.mutants)
    #expect(Set(names).count == names.count && names.count > 20)
  }
}
