import Glibc
import NVMeAtomic
import SystemPackage

/// What is written to: what is there by that name, or a file that `--size` makes and that gets the
/// name once it is worth it.
struct NewTarget: ~Copyable {
  /// What to probe and to open.
  let path: String
  private let name: String
  private let file: NewFile?

  /// Makes a file unless one of that size is there.
  ///
  /// - Parameters:
  ///   - name: The path as it was given.
  ///   - sizeBytes: The size it is to have; `nil` where it must be there.
  /// - Throws: Why there is none and none can be made; nothing is left then.
  init(_ name: String, sizeBytes: UInt64?) throws(Failure) {
    self.name = name
    guard let sizeBytes, let size = try Self.sizeToMake(name, sizeBytes) else {
      file = nil
      path = name
      return
    }
    do throws(Errno) {
      let file = try NewFile(FilePath(name), sizeBytes: size)
      path = file.path
      self.file = consume file
    } catch {
      throw Self.failure(name, error, ByteText(sizeBytes))
    }
  }

  var isNew: Bool { path != name }

  /// What went wrong before a new file got its name has never been.
  func failure(_ failure: Failure) -> Failure {
    guard isNew else { return failure }
    var failure = failure
    if failure.outcome == .unknown { failure.remedy = "no file was made; check the kernel log" }
    failure.outcome = .notWritten
    return failure
  }

  /// Gives a new file its name, durably.
  func giveName() throws(Failure) {
    switch file {
    case .none: return
    case .some(let file): try giveName(file)
    }
  }

  private func giveName(_ file: borrowing NewFile) throws(Failure) {
    do throws(Errno) {
      try file.giveName()
    } catch {
      guard error == .fileExists else {
        var failure = Self.failure(name, error, nil)
        // It may have reached the disk where the folder is written at once.
        if error == .ioError { failure.outcome = .unknown }
        throw failure
      }
      throw Self.failure(
        name,
        .conflict,
        "somebody else has made it meanwhile",
        "nothing was written to it; run the command again to do so"
      )
    }
    do throws(Errno) {
      try file.synchronizeName()
    } catch {
      throw Failure(
        target: name,
        code: .io,
        message: "its name could not be made durable: \(error)",
        remedy: "look whether it is there; check the kernel log",
        outcome: .unknown
      )
    }
  }

  /// The size of the file to make, `nil` where one of that size is there.
  private static func sizeToMake(_ name: String, _ sizeBytes: UInt64) throws(Failure) -> Int64? {
    guard let size = Int64(exactly: sizeBytes), size > 0 else {
      throw failure(
        name,
        .exceedsLimit,
        "no file can have \(sizeBytes) bytes",
        "give another --size"
      )
    }
    if let status = try? FilePath(name).stat() {
      try check(status, name, size)
      return nil
    }
    if name.hasSuffix("/") {
      throw failure(name, .notFound, "no such directory, and no name of a file", "name a file")
    }
    if (try? FilePath(name).stat(followTargetSymlink: false)) != nil {
      throw failure(
        name,
        .notFound,
        "it is a symbolic link that leads nowhere",
        "name the file itself, or remove the link"
      )
    }
    return size
  }

  private static func check(_ status: Stat, _ name: String, _ size: Int64) throws(Failure) {
    guard status.type == .regular else {
      throw failure(
        name,
        .refused,
        "it is no regular file, whose size could be chosen",
        "drop --size"
      )
    }
    guard status.size == size else {
      throw failure(
        name,
        .refused,
        "it exists, and has \(status.size) bytes",
        "drop --size, or remove the file"
      )
    }
  }

  private static func failure(_ name: String, _ errno: Errno, _ size: ByteText?) -> Failure {
    let message = "it cannot be made\(size.map { " with \($0)" } ?? ""): \(errno)"
    return switch errno {
    case .noSuchFileOrDirectory, .notDirectory:
      failure(name, .notFound, message, "name a file in a directory that exists")
    case .permissionDenied, .notPermitted, .readOnlyFileSystem:
      failure(name, .permission, message, "name a file in a directory that you may write to")
    case .noSpace, .diskQuotaExceeded:
      failure(name, .io, message, "free some space, or give a smaller --size")
    case .fileTooLarge:
      failure(
        name,
        .exceedsLimit,
        message,
        "give a smaller --size, or raise the limit with ulimit -f"
      )
    case .notSupportedOnSocket, .isDirectory:
      failure(name, .unsupported, message, "make the file first, with fallocate, and drop --size")
    default: failure(name, .io, message, "check the kernel log")
    }
  }

  private static func failure(
    _ name: String,
    _ code: ErrorCode,
    _ message: String,
    _ remedy: String
  ) -> Failure {
    Failure(target: name, code: code, message: message, remedy: remedy, outcome: .notWritten)
  }
}
