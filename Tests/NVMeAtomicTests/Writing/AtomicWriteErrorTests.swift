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
    _ isDurable: Bool
  ) -> AtomicWriteError {
    AtomicWriteError(writeError: errno, isFile: isFile, isDurable: isDurable)
  }

  @Test(arguments: refused)
  func refusalWroteNothing(errno: Errno) {
    for (isFile, isDurable) in [(false, false), (false, true), (true, false), (true, true)] {
      let error = Self.error(errno, isFile, isDurable)
      #expect(error == .notWritten(SystemError(errno)))
      #expect(error.outcome == .notWritten)
    }
  }

  @Test(arguments: ambiguous)
  func lackOfSpaceIsCertainOnAFileWithoutFlush(errno: Errno) {
    #expect(Self.error(errno, true, false) == .notWritten(SystemError(errno)))
    #expect(Self.error(errno, true, true) == .outcomeUnknown(SystemError(errno)))
    #expect(Self.error(errno, false, false) == .outcomeUnknown(SystemError(errno)))
    #expect(Self.error(errno, false, true) == .outcomeUnknown(SystemError(errno)))
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
      #expect(error == .outcomeUnknown(SystemError(errno)))
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
      (.notWritten(SystemError(.ioError)), .notWritten), (.handleFailed, .notWritten),
      (.outcomeUnknown(SystemError(.invalidArgument)), .unknown),
      (.shortWrite(writtenBytes: 512, requestedBytes: 4096), .unknown),
      (.shortWrite(writtenBytes: 0, requestedBytes: 4096), .unknown),
    ] as [(AtomicWriteError, AtomicWriteError.Outcome)]
  )
  func everyErrorHasItsOutcome(error: AtomicWriteError, outcome: AtomicWriteError.Outcome) {
    #expect(error.outcome == outcome)
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
