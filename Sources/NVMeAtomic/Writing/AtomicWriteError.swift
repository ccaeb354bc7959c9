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
  /// Another transaction has read or staged some of this range, and has not ended.
  case conflict(offsetBytes: UInt64, lengthBytes: UInt64)
  /// The journal cannot be used, or not for this.
  case journal(JournalFailure)
  /// The planner says no.
  case refused(PlanRefusal)
  /// The planner lacks a fact.
  case missingFact(MissingFact)
  /// The promise would rest on an assumption, and only facts were wanted.
  case onlyAssumed(Assumption)
  /// Kernel or drive refused the write before any byte moved; nothing was written.
  case notWritten(FailureCause)
  /// Kernel or drive reported a failure: the range holds all old or all new bytes, nobody knows
  /// which, and after a plain write perhaps a mix.
  case outcomeUnknown(FailureCause)
  /// The kernel wrote less than asked, which an atomic write must never do and a plain one may.
  case shortWrite(writtenBytes: Int, requestedBytes: Int)
  /// A flush failed before: nobody knows what is durable, and the handle takes no more writes.
  case handleFailed
  /// An earlier write in this range ended with an unknown outcome: read it back first.
  case rangeUnknown
  /// The flush that should have made the write durable failed.
  case flushFailed(FailureCause)
  /// The range could not be read.
  case readFailed(FailureCause)
  /// The end of the file comes first: whatever was to be written there is not there.
  case endOfFile(sizeBytes: UInt64)
  /// As many writes are on their way as the queue has places; wait for one.
  case queueIsFull
  /// The system has none to give; nothing was written.
  case noResources(Resource, SystemError)

  /// What is known of the bytes on the target.
  public var outcome: Outcome {
    switch self {
    case .outcomeUnknown, .shortWrite, .flushFailed, .journal(.unplaced): .unknown
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

/// What writing needs besides the target.
public enum Resource: String, Sendable {
  /// A ring of io_uring.
  case ring
  /// Memory for what is to be written.
  case memory
  /// A thread.
  case thread
  /// A file descriptor.
  case descriptor
  /// A lock on a range of a file.
  case lock
}

/// Who reported a failure, and in what words.
public enum FailureCause: Hashable, Sendable, CustomStringConvertible {
  /// The kernel.
  case system(SystemError)
  /// The drive.
  case device(NVMeStatus)

  init(_ errno: Errno) {
    self = .system(SystemError(errno))
  }

  /// The system's or the specification's text for it.
  public var description: String {
    switch self {
    case .system(let error): error.description
    case .device(let status): status.description
    }
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
  /// Whether the kernel refused before any byte moved; whatever leaves a doubt is unknown.
  ///
  /// See `pwritev2(2)` and `block/blk-core.c:blk_errors`. With `RWF_DSYNC` on a file the error may
  /// come from the flush that follows the data (`generic_write_sync`), and ENOSPC, EDQUOT, EROFS
  /// and EOPNOTSUPP can: they are refusals only without it. A plain write may have several parts,
  /// and an error of the second one hides the first (`fs/iomap/direct-io.c:iomap_dio_complete`).
  init(writeError errno: Errno, isFile: Bool, isAtomic: Bool, isDurable: Bool) {
    switch errno {
    case .textFileBusy:
      self = .busy("it is in use as swap space or as a running program")
    case .badFileDescriptor, .fileTooLarge, .notPermitted, .permissionDenied:
      self = .notWritten(FailureCause(errno))
    case .invalidArgument, .badAddress:
      self = isAtomic ? .notWritten(FailureCause(errno)) : .outcomeUnknown(FailureCause(errno))
    case .notSupportedOnSocket, .noSpace, .diskQuotaExceeded:
      // From a block device: a command may have begun.
      self =
        isFile && isAtomic && !isDurable
        ? .notWritten(FailureCause(errno)) : .outcomeUnknown(FailureCause(errno))
    default:
      self = .outcomeUnknown(FailureCause(errno))
    }
  }

  /// Whether a command was refused before any byte moved.
  ///
  /// The driver checks and maps a command before it sends it (`drivers/nvme/host/ioctl.c`), and
  /// gives these then; EINTR, EIO and the like tell of a command that was on its way.
  init(commandError errno: Errno) {
    switch errno {
    case .invalidArgument, .badFileDescriptor, .badAddress, .notPermitted, .permissionDenied:
      self = .notWritten(FailureCause(errno))
    default:
      self = .outcomeUnknown(FailureCause(errno))
    }
  }

  /// What a drive's status for a write says of the bytes.
  init(status: NVMeStatus) {
    self = status.isRefusal ? .notWritten(.device(status)) : .outcomeUnknown(.device(status))
  }
}
