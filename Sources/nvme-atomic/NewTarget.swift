import Glibc
import NVMeAtomic
import SystemPackage

/// The file that `--size` asks for.
enum NewTarget {
  /// Makes the file with all its blocks, durably, unless one of that size is there.
  ///
  /// - Returns: Whether it was made.
  static func make(_ path: String, sizeBytes: UInt64) throws(Failure) -> Bool {
    guard let size = Int64(exactly: sizeBytes), size > 0 else {
      throw failure(
        path,
        .exceedsLimit,
        "no file can have \(sizeBytes) bytes",
        "give another --size"
      )
    }
    if let status = try? FilePath(path).stat() {
      try check(status, path, size)
      return false
    }
    do {
      let file = try FileDescriptor.open(
        FilePath(path),
        .readWrite,
        options: [.create, .exclusiveCreate, .closeOnExec],
        permissions: FilePermissions(rawValue: 0o666)
      )
      do {
        try file.closeAfter {
          try check(posix_fallocate(file.rawValue, 0, off_t(size)))
          if fsync(file.rawValue) != 0 { throw Errno(rawValue: errno) }
        }
        try synchronizeFolder(of: path)
      } catch {
        remove(path)
        throw error
      }
      return true
    } catch {
      throw failure(path, error as? Errno ?? .ioError, ByteText(sizeBytes))
    }
  }

  /// Takes a file away that was made in vain.
  static func remove(_ path: String) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    _ = unsafe unlink(path)
  }

  private static func check(_ status: Stat, _ path: String, _ size: Int64) throws(Failure) {
    guard status.type == .regular else {
      throw failure(
        path,
        .refused,
        "it is no regular file, whose size could be chosen",
        "drop --size"
      )
    }
    guard status.size == size else {
      throw failure(
        path,
        .refused,
        "it exists, and has \(status.size) bytes",
        "drop --size, or remove the file"
      )
    }
  }

  /// Such calls return the error number.
  private static func check(_ status: CInt) throws {
    if status != 0 { throw Errno(rawValue: status) }
  }

  private static func synchronizeFolder(of path: String) throws {
    let folder = FilePath(path).removingLastComponent()
    let descriptor = try FileDescriptor.open(
      folder.isEmpty ? "." : folder,
      .readOnly,
      options: [.directory, .closeOnExec]
    )
    try descriptor.closeAfter {
      if fsync(descriptor.rawValue) != 0 { throw Errno(rawValue: errno) }
    }
  }

  private static func failure(_ path: String, _ errno: Errno, _ size: ByteText) -> Failure {
    let message = "it cannot be made with \(size): \(errno)"
    return switch errno {
    case .noSuchFileOrDirectory, .notDirectory:
      failure(path, .notFound, message, "name a file in a directory that exists")
    case .permissionDenied, .notPermitted, .readOnlyFileSystem:
      failure(path, .permission, message, "name a file in a directory that you may write to")
    case .noSpace, .diskQuotaExceeded:
      failure(path, .io, message, "free some space, or give a smaller --size")
    case .fileTooLarge:
      failure(
        path,
        .exceedsLimit,
        message,
        "give a smaller --size, or raise the limit with ulimit -f"
      )
    default: failure(path, .io, message, "check the kernel log")
    }
  }

  private static func failure(
    _ path: String,
    _ code: ErrorCode,
    _ message: String,
    _ remedy: String
  ) -> Failure {
    Failure(target: path, code: code, message: message, remedy: remedy, outcome: .notWritten)
  }
}
