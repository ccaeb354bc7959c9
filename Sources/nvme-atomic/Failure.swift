import ArgumentParser
import NVMeAtomic
import SystemPackage

/// A failure as one line for people and as a document for programs.
struct Failure: Error {
  var target: String
  var code: ErrorCode
  var message: String
  var remedy: String
  var outcome: AtomicWriteError.Outcome

  /// What was wrong and what to do next.
  var line: String { "nvme-atomic: \(target): \(message); \(remedy)" }

  var exitCode: ExitCode {
    outcome == .unknown ? ExitStatus.unknownOutcome : ExitStatus.notDone
  }

  func document(format: String) -> JSONValue {
    .object(["format": .string(format), "error": error])
  }

  /// The failure alone.
  var error: JSONValue {
    .object([
      "code": .string(code.rawValue), "message": .string("\(target): \(message)"),
      "remedy": .string(remedy), "outcome": .string(outcome.rawValue),
    ])
  }
}

extension Failure {
  init(_ error: AtomicWriteError, target: String, path: WritePath = .kernel) {
    let (code, message, remedy) = Self.words(error, target, path)
    self.init(
      target: target,
      code: code,
      message: message,
      remedy: remedy,
      outcome: error.outcome
    )
  }

  /// What to do about a write that was refused while others were done; `nil` for what is said of
  /// it anyway.
  static func remedyOfLoad(_ error: AtomicWriteError) -> String? {
    guard case .notWritten(let cause) = error else { return nil }
    return cause.remedy
  }

  private static func words(
    _ error: AtomicWriteError,
    _ target: String,
    _ path: WritePath
  ) -> (ErrorCode, String, String) {
    // Nobody keeps a plain write whole.
    let readBack =
      path == .plain
      ? "read the range back: it may hold a mix of old and new"
      : "read the range back: it is all old or all new"
    return switch error {
    case .target(let error): (error.code, error.message, error.remedy)
    case .busy(let user): (.busy, "in use: \(user)", "unmount it, or end its other user")
    case .existingData(let signature):
      (
        .refused, "it carries a \(signature) signature",
        "pass --overwrite-existing-data to destroy what is there"
      )
    case .targetChanged:
      (.conflict, "it is no longer what was probed", "run the command again")
    case .conflict(let offset, let length):
      (
        .conflict, "another transaction has some of \(ByteText(length)) at \(offset)",
        "nothing was written; run the command again when it has ended"
      )
    case .refused(let refusal): refusalWords(refusal, target)
    case .journal(let failure): journalWords(failure, target)
    case .missingFact(.remote(let transport)):
      (
        .refused, MissingFact.remote(transport: transport).description,
        "pass --allow-shared to take its word, if no other host writes there"
      )
    case .missingFact(let fact):
      (.unsupported, fact.description, "nvme-atomic probe \(target) shows what is known")
    case .onlyAssumed(.volatileCacheKeepsWritesWhole):
      (
        .refused, Assumption.volatileCacheKeepsWritesWhole.description,
        "use --durable each, or drop --strict"
      )
    case .onlyAssumed(let assumption):
      (.refused, assumption.description, "drop --strict to accept that")
    case .notWritten(let cause):
      (
        cause.code, "\(cause.who) refused the write: \(cause)",
        "nothing was written; \(cause.remedy)"
      )
    case .outcomeUnknown(let cause):
      (cause.code, "the write failed: \(cause)", readBack)
    case .shortWrite(let written, let requested):
      (
        .io, "the kernel wrote \(written) of \(requested) bytes",
        path == .plain ? readBack : "read the range back, and report a kernel bug"
      )
    case .noResources(let resource, let error):
      (
        .io, "no \(resource.rawValue) to be had: \(error)",
        "nothing was written; \(resource.remedy)"
      )
    case .endOfFile(let size):
      (.io, "the file ends at \(size)", "read what is there")
    case .handleFailed:
      (
        .io, "a flush failed before, or too many writes",
        "open it anew, and read everything back before writing again"
      )
    case .rangeUnknown:
      (.io, "an earlier write there failed", "read the range back before writing again")
    case .flushFailed(let cause):
      (cause.code, "the flush failed: \(cause)", readBack)
    case .readFailed(let cause):
      (cause.code, "the range could not be read: \(cause)", "check the kernel log")
    case .queueIsFull: (.busy, "the queue is full", "wait for a write to end")
    }
  }

  private static func journalWords(
    _ failure: JournalFailure,
    _ target: String
  ) -> (ErrorCode, String, String) {
    let isDevice = target.hasPrefix("/dev/")
    let recover =
      "nvme-atomic recover \(target)"
      + (isDevice ? ", with the same --journal or --journal-region" : "")
    return switch failure {
    case .unnamed:
      (
        .refused, "nothing tells where the journal of a block device is",
        "name it by --journal FILE or --journal-region OFFSET:LENGTH"
      )
    case .missing(let path):
      (
        .refused, "it belongs to the journal \(path), which is not there",
        isDevice
          ? "bring that back; nvme-atomic journal init \(target) --journal \(path) makes a new one"
          : "bring that back, or name it by --journal; if it is lost and was closed, "
            + "setfattr -x user.nvme-atomic \(target)"
      )
    case .foreign(let clause):
      (
        .refused, "the journal is not used: \(clause)",
        isDevice
          ? "name the right one by --journal or --journal-region"
          : "name the right one by --journal, or move away what is there; a copy that was made "
            + "while the journal was closed needs setfattr -x user.nvme-atomic \(target)"
      )
    case .exposed(let path):
      (
        .refused, "the journal \(path) is another user's, or open to more users than the target",
        "if it is known to be the target's, chown and chmod --reference=\(target) \(path); "
          + "it may have what is not in place yet"
      )
    case .indistinct(let clause):
      (
        .refused, "no journal can belong to it: \(clause)",
        isDevice ? "put a filesystem on it" : "put the file on XFS, ext4 or btrfs"
      )
    case .corrupt(let clause):
      (
        .journalCorrupt, "the journal is damaged: \(clause)",
        "nothing was written; restore the target and its journal from a backup of both"
      )
    case .needsRecovery(let transactions):
      (
        .refused, "its journal has \(transactions) transactions that are not in place",
        recover
      )
    case .exceeds(let count, let limit):
      (
        .exceedsLimit,
        "the transaction takes \(ByteText(count)) of a journal with room for \(ByteText(limit))",
        "commit less at once, or make a larger one by nvme-atomic journal init"
          + (isDevice ? "" : ", after journal drop")
      )
    case .unplaced(let cause):
      (
        cause.code, "what was committed is safe in the journal, and not in place: \(cause)",
        "\(cause.remedy), then \(recover)"
      )
    case .stopped(let cause):
      (
        cause.code, "an earlier transaction has failed: \(cause)",
        "this one was not written; \(cause.remedy), then \(recover)"
      )
    case .overlapsRegion(let offset, let length):
      (
        .refused, "the journal's region, \(ByteText(length)) at \(offset), is not for data",
        "write before or behind it; a load keeps to its --range"
      )
    case .place(let clause): (.refused, clause, "nvme-atomic journal init --help")
    }
  }

  private static func refusalWords(
    _ refusal: PlanRefusal,
    _ target: String
  ) -> (ErrorCode, String, String) {
    let message = refusal.description
    return switch refusal {
    case .kernelOffersNone, .notWritable, .noDrive, .noDirectIO, .obstacle, .metadataFormat:
      (.unsupported, message, "nvme-atomic probe \(target) says why")
    case .inUse: (.busy, "in use: \(message)", "unmount it, or end its other user")
    case .shared:
      (.refused, message, "pass --allow-shared if no other host writes there")
    case .empty: (.refused, message, "give an input of at least one byte")
    case .notPowerOfTwo: (.exceedsLimit, message, "RWF_ATOMIC takes 512, 1k, 2k, 4k and so on")
    case .misaligned(_, let alignment):
      (.exceedsLimit, message, "write at a multiple of \(ByteText(alignment))")
    case .belowMinimum(_, let minimum):
      (.exceedsLimit, message, "write at least \(ByteText(minimum))")
    case .exceedsKernelLimit(_, let limit), .exceedsPowerFailLimit(_, let limit),
      .exceedsTransferLimit(_, let limit), .exceedsNormalLimit(_, let limit):
      (.exceedsLimit, message, "write at most \(ByteText(limit)) at once")
    case .exceedsFileSizeLimit: (.refused, message, "raise it with ulimit -f")
    case .journalNotKept:
      (.unsupported, message, "mount it with barrier=1, and give it a journal by tune2fs -j")
    case .cacheNeverFlushed:
      (
        .unsupported, message,
        "echo 'write back' into the disk's queue/write_cache, or use --durable none"
      )
    default: (.exceedsLimit, message, "nvme-atomic probe \(target) shows the limits")
    }
  }
}

extension FailureCause {
  fileprivate var code: ErrorCode {
    if case .device = self { .deviceStatus } else { .io }
  }

  fileprivate var remedy: String {
    guard case .system(let error) = self else { return "check the kernel log" }
    return switch Errno(rawValue: error.code) {
    case .noSpace, .diskQuotaExceeded: "free some space"
    case .fileTooLarge: "no file there may be that long: write before that, or raise ulimit -f"
    default: "check the kernel log"
    }
  }

  fileprivate var who: String {
    if case .device = self { "the drive" } else { "the kernel" }
  }
}

extension Resource {
  fileprivate var remedy: String {
    switch self {
    case .ring: "raise ulimit -n and -l, use fewer threads, or see kernel.io_uring_disabled"
    case .memory: "raise ulimit -v, or use a smaller --block-size, --queue-depth or --threads"
    case .thread: "raise ulimit -u and -v, or use fewer threads"
    case .descriptor: "raise ulimit -n"
    case .lock: "write fewer ranges at once"
    }
  }
}
