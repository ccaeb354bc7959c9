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
