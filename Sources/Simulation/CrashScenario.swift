/// What is looked at, and what may be made wrong on purpose there.
package enum CrashScenario: String, Sendable, CaseIterable {
  /// Single writes, within the limits of a drive.
  case writes
  /// Transactions by the journal.
  case journal

  /// The names of the mistakes.
  package var mutants: [String] {
    switch self {
    case .writes: CrashExplorer.Mutant.all.map(\.name)
    case .journal: JournalExplorer.Mutant.allCases.map(\.rawValue)
    }
  }

  /// Explores one seed.
  ///
  /// - Returns: What the seed has chosen, what was looked at, and the first thing that must not be.
  package func explore(
    seed: UInt64,
    mutant: String? = nil
  ) -> (scenario: String, tally: CrashExplorer.Tally, problem: String?) {
    switch self {
    case .writes:
      var explorer = CrashExplorer(
        seed: seed,
        mutant: CrashExplorer.Mutant.all.first { $0.name == mutant }
      )
      let (tally, problem) = explorer.explore()
      return (explorer.scenario, tally, problem)
    case .journal:
      var explorer = JournalExplorer(
        seed: seed,
        mutant: mutant.flatMap(JournalExplorer.Mutant.init)
      )
      let (tally, problem) = explorer.explore()
      return (explorer.scenario, tally, problem)
    }
  }
}
