/// The buffers of writes that are on their way, by place.
@safe struct InFlightBuffers: ~Copyable {
  private let places: UnsafeMutableBufferPointer<CompletedWrite?>

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
    unsafe places[place] = CompletedWrite(
      buffer: buffer,
      tag: tag,
      offsetBytes: offset,
      error: nil
    )
  }

  mutating func take(at place: Int) -> CompletedWrite {
    // SAFETY: the engine tells of a slot once after each write that was begun in it.
    guard let completed = unsafe places[place].take() else { preconditionFailure() }
    return completed
  }
}
