/// Where the writes on their way begin and end, by slot.
struct WriteRanges: ~Copyable {
  private var starts: FixedArray<UInt64>
  private var ends: FixedArray<UInt64>
  /// How many writes lie at a place, by the last bits of its number: where all writes are pages of
  /// one size, most find nobody near, and need not look at each other one by one.
  private var counts: FixedArray<UInt16>
  private let mask: UInt64
  /// The length of all writes so far, a power of two and at multiples of itself; 0: they differ.
  private var uniform = UInt64.max
  private var shift: UInt64 = 0

  init(slots: Int) {
    var places = 64
    while places < 16 * slots { places *= 2 }
    counts = FixedArray(repeating: 0, count: places)
    mask = UInt64(places - 1)
    // A free slot touches nothing: it begins beyond every address and ends before.
    starts = FixedArray(repeating: .max, count: slots)
    ends = FixedArray(repeating: 0, count: slots)
  }

  mutating func set(_ slot: Int, from start: UInt64, to end: UInt64) {
    let length = end - start
    if length != uniform || start & (length &- 1) != 0 { note(length, at: start) }
    starts[slot] = start
    ends[slot] = end
    counts[place(start)] += 1
  }

  mutating func clear(_ slot: Int) {
    if ends[slot] == 0 { return }
    counts[place(starts[slot])] -= 1
    starts[slot] = .max
    ends[slot] = 0
  }

  private func place(_ start: UInt64) -> Int {
    Int(truncatingIfNeeded: (start >> shift) & mask)
  }

  /// The first length counts; what is otherwise ends the counting by places for good.
  private mutating func note(_ length: UInt64, at start: UInt64) {
    guard uniform == .max, length.isPowerOfTwo, start & (length &- 1) == 0 else {
      uniform = 0
      return
    }
    uniform = length
    shift = UInt64(length.trailingZeroBitCount)
  }

  /// Whether a write overlaps any, or is a neighbour of any.
  func touchesAny(from start: UInt64, to end: UInt64) -> Bool {
    if end - start == uniform, start & (uniform &- 1) == 0 {
      let near =
        counts[place(start)] | counts[place(end)] | counts[place(start &- uniform)]
      if near == 0 { return false }
    }
    for slot in 0..<starts.count where touches(slot, from: start, to: end) { return true }
    return false
  }

  func overlaps(_ slot: Int, from start: UInt64, to end: UInt64) -> Bool {
    starts[slot] < end && ends[slot] > start
  }

  func touches(_ slot: Int, from start: UInt64, to end: UInt64) -> Bool {
    starts[slot] <= end && ends[slot] >= start
  }
}
