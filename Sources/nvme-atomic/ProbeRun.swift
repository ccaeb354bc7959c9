import ArgumentParser
import NVMeAtomic

/// A probe as the command line asks for it, parsed.
struct ProbeRun: Equatable {
  enum Targets: Equatable {
    case named([String])
    /// Every block device of the machine.
    case all
  }

  enum Form {
    case text, json, prometheus
  }

  var targets: Targets
  var question: Question?
  var form: Form = .text
  /// The file that a document replaces; `nil` is standard output.
  var file: String?

  static let format = "nvme-atomic-probe/1"

  /// Probes every target and gives out what was learnt.
  func execute() -> ExitCode {
    let probe = Probe()
    do throws(Failure) {
      let reports = probe.reports(on: try paths(probe), answering: question)
      try give(reports, probe.kernelRelease)
      for report in reports {
        if let error = report.error {
          Terminal.printError("nvme-atomic: \(report.path): \(error.message); \(error.remedy)")
        }
      }
      return exitCode(reports)
    } catch {
      if form == .json { Terminal.print(error.document(format: Self.format).rendered) }
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

  // MARK: Output

  /// A document is whole before its first byte is written.
  private func give(_ reports: [TargetReport], _ kernelRelease: String?) throws(Failure) {
    switch form {
    case .text:
      if let text = Self.text(reports) { Terminal.print(text) }
    case .json:
      let document = ProbeJSON(kernelRelease: kernelRelease, targets: reports).document
      try give(document.rendered + "\n")
    case .prometheus:
      try give(ProbePrometheus(kernelRelease: kernelRelease, targets: reports).rendered)
    }
  }

  private func give(_ document: String) throws(Failure) {
    if let file { return try OutputFile.replace(file, with: document) }
    if let errno = Terminal.write(document) {
      throw Failure(
        target: "standard output",
        code: .io,
        message: "cannot be written: \(errno)",
        remedy: "do not use what was written of it",
        outcome: .notWritten
      )
    }
  }

  private static func text(_ reports: [TargetReport]) -> String? {
    if reports.isEmpty { return "This machine has no block device that holds anything." }
    let texts = reports.filter { $0.error == nil }
      .map { ProbeText(report: $0).lines.joined(separator: "\n") }
    return texts.isEmpty ? nil : texts.joined(separator: "\n\n")
  }

  // MARK: Exit code

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
  /// Reads `probe [--json | --prometheus] TARGET …`, or `--all` in place of the targets: the forms
  /// that monitoring repeats; `nil` for anything else.
  ///
  /// ArgumentParser spends more on its own reflection than a whole probe costs (article Costs).
  /// Only words without a leading dash are taken here beside these options, so nothing can be read
  /// otherwise than it would be there.
  init?(plain arguments: some Sequence<String>) {
    var words = Array(arguments)[...]
    guard words.popFirst() == "probe" else { return nil }
    let form: Form =
      switch words.first {
      case "--json"?: .json
      case "--prometheus"?: .prometheus
      default: .text
      }
    if form != .text { words = words.dropFirst() }
    if words.elementsEqual(["--all"]) {
      self.init(targets: .all, form: form)
      return
    }
    guard !words.isEmpty, words.allSatisfy({ !$0.isEmpty && !$0.hasPrefix("-") }) else {
      return nil
    }
    self.init(targets: .named(Array(words)), form: form)
  }
}
