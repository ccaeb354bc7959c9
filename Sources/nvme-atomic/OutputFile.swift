import Glibc
import NVMeAtomic
import SystemPackage

/// A file that is replaced whole or not at all: who reads it meanwhile sees the old or the new one.
enum OutputFile {
  /// Writes beside it, flushes, and renames.
  static func replace(_ path: String, with text: String) throws(Failure) {
    let target = FilePath(path)
    guard let name = target.lastComponent else {
      throw failure(path, .notFound, "names no file")
    }
    let permissions = try permissions(target, path)
    // Not with the name's ending, which is what collectors look for.
    let temporary = target.removingLastComponent().appending(".\(name.string).\(getpid()).tmp")
    do {
      let file = try FileDescriptor.open(
        temporary,
        .writeOnly,
        options: [.create, .exclusiveCreate, .closeOnExec],
        permissions: permissions ?? FilePermissions(rawValue: 0o644)
      )
      do {
        try file.closeAfter {
          _ = try file.writeAll(text.utf8)
          try check(fsync(file.rawValue))
        }
        // SAFETY: both strings are NUL-terminated and outlive the call.
        try check(unsafe rename(temporary.string, path))
      } catch {
        // SAFETY: as above.
        _ = unsafe unlink(temporary.string)
        throw error
      }
    } catch {
      let errno = error as? Errno ?? .ioError
      throw failure(path, code(errno), "cannot be written: \(errno)")
    }
  }

  /// Those of the file that is there. A device or a link is never replaced by a file.
  private static func permissions(
    _ target: FilePath,
    _ path: String
  ) throws(Failure) -> FilePermissions? {
    guard let status = try? target.stat(followTargetSymlink: false) else { return nil }
    guard status.type == .regular else {
      throw failure(path, .refused, "is not a regular file, and would be replaced by one")
    }
    return status.permissions
  }

  private static func failure(_ path: String, _ code: ErrorCode, _ message: String) -> Failure {
    Failure(
      target: path,
      code: code,
      message: message,
      remedy: "name a file in a directory that you may write to",
      outcome: .notWritten
    )
  }

  private static func code(_ errno: Errno) -> ErrorCode {
    switch errno {
    case .noSuchFileOrDirectory, .notDirectory: .notFound
    case .permissionDenied, .notPermitted, .readOnlyFileSystem: .permission
    default: .io
    }
  }

  private static func check(_ result: CInt) throws {
    if result != 0 { throw Errno(rawValue: errno) }
  }
}
