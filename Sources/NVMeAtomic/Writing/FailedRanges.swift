/// Ranges that a failed write left old or new, nobody knows which.
///
/// They take no write until they were read back: who writes there must know what is there.
struct FailedRanges {
  /// So many failures are no accident; the target is then closed for writing.
  static let most = 64

  private var ranges: [Range<UInt64>] = []
  /// Whether a flush failed, or too much else: nothing may be written any more.
  private(set) var isClosed = false
  /// Why a flush failed.
  private(set) var flushFailure: FailureCause?

  /// Whether the namespace is not what it was when the target was opened.
  private(set) var isChanged = false

  var isEmpty: Bool { ranges.isEmpty && !isClosed && !isChanged }

  mutating func add(_ range: Range<UInt64>) {
    if ranges.count == Self.most { isClosed = true } else { ranges.append(range) }
  }

  mutating func close(_ cause: FailureCause) {
    isClosed = true
    flushFailure = flushFailure ?? cause
  }

  mutating func change() { isChanged = true }

  func overlaps(_ range: Range<UInt64>) -> Bool {
    ranges.contains { $0.overlaps(range) }
  }

  /// What was read is known again.
  mutating func remove(_ known: Range<UInt64>) {
    ranges = ranges.flatMap { range -> [Range<UInt64>] in
      guard range.overlaps(known) else { return [range] }
      var rest: [Range<UInt64>] = []
      if range.lowerBound < known.lowerBound { rest.append(range.lowerBound..<known.lowerBound) }
      if known.upperBound < range.upperBound { rest.append(known.upperBound..<range.upperBound) }
      return rest
    }
  }
}
