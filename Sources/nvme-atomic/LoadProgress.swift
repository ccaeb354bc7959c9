import Glibc
import NVMeAtomic

/// One line on standard error that is written over, where that is a terminal.
struct LoadProgress {
  private let count: UInt64?
  private let runtimeNanoseconds: UInt64?
  /// What is counted.
  private let noun: String
  private let isShown = isatty(STDERR_FILENO) == 1

  init(_ plan: LoadPlan) {
    self.init(count: plan.count, runtimeNanoseconds: plan.runtimeNanoseconds)
  }

  init(count: UInt64?, runtimeNanoseconds: UInt64?, noun: String = "writes") {
    self.count = count
    self.runtimeNanoseconds = runtimeNanoseconds
    self.noun = noun
  }

  /// What was done so far.
  func tell(_ operations: UInt64, _ nanoseconds: UInt64) {
    guard isShown else { return }
    let seconds = Double(nanoseconds) / 1e9
    var text = "\(operations) \(noun)"
    if let count { text += " of \(count)" }
    text += ", \(Int(seconds)) s"
    if let runtime = runtimeNanoseconds { text += " of \(runtime / 1_000_000_000) s" }
    text += ", \(Int(Double(operations) / seconds)) per second"
    Terminal.overwriteErrorLine(text)
  }

  /// What is done before anything is counted, how far.
  func tell(_ what: String, _ done: UInt64, of all: UInt64) {
    guard isShown, all > 0 else { return }
    Terminal.overwriteErrorLine("\(what), \(done * 100 / all) %")
  }

  /// Leaves no trace.
  func end() {
    if isShown { Terminal.overwriteErrorLine("") }
  }
}
