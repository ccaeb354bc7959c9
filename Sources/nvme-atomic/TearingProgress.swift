import Glibc
import NVMeAtomic

/// One line on standard error that is written over, where that is a terminal.
struct TearingProgress {
  private let options: TearingOptions
  private let isShown = isatty(STDERR_FILENO) == 1

  init(_ options: TearingOptions) {
    self.options = options
  }

  /// What was seen of a size so far.
  func tell(_ step: TearingStep, _ count: TearingCount) {
    guard isShown else { return }
    let control = step.kind == .path ? "" : "control, "
    Terminal.overwriteErrorLine(
      "\(control)\(ByteText(step.sizeBytes)): \(count.writes) writes, \(count.reads) reads, "
        + "\(count.overlappedReads) during a write, \(count.bad) not whole, "
        + "\(count.elapsedNanoseconds / 1_000_000_000) s of "
        + "\((Double(options.runtimeNanoseconds) / 1e9).rounded(to: 1)) s"
    )
  }

  /// Leaves no trace.
  func end() {
    if isShown { Terminal.overwriteErrorLine("") }
  }
}
