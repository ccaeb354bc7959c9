import NVMeAtomic
import SystemPackage

/// Where the log of `verify crash` goes.
extension VerifyCrashCommand {
  /// A log that a power failure takes along shows nothing.
  func checkLog(
    _ log: String,
    _ target: CrashTarget,
    _ findings: inout [CrashFinding]
  ) throws(Failure) {
    if log.hasPrefix("tcp:") { return }
    let parent = FilePath(log).removingLastComponent()
    switch target.separation(fromFolder: parent.isEmpty ? "." : parent.string) {
    case .apart: break
    case .shared(let what):
      throw refusal(
        "the log \(log) would lie on what is under test, \(what)",
        "keep it on another drive, or on another machine by --log tcp:HOST:PORT"
      )
    case .inMemory:
      findings.append(
        CrashFinding(
          "log-in-memory",
          .warning,
          "The log lies in memory, and is gone when this machine loses its power.",
          remedy: "keep it on another drive, or on another machine by --log tcp:HOST:PORT"
        )
      )
    case .unknown(let clause):
      findings.append(
        CrashFinding(
          "log-place-unknown",
          .warning,
          "Whether the log lies on another drive cannot be told: \(clause).",
          remedy: "make sure that it does, or use --log tcp:HOST:PORT"
        )
      )
    }
  }

  /// Makes the file, or connects. Until then a signal ends the process: nothing was done.
  func makeLog(
    _ log: String,
    _ findings: inout [CrashFinding]
  ) throws(Failure) -> CrashLogWriter {
    do throws(Errno) {
      guard let address = LogAddress(log) else {
        ProgramStart.noteStopSignals()
        return try CrashLogWriter(.file(log))
      }
      let writer = try CrashLogWriter(.host(address.host, port: address.port))
      ProgramStart.noteStopSignals()
      if writer.isSentToThisMachine { findings.append(.logStays) }
      return writer
    } catch {
      throw logFailure(log, error)
    }
  }

  func logFailure(_ log: String, _ errno: Errno) -> Failure {
    let (code, message, remedy): (ErrorCode, String, String) =
      switch errno {
      case .fileExists:
        (.refused, "the log is there already", "name a file that is not, or remove it")
      case .noSuchFileOrDirectory where log.hasPrefix("tcp:"):
        (.notFound, "no host of that name", "check --log")
      case .noSuchFileOrDirectory:
        (.notFound, "no such file or directory", "check --log")
      case .permissionDenied, .notPermitted:
        (.permission, "\(errno)", "name a file in a directory that you may write to")
      case .connectionRefused, .timedOut, .noRouteToHost, .networkUnreachable:
        (.io, "\(errno)", "let the other machine listen first: nc -l PORT > FILE")
      default: (.io, "\(errno)", "name another file, or another machine")
      }
    return Failure(
      target: log,
      code: code,
      message: message,
      remedy: remedy,
      outcome: .notWritten
    )
  }
}
