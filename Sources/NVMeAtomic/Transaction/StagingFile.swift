import LinuxIO
import SystemPackage

/// A file without a name beside a target, which holds what is staged at its own offsets, and
/// nothing else. It vanishes with its owner.
final class StagingFile: Sendable {
  let descriptor: OwnedFileDescriptor

  /// Makes one where the target's blocks can be exchanged for its own, on the same mount, beside a
  /// target that is open for reading and writing.
  init(beside file: borrowing OwnedFileDescriptor) throws(AtomicWriteError) {
    do throws(Errno) {
      descriptor = try Self.make(beside: file)
    } catch {
      throw Self.failure(error)
    }
  }

  private static func make(
    beside file: borrowing OwnedFileDescriptor
  ) throws(Errno) -> OwnedFileDescriptor {
    // A file without a name is called as one that was deleted: the folder is right there too.
    let folder = FilePath(try file.currentPath()).removingLastComponent()
    let staging = try OwnedFileDescriptor(
      unnamedFileIn: OwnedFileDescriptor(opening: folder.string, .readOnly)
    )
    let (mine, theirs) = (try FileStatus(of: staging), try FileStatus(of: file))
    // A file may be mounted alone, or its folder have moved meanwhile.
    guard mine.device == theirs.device, mine.mountID == theirs.mountID else {
      throw .improperLink
    }
    try staging.followRealtime(of: file)
    return staging
  }

  private static func failure(_ errno: Errno) -> AtomicWriteError {
    switch errno {
    case .improperLink:
      .refused(
        .obstacle("its folder lies on another mount than the file, which so cannot be exchanged")
      )
    case .permissionDenied, .notPermitted, .readOnlyFileSystem:
      .target(
        ProbeError(
          code: .permission,
          message: "no staging file can be made in its folder: \(errno)",
          remedy: "run it as root, or gain write access to the folder"
        )
      )
    case .tooManyOpenFiles, .tooManyOpenFilesInSystem:
      .noResources(.descriptor, SystemError(errno))
    default: .notWritten(FailureCause(errno))
    }
  }
}
