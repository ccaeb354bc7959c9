import ArgumentParser
import NVMeAtomic

/// A probe as the command line asks for it, parsed.
struct ProbeRun: Equatable {
  var targets: [String]
  var question: Question?
  var isJSON = false

  /// Probes every target and prints what was learnt.
  func execute() -> ExitCode {
    let probe = Probe()
    let reports = targets.map { probe.report(on: $0, answering: question) }
    if isJSON {
      Terminal.print(
        ProbeJSON(kernelRelease: probe.kernelRelease, targets: reports).document.rendered
      )
    } else {
      let texts = reports.filter { $0.error == nil }
        .map { ProbeText(report: $0).lines.joined(separator: "\n") }
      if !texts.isEmpty { Terminal.print(texts.joined(separator: "\n\n")) }
    }
    for report in reports {
      if let error = report.error {
        Terminal.printError("nvme-atomic: \(report.path): \(error.message); \(error.remedy)")
      }
    }
    return Self.exitCode(reports)
  }

  /// 2 beats 1 beats 0.
  static func exitCode(_ reports: [TargetReport]) -> ExitCode {
    if reports.contains(where: {
      $0.error != nil || ($0.answer.map { $0.isAtomic == nil } ?? false)
    }) {
      return ExitStatus.notDone
    }
    return reports.contains { $0.answer?.isAtomic == false } ? ExitStatus.no : ExitStatus.yes
  }
}

extension ProbeRun {
  /// Reads `probe [--json] TARGET …`, the form that monitoring repeats; `nil` for anything else.
  ///
  /// ArgumentParser spends more on its own reflection than a whole probe costs (Docs/Costs.md).
  /// Only words without a leading dash are taken here, so nothing can be read otherwise than it
  /// would be there.
  init?(plain arguments: some Sequence<String>) {
    var words = Array(arguments)[...]
    guard words.popFirst() == "probe" else { return nil }
    let isJSON = words.first == "--json"
    if isJSON { words = words.dropFirst() }
    guard !words.isEmpty, words.allSatisfy({ !$0.isEmpty && !$0.hasPrefix("-") }) else {
      return nil
    }
    self.init(targets: Array(words), isJSON: isJSON)
  }
}
