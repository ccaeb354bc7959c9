/// The buffers of writes that are on their way, by place.
@safe struct InFlightBuffers: ~Copyable {
  struct Place: ~Copyable {
    var buffer: AlignedBuffer
    var tag: UInt64
    var offsetBytes: UInt64
  }

  private let places: UnsafeMutableBufferPointer<Place?>

  init(places count: Int) {
    // SAFETY: every place is initialised at once, and freed with the one owner.
    unsafe places = .allocate(capacity: count)
    for index in 0..<count { unsafe places.initializeElement(at: index, to: nil) }
  }

  deinit {
    // SAFETY: every place is initialised, and nobody else has them.
    unsafe places.deinitialize()
    unsafe places.deallocate()
  }

  mutating func put(
    _ buffer: consuming AlignedBuffer,
    _ tag: UInt64,
    _ offset: UInt64,
    at place: Int
  ) {
    // SAFETY: places are numbered as the engine's slots are.
    unsafe places[place] = Place(buffer: buffer, tag: tag, offsetBytes: offset)
  }

  /// Where the bytes of a write are; it stays in its place.
  func memory(at place: Int) -> UnsafeMutableRawPointer {
    // SAFETY: as below, and nobody takes it meanwhile.
    guard let memory = unsafe places[place]?.buffer.base else { preconditionFailure() }
    return unsafe memory
  }

  /// Moves a write that stays in its place.
  mutating func setOffset(_ offset: UInt64, at place: Int) {
    // SAFETY: as below.
    unsafe places[place]?.offsetBytes = offset
  }

  func offset(at place: Int) -> UInt64 {
    // SAFETY: as below.
    unsafe places[place]?.offsetBytes ?? 0
  }

  func byteCount(at place: Int) -> Int {
    // SAFETY: as below.
    unsafe places[place]?.buffer.byteCount ?? 0
  }

  mutating func take(at place: Int) -> Place {
    // SAFETY: the engine tells of a slot once after each write that was begun in it.
    guard let taken = unsafe places[place].take() else { preconditionFailure() }
    return taken
  }
}
