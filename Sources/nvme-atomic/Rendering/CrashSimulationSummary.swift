import ArgumentParser
import NVMeAtomic
import Simulation

/// What `verify crash --simulate` has shown.
struct CrashSimulationSummary {
  let seed: UInt64
  let outcomes: [CrashSimulation.Outcome]

  /// Whoever tears no plain page is blind, and shows nothing by the others.
  private var plainIsTorn: Bool {
    outcomes.contains { $0.path == .plain && $0.torn > 0 && $0.problem == nil }
  }

  private var othersAreWhole: Bool { outcomes.allSatisfy { $0.path == .plain || $0.isWhole } }

  var verdict: String {
    if !othersAreWhole { return "damaged" }
    return plainIsTorn ? "whole" : "inconclusive"
  }

  var exitCode: ExitCode {
    if !othersAreWhole { return ExitStatus.no }
    return plainIsTorn ? ExitStatus.yes : ExitStatus.notDone
  }

  // MARK: JSON

  var document: JSONValue {
    .object([
      "format": .string(VerifyCrashCommand.format),
      "mode": .string("simulate"),
      "seed": .number(seed),
      "self_check": .bool(true),
      "drive": .object([
        "block_size": .number(UInt64(CrashSimulation.blockBytes)),
        "power_fail_bytes": .number(UInt64(CrashSimulation.pageBytes)),
        "volatile_write_cache": .bool(true),
      ]),
      "page_size": .number(UInt64(CrashSimulation.pageBytes)),
      "verdict": .string(verdict),
      "paths": .array(outcomes.map(Self.document)),
      "not_simulated": .array([.string(WritePath.exchange.rawValue)]),
    ])
  }

  private static func document(_ outcome: CrashSimulation.Outcome) -> JSONValue {
    .object([
      "path": .string(outcome.path.rawValue),
      "operations": .number(UInt64(outcome.operations)),
      "crash_points": .number(UInt64(outcome.crashPoints)),
      "images": .number(UInt64(outcome.images)),
      "torn": .number(UInt64(outcome.torn)),
      "lost": .number(UInt64(outcome.lost)),
      "damaged": .number(UInt64(outcome.damaged)),
      "example": .optional(outcome.example),
      "problem": .optional(outcome.problem),
    ])
  }

  // MARK: Text

  private static let columns = [
    "path", "operations", "power cuts", "images", "torn", "lost", "damaged",
  ]

  var text: String {
    let page = ByteText(UInt64(CrashSimulation.pageBytes))
    let rows = [Self.columns] + outcomes.map(Self.row)
    let widths = Self.columns.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines = [
      "simulated drive, seed \(seed): blocks of \(ByteText(UInt64(CrashSimulation.blockBytes))), "
        + "\(page) kept whole over a power failure, a volatile write cache",
      "pages of \(page), durable each; by the journal, transactions of three pages", "",
    ]
    lines += rows.map { row in
      let cells = row.indices.map { column in
        let blanks = String(repeating: " ", count: widths[column] - row[column].count)
        return column == 0 ? row[column] + blanks : blanks + row[column]
      }
      return "  " + cells.joined(separator: "  ")
    }
    lines.append("")
    for outcome in outcomes {
      if let example = outcome.example { lines.append("\(outcome.path.rawValue): \(example)") }
      if let problem = outcome.problem { lines.append("\(outcome.path.rawValue): \(problem)") }
    }
    lines.append("exchange is not simulated: the log of XFS keeps it")
    lines += ["", conclusion]
    return lines.map(\.printable).joined(separator: "\n")
  }

  private static func row(_ outcome: CrashSimulation.Outcome) -> [String] {
    [outcome.path.rawValue]
      + [
        outcome.operations, outcome.crashPoints, outcome.images, outcome.torn, outcome.lost,
        outcome.damaged,
      ].map(String.init)
  }

  private var conclusion: String {
    switch verdict {
    case "damaged": "damaged: a path did not keep what it promises: report a bug, with the seed"
    case "whole":
      "whole: power cuts tore plain pages, and nothing that was written by the other paths"
    default: "inconclusive: no plain page was torn, so that the others show nothing"
    }
  }
}
