/// Where the writes on their way begin and end, by slot.
struct WriteRanges: ~Copyable {
  struct Extent {
    var start: UInt64
    var end: UInt64

    /// A free slot touches nothing: it begins beyond every address and ends before.
    static var none: Extent { Extent(start: .max, end: 0) }
  }

  private var ranges: FixedArray<Extent>
  /// How many writes lie at a place, by the last bits of its number: where all writes are pages of
  /// one size, most find nobody near, and need not look at each other one by one.
  private var counts: FixedArray<UInt16>
  private let mask: UInt64
  /// The length of all writes so far, a power of two and at multiples of itself; 0: they differ.
  private var uniform = UInt64.max
  private var shift: UInt64 = 0

  init(slots: Int) {
    var places = 64
    while places < 128 * slots { places *= 2 }
    counts = FixedArray(repeating: 0, count: places)
    mask = UInt64(places - 1)
    ranges = FixedArray(repeating: .none, count: slots)
  }

  mutating func set(_ slot: Int, from start: UInt64, to end: UInt64) {
    let length = end - start
    if length != uniform || start & (length &- 1) != 0 { note(length, at: start) }
    ranges[slot] = Extent(start: start, end: end)
    counts[place(start)] &+= 1
  }

  @inline(always)
  mutating func clear(_ slot: Int) {
    let range = ranges[slot]
    if range.end == 0 { return }
    counts[place(range.start)] &-= 1
    ranges[slot] = .none
  }

  private func place(_ start: UInt64) -> Int {
    Int(truncatingIfNeeded: (start &>> shift) & mask)
  }

  /// The first length counts; what is otherwise ends the counting by places for good.
  @inline(never)
  private mutating func note(_ length: UInt64, at start: UInt64) {
    guard uniform == .max, length.isPowerOfTwo, start & (length &- 1) == 0 else {
      uniform = 0
      return
    }
    uniform = length
    shift = UInt64(length.trailingZeroBitCount)
  }

  /// Sets a write that certainly overlaps none and, where that matters, is a neighbour of none;
  /// whether it is such a one.
  @inline(always)
  mutating func setLonely(
    _ slot: Int,
    _ start: UInt64,
    _ end: UInt64,
    neighboursToo: Bool
  ) -> Bool {
    guard end &- start == uniform, start & (uniform &- 1) == 0 else { return false }
    let place = place(start)
    guard counts[place] == 0 else { return false }
    if neighboursToo, counts[self.place(end)] | counts[self.place(start &- uniform)] != 0 {
      return false
    }
    ranges[slot] = Extent(start: start, end: end)
    counts[place] = 1
    return true
  }

  func overlaps(_ slot: Int, from start: UInt64, to end: UInt64) -> Bool {
    ranges[slot].start < end && ranges[slot].end > start
  }

  func touches(_ slot: Int, from start: UInt64, to end: UInt64) -> Bool {
    ranges[slot].start <= end && ranges[slot].end >= start
  }
}
