import ArgumentParser
import NVMeAtomic
import SystemPackage

/// `verify crash --listen`
extension VerifyCrashCommand {
  /// Keeps what one workload sends until it ends, or until this is interrupted.
  func runListener(_ port: UInt16) throws(Failure) -> ExitCode? {
    ProgramStart.noteStopSignals()
    guard let path = log else { return nil }
    var byteCount: UInt64 = 0
    do throws(CrashLogReceiver.Problem) {
      try receive(port, path, &byteCount)
    } catch {
      throw listenFailure(error, port, path, byteCount)
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

  /// What has come before is kept.
  private func listenFailure(
    _ problem: CrashLogReceiver.Problem,
    _ port: UInt16,
    _ path: String,
    _ byteCount: UInt64
  ) -> Failure {
    var failure: Failure
    switch problem {
    case .file(let error): failure = logFailure(path, Errno(rawValue: error.code))
    case .port(let error):
      failure = Failure(
        target: "port \(port)",
        code: .io,
        message: "\(error)",
        remedy: "choose another port by --listen",
        outcome: .notWritten
      )
    }
    if byteCount > 0 {
      failure.message += ", after \(byteCount) bytes, which are kept"
      failure.outcome = .unknown
    }
    return failure
  }

  private func receive(
    _ port: UInt16,
    _ path: String,
    _ byteCount: inout UInt64
  ) throws(CrashLogReceiver.Problem) {
    var receiver = try CrashLogReceiver(port: port, path: path)
    if !json { Terminal.print("listening on port \(port) for \(path)".printable) }
    defer { receiver.discardEmpty() }
    do throws(CrashLogReceiver.Problem) {
      try receiver.run()
      byteCount = receiver.byteCount
    } catch {
      byteCount = receiver.byteCount
      throw error
    }
  }
}
