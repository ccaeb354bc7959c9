import SystemPackage
import Testing

@testable import NVMeAtomic

/// Which error numbers prove that nothing was written. Any other leaves old or new bytes.
@Suite struct AtomicWriteErrorTests {
  /// Refused before any I/O, whatever the target. `pwritev2(2)`.
  private static let refused: [Errno] = [
    .invalidArgument, .badFileDescriptor, .badAddress, .fileTooLarge, .notPermitted,
    .permissionDenied,
  ]

  /// Refused by a filesystem, unless a flush that follows the data says so; from a device a
  /// command may have begun.
  private static let ambiguous: [Errno] = [.notSupportedOnSocket, .noSpace, .diskQuotaExceeded]

  private static let busy: Errno = .textFileBusy

  private static func error(
    _ errno: Errno,
    _ isFile: Bool,
    _ isDurable: Bool,
    isAtomic: Bool = true
  ) -> AtomicWriteError {
    AtomicWriteError(
      writeError: errno,
      isFile: isFile,
      isAtomic: isAtomic,
      isDurable: isDurable
    )
  }

  @Test(arguments: refused)
  func refusalWroteNothing(errno: Errno) {
    for (isFile, isDurable) in [(false, false), (false, true), (true, false), (true, true)] {
      let error = Self.error(errno, isFile, isDurable)
      #expect(error == .notWritten(FailureCause(errno)))
      #expect(error.outcome == .notWritten)
    }
  }

  @Test(arguments: ambiguous)
  func lackOfSpaceIsCertainOnAFileWithoutFlush(errno: Errno) {
    #expect(Self.error(errno, true, false) == .notWritten(FailureCause(errno)))
    #expect(Self.error(errno, true, true) == .outcomeUnknown(FailureCause(errno)))
    #expect(Self.error(errno, false, false) == .outcomeUnknown(FailureCause(errno)))
    #expect(Self.error(errno, false, true) == .outcomeUnknown(FailureCause(errno)))
  }

  /// One part may be written when the next one fails.
  @Test(arguments: (1...200).map { Errno(rawValue: $0) }.filter { $0 != busy })
  func aPlainWriteIsRefusedBeforeTheFirstPartOnly(errno: Errno) {
    let isRefusal =
      [.badFileDescriptor, .fileTooLarge, .notPermitted, .permissionDenied].contains(errno)
    for (isFile, isDurable) in [(false, false), (false, true), (true, false), (true, true)] {
      let error = Self.error(errno, isFile, isDurable, isAtomic: false)
      #expect(error.outcome == (isRefusal ? .notWritten : .unknown))
    }
  }

  @Test func swapSpaceIsBusy() {
    guard case .busy = Self.error(Self.busy, false, true) else {
      Issue.record("ETXTBSY is not busy.")
      return
    }
  }

  /// EIO, ENODEV, ENXIO, ETIMEDOUT, EINTR, ENOLINK, EREMOTEIO and all that is yet to come.
  @Test(
    arguments: (1...200).map { Errno(rawValue: $0) }.filter {
      !refused.contains($0) && !ambiguous.contains($0) && $0 != busy
    }
  )
  func anyOtherErrorLeavesTheOutcomeUnknown(errno: Errno) {
    for (isFile, isDurable) in [(false, false), (false, true), (true, false), (true, true)] {
      let error = Self.error(errno, isFile, isDurable)
      #expect(error == .outcomeUnknown(FailureCause(errno)))
      #expect(error.outcome == .unknown)
    }
  }

  @Test(
    arguments: [
      (.target(ProbeError(code: .io, message: "", remedy: "")), .notWritten),
      (.busy(""), .notWritten), (.existingData(signature: ""), .notWritten),
      (.targetChanged, .notWritten), (.refused(.empty), .notWritten),
      (.missingFact(.statx), .notWritten),
      (.onlyAssumed(.volatileCacheKeepsWritesWhole), .notWritten),
      (.notWritten(FailureCause(.ioError)), .notWritten), (.handleFailed, .notWritten),
      (.outcomeUnknown(FailureCause(.invalidArgument)), .unknown),
      (.shortWrite(writtenBytes: 512, requestedBytes: 4096), .unknown),
      (.shortWrite(writtenBytes: 0, requestedBytes: 4096), .unknown),
      (.noResources(.memory, SystemError(.noMemory)), .notWritten),
      (.endOfFile(sizeBytes: 0), .notWritten), (.flushFailed(FailureCause(.ioError)), .unknown),
    ] as [(AtomicWriteError, AtomicWriteError.Outcome)]
  )
  func everyErrorHasItsOutcome(error: AtomicWriteError, outcome: AtomicWriteError.Outcome) {
    #expect(error.outcome == outcome)
  }

  /// The driver gives these before it sends a command; any other may tell of one on its way.
  @Test(arguments: (1...200).map { Errno(rawValue: $0) })
  func onlyARefusedCommandWroteNothing(errno: Errno) {
    let refused: [Errno] = [
      .invalidArgument, .badFileDescriptor, .badAddress, .notPermitted, .permissionDenied,
    ]
    let error = AtomicWriteError(commandError: errno)
    #expect(error.outcome == (refused.contains(errno) ? .notWritten : .unknown))
  }

  /// Every status there can be: a drive that failed in the middle must never pass for a refusal.
  @Test func onlyAChecksStatusWroteNothing() {
    let refusals: Set<UInt16> = [
      0x001, 0x002, 0x00b, 0x015, 0x020, 0x080, 0x082, 0x083, 0x180, 0x182, 0x183,
    ]
    for raw in UInt16(1)...0x7fff {
      let status = NVMeStatus(raw: raw)
      let isRefusal = refusals.contains(raw & 0x7ff)
      #expect(status.isRefusal == isRefusal)
      #expect(AtomicWriteError(status: status).outcome == (isRefusal ? .notWritten : .unknown))
      #expect(status.doNotRetry == (raw & 0x4000 != 0))
    }
  }

  @Test(
    arguments: [
      (0x280, "NVMe status 0x280 (Write Fault)"),
      (0x4002, "NVMe status 0x2 (Invalid Field in Command), do not retry"),
      (0x2083, "NVMe status 0x83 (Reservation Conflict)"),
      (0x183, "NVMe status 0x183 (Command Size Limit Exceeded)"),
    ] as [(UInt16, String)]
  )
  func statusesHaveWords(raw: UInt16, text: String) {
    #expect(NVMeStatus(raw: raw).description == text)
    #expect(FailureCause.device(NVMeStatus(raw: raw)).description == text)
  }

  @Test func systemErrorKeepsTheNumberAndItsText() {
    #expect(SystemError(.ioError).code == 5)
    #expect(SystemError(.ioError).description == "Input/output error")
  }

  /// The words are part of the contract.
  @Test func outcomesAreSpelledAsDocumented() {
    #expect(AtomicWriteError.Outcome.notWritten.rawValue == "not-written")
    #expect(AtomicWriteError.Outcome.unknown.rawValue == "unknown")
  }
}
