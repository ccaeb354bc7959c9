import Glibc
import NVMeAtomic

/// One line on standard error that is written over, where that is a terminal.
struct LoadProgress {
  private let plan: LoadPlan
  private let isShown = isatty(STDERR_FILENO) == 1

  init(_ plan: LoadPlan) {
    self.plan = plan
  }

  /// What was done so far.
  func tell(_ operations: UInt64, _ nanoseconds: UInt64) {
    guard isShown else { return }
    let seconds = Double(nanoseconds) / 1e9
    var text = "\(operations) writes"
    if let count = plan.count { text += " of \(count)" }
    text += ", \(Int(seconds)) s"
    if let runtime = plan.runtimeNanoseconds { text += " of \(runtime / 1_000_000_000) s" }
    text += ", \(Int(Double(operations) / seconds)) per second"
    Terminal.overwriteErrorLine(text)
  }

  /// Leaves no trace.
  func end() {
    if isShown { Terminal.overwriteErrorLine("") }
  }
}
