import LinuxIO

/// Holds back SIGINT, SIGTERM and SIGHUP until the process ends.
///
/// For a command that writes once: between the write and its report nothing should part them.
public enum InterruptGuard {
  /// The corresponding system call is `sigprocmask(2)`.
  public static func holdUntilExit() {
    HostProcess.blockSignals()
  }
}
