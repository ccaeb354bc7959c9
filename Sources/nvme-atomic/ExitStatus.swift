import ArgumentParser

/// The documented exit codes. 64, wrong usage, is ArgumentParser's own.
enum ExitStatus {
  /// Done, or the answer is yes.
  static let yes = ExitCode(0)
  /// The answer is no.
  static let no = ExitCode(1)
  /// Not done, or not known; nothing was written.
  static let notDone = ExitCode(2)
  /// Failed with the outcome unknown.
  static let unknownOutcome = ExitCode(3)
}
