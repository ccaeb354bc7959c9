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

  /// What the program was called with, its own name first; what is not UTF-8 is replaced, and told.
  package static var arguments: (texts: [String], areUTF8: Bool) { HostProcess.arguments }

  /// From now on SIGINT, SIGTERM and SIGHUP end nothing, and are noted for a load to end by.
  package static func noteStopSignals() { HostProcess.catchStopSignals() }

  /// Whether one of them has come.
  package static var isToStop: Bool { HostProcess.stopSignal != 0 }

  /// Whether a probe and a write find the descriptors that they want: without them they find less.
  package static func checkDescriptors() throws(AtomicWriteError) {
    do throws(Errno) {
      try HostProcess.checkDescriptors(count: 8)
    } catch {
      throw .noResources(.descriptor, SystemError(error))
    }
  }
}
