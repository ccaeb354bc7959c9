import LinuxIO
package import SystemPackage

/// Holds back SIGINT, SIGTERM and SIGHUP until the process ends.
///
/// For a command that writes once: between the write and its report nothing should part them.
public enum InterruptGuard {
  /// The corresponding system call is `sigprocmask(2)`.
  public static func holdUntilExit() {
    HostProcess.blockSignals()
  }
}

/// For the begin of a program that writes to devices.
package enum ProgramStart {
  /// Opens `/dev/null` for standard input, output and error where they are closed, so that no
  /// device takes their place and is sent what was meant for them. A file size limit becomes an
  /// error.
  package static func secure() throws(Errno) {
    try HostProcess.secureStandardDescriptors()
  }
}
