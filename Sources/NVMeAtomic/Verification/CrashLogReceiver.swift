import LinuxIO
import SystemPackage

/// Keeps the log of a workload that another machine runs.
package struct CrashLogReceiver: ~Copyable {
  /// What did not work.
  package enum Problem: Error {
    case file(SystemError)
    case port(SystemError)
  }

  /// `nil` once a log comes: another workload is refused before it has overwritten anything.
  private var listener: LogListener?
  private let file: CrashLogWriter
  /// What has come.
  package private(set) var byteCount: UInt64 = 0

  /// Makes the file, and listens.
  package init(port: UInt16, path: String) throws(Problem) {
    // First, so that a port that is taken leaves no file behind.
    let listener = try Self.listener(port)
    file = try Self.file(path)
    self.listener = consume listener
  }

  private static func listener(_ port: UInt16) throws(Problem) -> LogListener {
    do throws(Errno) {
      return try LogListener(port: port)
    } catch {
      throw .port(SystemError(error))
    }
  }

  private static func file(_ path: String) throws(Problem) -> CrashLogWriter {
    do throws(Errno) {
      return try CrashLogWriter(.file(path))
    } catch {
      throw .file(SystemError(error))
    }
  }

  /// Takes the first connection by which a log comes, and keeps it, on stable storage each time,
  /// until its end, or until a signal. A machine that has lost its power sends no end.
  package mutating func run() throws(Problem) {
    guard let listener = self.listener.take(), let sender = try Self.sender(listener) else {
      return
    }
    _ = consume listener
    try keep(sender.bytes)
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while HostProcess.stopSignal == 0 {
      guard let count = try Self.read(sender.connection, &buffer, waitingMilliseconds: 200) else {
        continue
      }
      if count == 0 { return }
      try keep(Array(buffer[..<count]))
    }
  }

  /// Takes the file away if nothing has come.
  package func discardEmpty() {
    if byteCount == 0 { file.discard() }
  }

  private mutating func keep(_ bytes: [UInt8]) throws(Problem) {
    do throws(Errno) {
      try file.append(bytes)
    } catch {
      throw .file(SystemError(error))
    }
    byteCount += UInt64(bytes.count)
  }

  /// Somebody who may be about to send a log.
  private final class Candidate {
    let connection: OwnedFileDescriptor
    var bytes: [UInt8] = []

    init(_ connection: consuming OwnedFileDescriptor) {
      self.connection = connection
    }

    /// Whether what has come is the begin of a log; `nil` as long as it may become one.
    var isLog: Bool? {
      let begin = CrashLogHeader.begin
      if bytes.starts(with: begin) { return true }
      return begin.starts(with: bytes) ? nil : false
    }
  }

  /// As a workload connects before it makes its range blank, others may come in between: a check of
  /// the port, or whoever is lost. `nil` where a signal has come.
  private static func sender(
    _ listener: borrowing LogListener
  ) throws(Problem) -> Candidate? {
    var candidates: [Candidate] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while HostProcess.stopSignal == 0 {
      let time: Int32 = candidates.isEmpty ? 200 : 20
      if let connection = try accept(listener, waitingMilliseconds: time) {
        if candidates.count == mostCandidates { candidates.removeFirst() }
        candidates.append(Candidate(connection))
      }
      var waiting: [Candidate] = []
      for candidate in candidates {
        let count = try read(candidate.connection, &buffer, waitingMilliseconds: 0)
        if let count { candidate.bytes += buffer[..<count] }
        switch candidate.isLog {
        case true?: return candidate
        case nil where count != 0: waiting.append(candidate)
        case nil, false?: break
        }
      }
      candidates = waiting
    }
    return nil
  }

  /// More than that have lost their way, those first that have come first.
  private static let mostCandidates = 64

  private static func accept(
    _ listener: borrowing LogListener,
    waitingMilliseconds time: Int32
  ) throws(Problem) -> OwnedFileDescriptor? {
    do throws(Errno) {
      return try listener.accept(waitingMilliseconds: time)
    } catch {
      // Whoever has gone meanwhile is none of ours.
      if error == .connectionAbort || error == .interrupted { return nil }
      throw .port(SystemError(error))
    }
  }

  /// What has come; 0 at the end, and `nil` where nothing has come within a while.
  private static func read(
    _ connection: borrowing OwnedFileDescriptor,
    _ buffer: inout [UInt8],
    waitingMilliseconds time: Int32
  ) throws(Problem) -> Int? {
    do throws(Errno) {
      guard try connection.isReadable(withinMilliseconds: time) else { return nil }
      var result = Result<Int, Errno>.success(0)
      // SAFETY: the buffer is valid for the call.
      unsafe buffer.withUnsafeMutableBytes { bytes in
        do throws(Errno) {
          result = .success(unsafe try connection.read(into: bytes))
        } catch {
          result = .failure(error)
        }
      }
      return try result.get()
    } catch {
      // Whoever has lost its power may say so by a reset, once it is back, or never: then the
      // kernel says in a while that nobody is there.
      let ends: [Errno] = [
        .connectionReset, .timedOut, .noRouteToHost, .networkUnreachable, .hostIsDown,
      ]
      if ends.contains(error) { return 0 }
      throw .port(SystemError(error))
    }
  }
}
