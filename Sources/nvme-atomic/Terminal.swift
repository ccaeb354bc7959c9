import ArgumentParser
import Glibc
import SystemPackage

/// Standard output and error. A reader that went away ends the program quietly.
enum Terminal {
  static func print(_ text: String) {
    write(text + "\n", to: .standardOutput)
  }

  /// One line, whatever a path or a message holds.
  static func printError(_ text: String) {
    let line = String(
      String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 ? "?" : $0 })
    )
    write(line + "\n", to: .standardError)
  }

  static func exit(_ code: ExitCode) -> Never {
    Glibc.exit(code.rawValue)
  }

  /// Only a closed pipe or a full disk can stop output; there is nobody left to tell.
  private static func write(_ text: String, to descriptor: FileDescriptor) {
    _ = try? descriptor.writeAll(text.utf8)
  }
}
