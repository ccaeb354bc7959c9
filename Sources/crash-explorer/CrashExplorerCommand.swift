import Glibc
import Simulation
import Synchronization

/// Cuts the power of simulated drives, and ends with 1 where something is left that must not be, or
/// where a mistake made on purpose is not noticed.
///
///     crash-explorer [--of SCENARIO] [--points N] [--seed FIRST]    until N crash points of each
///     crash-explorer --of SCENARIO --replay SEED [--mutant NAME]    one seed again
///
/// Scenarios are `writes` and `journal`. The default is 1,000,000 crash points of each from seed 1,
/// and then every mutant.
@main
struct CrashExplorerCommand {
  /// Seeds within which a mutant has to be noticed.
  private static let mostSeedsOfAMutant: UInt64 = 2000

  private static let usage = """
    usage: crash-explorer [--of writes|journal] [--points N] [--seed FIRST]
           crash-explorer --of writes|journal --replay SEED [--mutant NAME]
    """

  private var scenarios = CrashScenario.allCases
  private var points = 1_000_000
  private var seed: UInt64 = 1
  private var replayed: UInt64?
  private var mutant: String?

  static func main() async {
    guard let command = Self(CommandLine.arguments.dropFirst()) else {
      print(usage)
      exit(64)
    }
    exit(await command.run() ? 0 : 1)
  }

  private init?(_ arguments: ArraySlice<String>) {
    var rest = arguments
    while let option = rest.popFirst() {
      guard let value = rest.popFirst() else { return nil }
      switch option {
      case "--of":
        guard let named = CrashScenario(rawValue: value) else { return nil }
        scenarios = [named]
      case "--points":
        guard let number = Int(value), number > 0 else { return nil }
        points = number
      case "--seed":
        guard let number = UInt64(value) else { return nil }
        seed = number
      case "--replay":
        guard let number = UInt64(value) else { return nil }
        replayed = number
      case "--mutant": mutant = value
      default: return nil
      }
    }
    if let mutant, !scenarios.contains(where: { $0.mutants.contains(mutant) }) { return nil }
    if replayed != nil, scenarios.count > 1 { return nil }
  }

  private func run() async -> Bool {
    if let replayed { return replay(replayed) }
    var isWell = true
    for scenario in scenarios {
      if await !explore(scenario) { isWell = false }
      if !noticeMutants(scenario) { isWell = false }
    }
    return isWell
  }

  private func replay(_ seed: UInt64) -> Bool {
    let (scenario, tally, problem) = scenarios[0].explore(seed: seed, mutant: mutant)
    print("seed \(seed): \(scenario)")
    print("\(tally.crashPoints) crash points, \(tally.images) images; \(problem ?? "all well")")
    return problem == nil
  }

  /// By as many threads as a small machine has cores.
  private func explore(_ scenario: CrashScenario) async -> Bool {
    let clock = ContinuousClock()
    let begin = clock.now
    let progress = Progress(points: points, firstSeed: seed)
    await withTaskGroup { group in
      for _ in 0..<2 {
        group.addTask {
          while let seed = progress.nextSeed() {
            let (_, tally, problem) = scenario.explore(seed: seed)
            progress.add(tally, problem.map { "seed \(seed): \($0)" })
          }
        }
      }
    }
    let (tally, next, problem) = progress.state
    let seconds = Double((clock.now - begin) / .milliseconds(1)) / 1000
    print(
      "\(scenario.rawValue): \(tally.crashPoints) crash points, \(tally.images) images, "
        + "\(tally.writes) writes, \(tally.refused) refused, seeds \(seed) to \(next - 1): "
        + "\(Int(Double(tally.crashPoints) / max(seconds, 0.001))) crash points a second"
    )
    if let problem { print("FAIL \(problem)") }
    return problem == nil
  }

  private func noticeMutants(_ scenario: CrashScenario) -> Bool {
    var isWell = true
    for mutant in scenario.mutants {
      var tally = CrashExplorer.Tally()
      var noticed: (seed: UInt64, problem: String)?
      for seed in 1...Self.mostSeedsOfAMutant where noticed == nil {
        let (_, more, problem) = scenario.explore(seed: seed, mutant: mutant)
        tally.add(more)
        if let problem { noticed = (seed, problem) }
      }
      if let noticed {
        print(
          "\(mutant): noticed after \(tally.crashPoints) crash points, seed \(noticed.seed): "
            + noticed.problem
        )
      } else {
        print("FAIL \(mutant): not noticed in \(tally.crashPoints) crash points")
        isWell = false
      }
    }
    return isWell
  }
}

/// What several threads have looked at.
private final class Progress: Sendable {
  private let points: Int
  private let mutex: Mutex<(tally: CrashExplorer.Tally, next: UInt64, problem: String?)>

  init(points: Int, firstSeed: UInt64) {
    self.points = points
    mutex = Mutex((CrashExplorer.Tally(), firstSeed, nil))
  }

  var state: (tally: CrashExplorer.Tally, next: UInt64, problem: String?) {
    mutex.withLock { $0 }
  }

  /// `nil` once enough was looked at, or something was found.
  func nextSeed() -> UInt64? {
    mutex.withLock { state in
      guard state.tally.crashPoints < points, state.problem == nil else { return nil }
      defer { state.next += 1 }
      return state.next
    }
  }

  func add(_ tally: CrashExplorer.Tally, _ problem: String?) {
    mutex.withLock { state in
      state.tally.add(tally)
      state.problem = state.problem ?? problem
    }
  }
}
