import Histogram
import NVMeAtomic
import Synchronization

/// Latencies of one thread, to three significant digits, in nanoseconds.
final class LatencyHistogram: Sendable {
  /// One hour; what takes longer counts as that.
  private static let most: UInt64 = 3_600_000_000_000

  private let histogram = Mutex(
    Histogram<UInt64>(highestTrackableValue: most, numberOfSignificantValueDigits: .three)
  )

  /// Takes latencies from the thread that measured them.
  var sink: LoadRun.Sink {
    { latencies in
      self.histogram.withLock { histogram in
        for index in latencies.indices { histogram.record(min(latencies[index], Self.most)) }
      }
    }
  }

  static func merged(_ all: [LatencyHistogram]) -> Histogram<UInt64> {
    var merged = Histogram<UInt64>(
      highestTrackableValue: most,
      numberOfSignificantValueDigits: .three
    )
    for one in all { one.histogram.withLock { merged.add($0) } }
    return merged
  }
}
