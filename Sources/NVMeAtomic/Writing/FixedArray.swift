/// As many elements as were asked for at first, in memory of its own: no copy, no reference count,
/// and no allocation later. Indices are checked.
@safe struct FixedArray<Element>: ~Copyable {
  private let elements: UnsafeMutablePointer<Element>
  let count: Int

  init(repeating element: Element, count: Int) {
    self.count = count
    // SAFETY: initialised at once, and freed with the one owner.
    unsafe elements = .allocate(capacity: count)
    unsafe elements.initialize(repeating: element, count: count)
  }

  deinit {
    // SAFETY: allocated in init, and nobody else has them.
    unsafe elements.deinitialize(count: count)
    unsafe elements.deallocate()
  }

  subscript(index: Int) -> Element {
    @inline(always)
    _read {
      check(index)
      // SAFETY: the index was checked.
      yield unsafe elements[index]
    }
    @inline(always)
    _modify {
      check(index)
      // SAFETY: the index was checked.
      yield unsafe &elements[index]
    }
  }

  /// The first elements, for reading.
  func withFirst(_ count: Int, _ body: (Span<Element>) -> Void) {
    precondition(count <= self.count)
    // SAFETY: as many are initialised, and outlive the call.
    unsafe body(Span(_unsafeStart: elements, count: count))
  }

  @inline(always)
  private func check(_ index: Int) {
    // Negative ones are large here.
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
  }
}
