import ArgumentParser
import Glibc
import NVMeAtomic
import SystemPackage

/// Standard output and error. A reader that went away ends the program quietly.
enum Terminal {
  static func print(_ text: String) {
    write(text + "\n", to: .standardOutput)
  }

  /// What was done, which nobody would know of otherwise.
  ///
  /// - Parameters:
  ///   - text: All of it.
  ///   - target: What it is about.
  ///   - hasWritten: Whether that has changed.
  /// - Throws: A ``Failure`` where nobody can read it.
  static func printReport(
    _ text: String,
    of target: String,
    hasWritten: Bool = true
  ) throws(Failure) {
    guard let error = write(text + "\n") else { return }
    let again = "run it again with a standard output that works"
    throw Failure(
      target: target,
      code: .io,
      message: (hasWritten ? "the report of what was written" : "the report")
        + " could not be printed: \(error)",
      remedy: hasWritten ? "the writes are done; read them back, or \(again)" : again,
      outcome: hasWritten ? .unknown : .notWritten
    )
  }

  /// One line, whatever a path or a message holds.
  static func printError(_ text: String) {
    write(text.printable + "\n", to: .standardError)
  }

  /// Replaces the line that is being written on standard error.
  static func overwriteErrorLine(_ text: String) {
    write("\r\u{1b}[K" + text.printable, to: .standardError)
  }

  static func exit(_ code: ExitCode) -> Never {
    Glibc.exit(code.rawValue)
  }

  /// Writes a document as it is. A failure is returned, but for that of a reader that went away.
  static func write(_ document: String) -> Errno? {
    let error = writeAll(document, to: .standardOutput)
    return error == .brokenPipe ? nil : error
  }

  /// Waits where the descriptor does not.
  private static func writeAll(_ text: String, to descriptor: FileDescriptor) -> Errno? {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      do {
        // SAFETY: the bytes outlive the call.
        let written = unsafe try rest.withUnsafeBytes { unsafe try descriptor.write($0) }
        rest = rest.dropFirst(written)
      } catch Errno.resourceTemporarilyUnavailable {
        var wanted = pollfd(fd: descriptor.rawValue, events: Int16(POLLOUT), revents: 0)
        // SAFETY: one structure, which the call fills.
        _ = unsafe poll(&wanted, 1, -1)
      } catch {
        return error as? Errno ?? .ioError
      }
    }
    return nil
  }

  /// For what is also told otherwise: nobody is left to tell of a closed pipe or a full disk.
  private static func write(_ text: String, to descriptor: FileDescriptor) {
    _ = writeAll(text, to: descriptor)
  }
}

extension String {
  /// One line that moves no cursor: control characters and line separators are escaped.
  var printable: String {
    var text = ""
    for scalar in unicodeScalars {
      switch scalar {
      case "\u{0}"..<"\u{20}", "\u{7f}"..<"\u{a0}", "\u{2028}", "\u{2029}":
        text += "\\u{\(String(scalar.value, radix: 16))}"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
