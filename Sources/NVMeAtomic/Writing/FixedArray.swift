/// As many elements as were asked for at first, in memory of its own: no copy, no reference count,
/// and no allocation later. Indices are checked.
@safe struct FixedArray<Element>: ~Copyable {
  private let elements: UnsafeMutableBufferPointer<Element>

  init(repeating element: Element, count: Int) {
    // SAFETY: initialised at once, and freed with the one owner.
    unsafe elements = .allocate(capacity: count)
    unsafe elements.initialize(repeating: element)
  }

  deinit {
    // SAFETY: allocated in init, and nobody else has them.
    unsafe elements.deinitialize()
    unsafe elements.deallocate()
  }

  var count: Int { unsafe elements.count }

  subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count)
      // SAFETY: the index was checked.
      return unsafe elements[index]
    }
    set {
      precondition(index >= 0 && index < count)
      // SAFETY: the index was checked.
      unsafe elements[index] = newValue
    }
  }
}

/// Where the writes on their way begin and end, by slot.
struct WriteRanges: ~Copyable {
  private var starts: FixedArray<UInt64>
  private var ends: FixedArray<UInt64>

  init(slots: Int) {
    // A free slot touches nothing: it begins beyond every address and ends before.
    starts = FixedArray(repeating: .max, count: slots)
    ends = FixedArray(repeating: 0, count: slots)
  }

  mutating func set(_ slot: Int, from start: UInt64, to end: UInt64) {
    starts[slot] = start
    ends[slot] = end
  }

  mutating func clear(_ slot: Int) {
    set(slot, from: .max, to: 0)
  }

  /// Whether a write overlaps any, or is a neighbour of any.
  func touchesAny(from start: UInt64, to end: UInt64) -> Bool {
    var touches = false
    for slot in 0..<starts.count {
      // Both are looked at, so that nothing is predicted wrongly.
      let isBelow = starts[slot] <= end
      let isAbove = ends[slot] >= start
      touches = touches || (isBelow && isAbove)
    }
    return touches
  }

  func overlaps(_ slot: Int, from start: UInt64, to end: UInt64) -> Bool {
    starts[slot] < end && ends[slot] > start
  }

  func touches(_ slot: Int, from start: UInt64, to end: UInt64) -> Bool {
    starts[slot] <= end && ends[slot] >= start
  }
}
