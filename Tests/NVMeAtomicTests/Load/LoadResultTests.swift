import SystemPackage
import Testing

@testable import NVMeAtomic

/// Which of several failures a load tells of.
@Suite struct LoadResultTests {
  private static let failures: [AtomicWriteError] = [
    .notWritten(FailureCause(.noSpace)), .handleFailed, .outcomeUnknown(FailureCause(.ioError)),
    .flushFailed(FailureCause(.ioError)), .rangeUnknown,
  ]

  /// Every order of two and three: the first one of unknown outcome, else the first that is no
  /// consequence of another, else the first.
  @Test func anUnknownOutcomeIsNeverHidden() throws {
    for first in Self.failures {
      for second in Self.failures {
        for third in Self.failures {
          let all = [first, second, third]
          var result = LoadResult()
          for (place, error) in all.enumerated() { result.fail(error, atBytes: UInt64(place)) }
          let place =
            all.firstIndex { $0.outcome == .unknown }
            ?? all.firstIndex { $0 != .handleFailed && $0 != .rangeUnknown } ?? 0
          let told = try #require(result.failure)
          #expect(told.error == all[place])
          #expect(told.offsetBytes == UInt64(place))
        }
      }
    }
  }
}
