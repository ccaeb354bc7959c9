/// The buffers of writes that are on their way, by place.
@safe struct InFlightBuffers: ~Copyable {
  /// What is known of the write in a place.
  @safe struct Place {
    /// Where its bytes are; `nil` while nobody has the place.
    var memory: UnsafeMutableRawPointer?
    var tag: UInt64 = 0
  }

  /// Initialised where the place has memory.
  private let buffers: UnsafeMutablePointer<AlignedBuffer>
  private var places: FixedArray<Place>

  init(places count: Int) {
    // SAFETY: freed with the one owner.
    unsafe buffers = .allocate(capacity: count)
    places = FixedArray(repeating: Place(), count: count)
  }

  deinit {
    // SAFETY: those with memory are initialised, and nobody else has them.
    for place in 0..<places.count where unsafe places[place].memory != nil {
      unsafe (buffers + place).deinitialize(count: 1)
    }
    unsafe buffers.deallocate()
  }

  mutating func put(_ buffer: consuming AlignedBuffer, _ tag: UInt64, at place: Int) {
    // SAFETY: the memory is used as long as the buffer is in its place.
    precondition(unsafe places[place].memory == nil)
    unsafe places[place] = Place(memory: buffer.base, tag: tag)
    // SAFETY: the place exists, and nobody has it.
    unsafe (buffers + place).initialize(to: buffer)
  }

  subscript(place: Int) -> Place { places[place] }

  mutating func take(at place: Int) -> AlignedBuffer {
    // SAFETY: a place with memory has a buffer, which is the caller's from now on.
    precondition(unsafe places[place].memory != nil)
    unsafe places[place].memory = nil
    return unsafe (buffers + place).move()
  }
}
