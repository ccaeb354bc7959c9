import ArgumentParser
import NVMeAtomic

/// A probe as the command line asks for it, parsed.
struct ProbeRun: Equatable {
  enum Targets: Equatable {
    case named([String])
    /// Every block device of the machine.
    case all
  }

  var targets: Targets
  var question: Question?
  var isJSON = false

  static let format = "nvme-atomic-probe/1"

  /// Probes every target and prints what was learnt.
  func execute() -> ExitCode {
    let probe = Probe()
    do throws(Failure) {
      let reports = probe.reports(on: try paths(probe), answering: question)
      print(reports, probe)
      for report in reports {
        if let error = report.error {
          Terminal.printError("nvme-atomic: \(report.path): \(error.message); \(error.remedy)")
        }
      }
      return exitCode(reports)
    } catch {
      if isJSON { Terminal.print(error.document(format: Self.format).rendered) }
      Terminal.printError(error.line)
      return error.exitCode
    }
  }

  private func paths(_ probe: Probe) throws(Failure) -> [String] {
    switch targets {
    case .named(let paths): return paths
    case .all:
      do throws(ProbeError) {
        return try probe.blockDevices()
      } catch {
        throw Failure(.target(error), target: "--all")
      }
    }
  }

  private func print(_ reports: [TargetReport], _ probe: Probe) {
    if isJSON {
      let document = ProbeJSON(kernelRelease: probe.kernelRelease, targets: reports).document
      return Terminal.print(document.rendered)
    }
    if reports.isEmpty {
      return Terminal.print("This machine has no block device that holds anything.")
    }
    let texts = reports.filter { $0.error == nil }
      .map { ProbeText(report: $0).lines.joined(separator: "\n") }
    if !texts.isEmpty { Terminal.print(texts.joined(separator: "\n\n")) }
  }

  /// 2 beats 1 beats 0. A question about nothing has no answer.
  func exitCode(_ reports: [TargetReport]) -> ExitCode {
    reports.isEmpty && question != nil ? ExitStatus.notDone : Self.exitCode(reports)
  }

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
  /// Reads `probe [--json] TARGET …` and `probe [--json] --all`, the forms that monitoring repeats;
  /// `nil` for anything else.
  ///
  /// ArgumentParser spends more on its own reflection than a whole probe costs (Docs/Costs.md).
  /// Only words without a leading dash are taken here beside the two options, so nothing can be
  /// read otherwise than it would be there.
  init?(plain arguments: some Sequence<String>) {
    var words = Array(arguments)[...]
    guard words.popFirst() == "probe" else { return nil }
    let isJSON = words.first == "--json"
    if isJSON { words = words.dropFirst() }
    if words.elementsEqual(["--all"]) {
      self.init(targets: .all, isJSON: isJSON)
      return
    }
    guard !words.isEmpty, words.allSatisfy({ !$0.isEmpty && !$0.hasPrefix("-") }) else {
      return nil
    }
    self.init(targets: .named(Array(words)), isJSON: isJSON)
  }
}
