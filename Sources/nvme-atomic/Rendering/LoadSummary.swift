import Histogram
import NVMeAtomic

/// What a load did, in the figures that are printed.
struct LoadSummary {
  let plan: LoadPlan
  let result: LoadResult
  /// Who keeps each write whole; `nil` for plain writes.
  let promise: PathPromise?
  /// Whether flushes reach stable storage; `nil` where that is not known.
  let isFlushed: Bool?
  let path: WritePath
  let latency: Histogram<UInt64>
  /// `nil` where it is not known.
  let deviceBytes: UInt64?

  init(
    _ plan: LoadPlan,
    _ result: LoadResult,
    promise: PathPromise?,
    isFlushed: Bool?,
    path: WritePath,
    latency: Histogram<UInt64>,
    deviceBytes: UInt64?
  ) {
    self.plan = plan
    self.result = result
    self.promise = promise
    self.isFlushed = isFlushed
    self.path = path
    self.latency = latency
    // Nothing on the counter cannot be, where something was written.
    self.deviceBytes = deviceBytes == 0 && result.operations > 0 ? nil : deviceBytes
  }

  var bytes: UInt64 { result.operations * UInt64(plan.blockBytes) }
  var seconds: Double { Double(result.elapsedNanoseconds) / 1e9 }
  var iops: Double { seconds > 0 ? Double(result.operations) / seconds : 0 }
  var bytesPerSecond: Double { seconds > 0 ? Double(bytes) / seconds : 0 }
  var userSeconds: Double { Double(result.userNanoseconds) / 1e9 }
  var systemSeconds: Double { Double(result.systemNanoseconds) / 1e9 }

  /// Bytes at the device for each byte written; `nil` where it is not known.
  var writeAmplification: Double? {
    guard bytes > 0 else { return nil }
    return deviceBytes.map { Double($0) / Double(bytes) }
  }

  /// Whether the writes survive a power failure by now; `nil` where asked and not known.
  var isDurable: Bool? {
    // A journal's writes are durable whether or not that was asked for.
    if plan.durable == .none && path != .journal || result.operations == 0 { return false }
    return result.failure == nil ? isFlushed : nil
  }

  /// Nanoseconds; `nil` where nothing was written.
  func percentile(_ percent: Double) -> UInt64? {
    latency.totalCount == 0 ? nil : latency.valueAtPercentile(percent)
  }

  var longest: UInt64? { latency.totalCount == 0 ? nil : latency.maxRecorded }
}
