import LinuxIO
import SystemPackage

/// A journal in a file of its own.
enum JournalFile {
  /// Opens one for direct writes; `nil` where nothing is there.
  ///
  /// - Throws: ``AtomicWriteError/journal(_:)`` for what is no file, or is somebody's who could
  ///   have anything written to the target by it.
  static func open(
    _ path: String,
    of target: borrowing OwnedFileDescriptor,
    onlyReads: Bool = false
  ) throws(AtomicWriteError) -> OwnedFileDescriptor? {
    let journal: OwnedFileDescriptor
    do throws(Errno) {
      journal = try OwnedFileDescriptor(openingJournal: path, onlyReads: onlyReads)
    } catch {
      if error == .noSuchFileOrDirectory { return nil }
      if error == .tooManySymbolicLinkLevels {
        throw .journal(.foreign("\(path) is a symbolic link"))
      }
      // Of folders, pipes and sockets open(2) says all kinds of things.
      if let there = try? FilePath(path).stat(), there.type != .regular {
        throw .journal(.foreign("\(path) is no regular file"))
      }
      throw openError(error, path)
    }
    guard try status(of: journal).kind == .regular else {
      throw .journal(.foreign("\(path) is no regular file"))
    }
    let isPrivate: Bool
    do throws(Errno) {
      isPrivate = try journal.isAsPrivate(as: target)
    } catch {
      throw .readFailed(FailureCause(error))
    }
    guard isPrivate else {
      throw .journal(.exposed(path))
    }
    return journal
  }

  static func status(
    of descriptor: borrowing OwnedFileDescriptor
  ) throws(AtomicWriteError) -> FileStatus {
    do throws(Errno) {
      return try FileStatus(of: descriptor)
    } catch {
      throw .readFailed(FailureCause(error))
    }
  }

  /// Makes one without a name yet, with all its blocks written, readable by whom the target is.
  ///
  /// Blocks that were never written would be marked as such, and each first write change that.
  static func make(
    in folder: borrowing OwnedFileDescriptor,
    byteCount: UInt64,
    like target: borrowing OwnedFileDescriptor
  ) throws(AtomicWriteError) -> OwnedFileDescriptor {
    do throws(Errno) {
      let file = try OwnedFileDescriptor(unnamedFileIn: folder)
      try file.copyOwner(of: target)
      // btrfs would want new space for every record.
      file.overwriteInPlace()
      try file.allocate(byteCount: Int64(byteCount))
      try file.writeZeros(byteCount: byteCount)
      try file.synchronize()
      return file
    } catch {
      if [.noSpace, .diskQuotaExceeded, .fileTooLarge].contains(error) {
        throw .notWritten(FailureCause(error))
      }
      throw openError(error)
    }
  }

  /// Keeps others from a journal, by whichever name and for whichever target, as long as the
  /// descriptor that is returned is open.
  static func lock(
    _ journal: borrowing OwnedFileDescriptor,
    onlyReads: Bool = false
  ) throws(AtomicWriteError) -> OwnedFileDescriptor {
    do throws(Errno) {
      // One of its own: a ring keeps the other open for a while after its owner has gone.
      let descriptor = try OwnedFileDescriptor(
        opening: "/proc/self/fd/\(journal.rawValue)",
        onlyReads ? .readOnly : .readWrite
      )
      if try descriptor.lock(RangeLock.journal, onlyReads ? .shared : .exclusive) {
        return descriptor
      }
    } catch {
      throw openError(error)
    }
    throw .busy("somebody else has its journal open")
  }

  /// The same file for direct writes.
  static func reopenDirect(
    _ file: borrowing OwnedFileDescriptor
  ) throws(AtomicWriteError) -> OwnedFileDescriptor {
    do throws(Errno) {
      return try OwnedFileDescriptor(
        opening: "/proc/self/fd/\(file.rawValue)",
        [.readWrite, .direct]
      )
    } catch {
      throw openError(error)
    }
  }

  /// What is said where a journal cannot be had, which has a path unless it is being made.
  static func openError(_ errno: Errno, _ path: String? = nil) -> AtomicWriteError {
    let journal = path.map { "its journal \($0)" } ?? "its journal"
    func target(_ code: ErrorCode, _ message: String, _ remedy: String) -> AtomicWriteError {
      .target(ProbeError(code: code, message: message, remedy: remedy))
    }
    return switch errno {
    case .noSuchFileOrDirectory, .notDirectory:
      target(.notFound, "\(journal): no such directory", "name one that exists")
    case .fileExists:
      target(
        .conflict,
        "something is there already where \(journal) would be",
        "remove that, or name another place by --journal"
      )
    case .permissionDenied, .notPermitted, .readOnlyFileSystem:
      target(
        .permission,
        "\(journal): \(errno)",
        "gain write access to it, or name another by --journal"
      )
    case .invalidArgument, .notSupportedOnSocket:
      target(
        .unsupported,
        "\(journal) cannot be there: \(errno)",
        "name one by --journal on a filesystem with O_TMPFILE and direct I/O"
      )
    case .fileNameTooLong:
      target(.unsupported, "\(journal): \(errno)", "name a shorter one by --journal")
    case .tooManyOpenFiles, .tooManyOpenFilesInSystem: .noResources(.descriptor, SystemError(errno))
    default: target(.io, "\(journal): \(errno)", "check the kernel log")
    }
  }
}

/// A journal without a name, which vanishes with its owner.
final class UnnamedJournal: Sendable, JournalFolder {
  let file: OwnedFileDescriptor
  private let folder: OwnedFileDescriptor
  let name: String

  init(
    _ file: consuming OwnedFileDescriptor,
    _ folder: consuming OwnedFileDescriptor,
    _ name: String
  ) {
    self.file = file
    self.folder = folder
    self.name = name
  }

  func synchronizeJournal() throws(Errno) { try file.synchronize() }
  func linkJournal() throws(Errno) { try file.link(name, in: folder) }
  func synchronizeFolder() throws(Errno) { try folder.synchronize() }
}
