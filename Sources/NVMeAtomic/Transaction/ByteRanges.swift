/// A set of bytes, as ranges in ascending order that neither overlap nor touch.
package struct ByteRanges: Hashable, Sendable {
  package private(set) var all: [Range<UInt64>] = []

  package init() {}

  package var isEmpty: Bool { all.isEmpty }
  /// From the first byte to the last.
  package var hull: Range<UInt64>? {
    guard let first = all.first, let last = all.last else { return nil }
    return first.lowerBound..<last.upperBound
  }
  package var byteCount: UInt64 {
    all.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) }
  }

  /// Adds a range.
  ///
  /// - Complexity: O(log n) behind the last one, else O(n).
  package mutating func insert(_ range: Range<UInt64>) {
    if range.isEmpty { return }
    let begin = firstIndex { $0.upperBound >= range.lowerBound }
    var end = begin
    var joined = range
    while end < all.count, all[end].lowerBound <= range.upperBound {
      joined =
        min(
          joined.lowerBound,
          all[end].lowerBound
        )..<max(
          joined.upperBound,
          all[end].upperBound
        )
      end += 1
    }
    if end - begin == 1 {
      all[begin] = joined
    } else {
      all.replaceSubrange(begin..<end, with: CollectionOfOne(joined))
    }
  }

  package mutating func removeAll() {
    all.removeAll()
  }

  /// Whether all of a range is in the set.
  package func contains(_ range: Range<UInt64>) -> Bool {
    if range.isEmpty { return true }
    let index = firstIndex { $0.upperBound > range.lowerBound }
    return index < all.count && all[index].lowerBound <= range.lowerBound
      && all[index].upperBound >= range.upperBound
  }

  /// Whether any byte of a range is in the set.
  package func overlaps(_ range: Range<UInt64>) -> Bool {
    let index = firstIndex { $0.upperBound > range.lowerBound }
    return index < all.count && all[index].lowerBound < range.upperBound
  }

  /// The pieces of a range in ascending order, and whether each is in the set.
  package func pieces(of range: Range<UInt64>) -> [(range: Range<UInt64>, isIn: Bool)] {
    var pieces: [(range: Range<UInt64>, isIn: Bool)] = []
    var place = range.lowerBound
    var index = firstIndex { $0.upperBound > range.lowerBound }
    while place < range.upperBound {
      guard index < all.count, all[index].lowerBound < range.upperBound else {
        pieces.append((place..<range.upperBound, false))
        break
      }
      if place < all[index].lowerBound { pieces.append((place..<all[index].lowerBound, false)) }
      let begin = max(place, all[index].lowerBound)
      place = min(all[index].upperBound, range.upperBound)
      pieces.append((begin..<place, true))
      index += 1
    }
    return pieces
  }

  /// The set of whole units that the bytes lie in.
  package func rounded(toUnit unit: UInt64) -> ByteRanges {
    var rounded = ByteRanges()
    for range in all { rounded.insert(range.rounded(toUnit: unit)) }
    return rounded
  }

  /// The first range that a condition holds for, which holds for all behind it.
  private func firstIndex(where holds: (Range<UInt64>) -> Bool) -> Int {
    // What is written in ascending order is looked up at the end.
    if let last = all.last, !holds(last) { return all.count }
    var (low, high) = (0, all.count)
    while low < high {
      let middle = (low + high) / 2
      if holds(all[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

extension Range<UInt64> {
  /// The whole units that the range lies in.
  package func rounded(toUnit unit: UInt64) -> Range<UInt64> {
    let begin = lowerBound / unit * unit
    let (end, overflow) = upperBound.addingReportingOverflow(unit - 1)
    return begin..<(overflow ? .max : end / unit * unit)
  }
}
