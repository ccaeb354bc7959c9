import ArgumentParser
import NVMeAtomic
import SystemPackage

/// `verify crash --listen`
extension VerifyCrashCommand {
  /// Keeps what one workload sends until it ends, or until this is interrupted.
  func runListener(_ port: UInt16) throws(Failure) -> ExitCode? {
    ProgramStart.noteStopSignals()
    guard let path = log else { return nil }
    let byteCount: UInt64
    do throws(CrashLogReceiver.Problem) {
      byteCount = try receive(port, path)
    } catch {
      switch error {
      case .file(let error): throw logFailure(path, Errno(rawValue: error.code))
      case .port(let error):
        throw Failure(
          target: "port \(port)",
          code: .io,
          message: "\(error)",
          remedy: "choose another port by --listen",
          outcome: .notWritten
        )
      }
    }
    guard byteCount > 0 else {
      throw Failure(
        target: path,
        code: .io,
        message: "nothing has come by port \(port)",
        remedy: "begin the workload, with --log tcp:HOST:\(port), while this listens",
        outcome: .notWritten
      )
    }
    let document: JSONValue = .object([
      "format": .string(Self.format), "mode": .string("listen"), "log": .string(path),
      "bytes": .number(byteCount), "interrupted": .bool(ProgramStart.isToStop),
    ])
    let text = "\(path): \(byteCount) bytes received"
    try Terminal.printReport(json ? document.rendered : text.printable, of: path)
    // A machine without power says no end: a signal is how this is ended.
    return nil
  }

  private func receive(
    _ port: UInt16,
    _ path: String
  ) throws(CrashLogReceiver.Problem) -> UInt64 {
    var receiver = try CrashLogReceiver(port: port, path: path)
    if !json { Terminal.print("listening on port \(port) for \(path)".printable) }
    defer { receiver.discardEmpty() }
    try receiver.run()
    return receiver.byteCount
  }
}
