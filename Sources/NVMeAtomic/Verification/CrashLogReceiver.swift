import LinuxIO
import SystemPackage

/// Keeps the log of a workload that another machine runs.
package struct CrashLogReceiver: ~Copyable {
  /// What did not work.
  package enum Problem: Error {
    case file(SystemError)
    case port(SystemError)
  }

  private let listener: LogListener
  private let file: CrashLogWriter
  /// What has come.
  package private(set) var byteCount: UInt64 = 0

  /// Makes the file, and listens.
  package init(port: UInt16, path: String) throws(Problem) {
    // First, so that a port that is taken leaves no file behind.
    let listener = try Self.listener(port)
    file = try Self.file(path)
    self.listener = listener
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

  /// Takes one connection, and keeps what comes by it, on stable storage each time, until its end,
  /// or until a signal. A machine that has lost its power sends no end.
  package mutating func run() throws(Problem) {
    guard let connection = try accept() else { return }
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while HostProcess.stopSignal == 0 {
      guard let count = try Self.read(connection, &buffer) else { continue }
      if count == 0 { return }
      do throws(Errno) {
        try file.append(Array(buffer[..<count]))
      } catch {
        throw .file(SystemError(error))
      }
      byteCount += UInt64(count)
    }
  }

  private borrowing func accept() throws(Problem) -> OwnedFileDescriptor? {
    do throws(Errno) {
      while HostProcess.stopSignal == 0 {
        if let connection = try listener.accept(waitingMilliseconds: 200) { return connection }
      }
      return nil
    } catch {
      throw .port(SystemError(error))
    }
  }

  /// What has come; 0 at the end, and `nil` where nothing has come within a while.
  private static func read(
    _ connection: borrowing OwnedFileDescriptor,
    _ buffer: inout [UInt8]
  ) throws(Problem) -> Int? {
    do throws(Errno) {
      guard try connection.isReadable(withinMilliseconds: 200) else { return nil }
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
      // Whoever has lost its power may say so by a reset, once it is back, or never.
      if error == .connectionReset || error == .timedOut { return 0 }
      throw .port(SystemError(error))
    }
  }
}
