import NVMeAtomic
import Testing

@testable import Simulation

/// What `verify crash --simulate` shows, and that it would show each broken word.
@Suite struct CrashSimulationTests {
  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func plainPagesAreTornAndNothingElseIs(seed: UInt64) {
    let simulation = CrashSimulation(seed: seed)
    for path in CrashSimulation.paths {
      let outcome = simulation.run(path)
      #expect(outcome.problem == nil, "seed \(seed) \(path) \(outcome.problem ?? "")")
      #expect(outcome.operations == 48)
      #expect(outcome.crashPoints >= 96 && outcome.images > outcome.crashPoints)
      #expect(outcome.lost == 0 && outcome.damaged == 0, "\(path) \(outcome.example ?? "")")
      #expect((outcome.torn > 0) == (path == .plain), "\(path) \(outcome.example ?? "")")
      #expect((outcome.example == nil) == (path != .plain))
    }
  }

  @Test func aSeedDecidesEverything() {
    for path in [WritePath.plain, .kernel] {
      let (one, other) = (CrashSimulation(seed: 9).run(path), CrashSimulation(seed: 9).run(path))
      #expect(one.images == other.images && one.torn == other.torn)
      #expect(one.example == other.example)
    }
  }

  /// Each way a drive breaks its word, and what it must be called.
  @Test(
    arguments: [
      (.tearsUnits, "torn"), (.ignoresFUA, "lost"), (.misdirects, "torn"),
      (.corrupts, "damaged"),
    ] as [(SimulatedDrive.Lie, String)]
  )
  func aDriveThatBreaksItsWordIsNoticed(lie: SimulatedDrive.Lie, kind: String) {
    for path in [WritePath.kernel, .passthrough] {
      let outcome = CrashSimulation(seed: 5, lie: lie).run(path)
      let count =
        switch kind {
        case "torn": outcome.torn
        case "lost": outcome.lost
        default: outcome.damaged
        }
      #expect(count > 0 && !outcome.isWhole, "\(path) \(lie.rawValue) \(outcome)")
    }
  }

  @Test func theJournalOnADriveThatIgnoresFlushesIsNoticed() {
    #expect(!CrashSimulation(seed: 5, lie: .ignoresFlushes).run(.journal).isWhole)
  }

  @Test func mistakesOnTheWayAreNoticed() {
    let split = CrashSimulation(seed: 5, storage: .splits).run(.kernel)
    #expect(split.torn > 0, "\(split)")
    let cached = CrashSimulation(seed: 5, storage: .dropsFUA).run(.passthrough)
    #expect(cached.lost > 0, "\(cached)")
  }

  /// A journal without the flush of its records, and one whose log begins anew too early.
  @Test func aJournalThatLeavesAFlushOutIsNoticed() {
    for mutant in [JournalExplorer.Mutant.flushOmitted, .tailEarly] {
      let outcome = CrashSimulation(seed: 5, rules: mutant.rules).run(.journal)
      #expect(outcome.lost + outcome.torn > 0, "\(mutant.rawValue) \(outcome)")
    }
  }
}
