import SystemPackage

/// Why a write did not happen, or did not certainly happen.
public enum AtomicWriteError: Error, Hashable, Sendable {
  /// The target could not be looked at or opened.
  case target(ProbeError)
  /// The target is mounted, held or opened by somebody else; a clause says by whom.
  case busy(String)
  /// The block device carries a filesystem, RAID or partition table of this name.
  case existingData(signature: String)
  /// The path names something else than when it was probed.
  case targetChanged
  /// The planner says no.
  case refused(PlanRefusal)
  /// The planner lacks a fact.
  case missingFact(MissingFact)
  /// The promise would rest on an assumption, and only facts were wanted.
  case onlyAssumed(Assumption)
  /// The kernel refused the write; nothing was written.
  case notWritten(SystemError)
  /// The kernel reported a failure: the range holds all old or all new bytes, nobody knows which.
  case outcomeUnknown(SystemError)
  /// The kernel wrote less than asked, which an atomic write must never do.
  case shortWrite(writtenBytes: Int, requestedBytes: Int)
  /// An earlier write on this handle ended with an unknown outcome.
  case handleFailed

  /// What is known of the bytes on the target.
  public var outcome: Outcome {
    switch self {
    case .outcomeUnknown, .shortWrite: .unknown
    default: .notWritten
    }
  }

  /// What a failure leaves behind.
  public enum Outcome: String, Sendable {
    /// The range holds what it held.
    case notWritten = "not-written"
    /// Old or new.
    case unknown
  }
}

/// An error number of the kernel.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  /// `errno`.
  public let code: Int32

  init(_ errno: Errno) {
    code = errno.rawValue
  }

  /// The system's text for it.
  public var description: String { Errno(rawValue: code).description }
}

extension AtomicWriteError {
  /// See `pwritev2(2)` and `block/blk-core.c:blk_errors`: refused before I/O, or failed in it.
  init(writeError errno: Errno, isFile: Bool) {
    switch errno {
    case .invalidArgument, .notSupportedOnSocket, .badFileDescriptor, .badAddress, .fileTooLarge,
      .notPermitted, .permissionDenied, .readOnlyFileSystem, .textFileBusy:
      self = .notWritten(SystemError(errno))
    // From a filesystem: no block was to be had. From a thin device: it may have begun.
    case .noSpace, .diskQuotaExceeded:
      self = isFile ? .notWritten(SystemError(errno)) : .outcomeUnknown(SystemError(errno))
    default:
      self = .outcomeUnknown(SystemError(errno))
    }
  }
}
