import LinuxIO

/// Torn data made on purpose, in memory and on the target: who does not notice them is blind, and
/// finds nothing.
struct TearingSelfCheck<Access: TearingAccess & ~Copyable>: ~Copyable {
  private var access: Access
  private let run: UInt64
  private let blockBytes: Int
  /// Where and how long; of several blocks.
  private let range: Range<UInt64>

  /// Checks with writes of at least two blocks.
  init(_ access: consuming Access, run: UInt64, blockBytes: UInt64, _ range: Range<UInt64>) {
    self.access = access
    (self.run, self.blockBytes, self.range) = (run, Int(blockBytes), range)
  }

  private func stamp(_ sequence: UInt64) -> BlockStamp {
    BlockStamp(
      run: run,
      sequence: sequence,
      blockOffset: range.lowerBound,
      writeOffset: range.lowerBound,
      writeBytes: UInt32(range.count)
    )
  }

  private func buffer(_ sequence: UInt64) throws(AtomicWriteError) -> AlignedBuffer {
    var buffer = try AlignedBuffer(reserving: range.count)
    let (stamp, block) = (stamp(sequence), blockBytes)
    // SAFETY: the bytes are lent for the call.
    unsafe buffer.withMutableBytes { unsafe StampedRange.fill($0, blockBytes: block, stamp) }
    return buffer
  }

  private func judge(_ buffer: inout AlignedBuffer) -> StampedRange.Verdict {
    let (block, run, offset) = (blockBytes, run, range.lowerBound)
    // SAFETY: the bytes are lent for the call.
    return unsafe buffer.withMutableBytes {
      unsafe StampedRange.judge($0, blockBytes: block, at: offset, run: run)
    }
  }

  /// Whole data are found whole; with any one block of another write torn, and with any one that
  /// has a changed byte damaged.
  func inMemory() throws(AtomicWriteError) -> Bool {
    var old = try buffer(1)
    var new = try buffer(2)
    guard case .whole(let stamp) = judge(&old), stamp.sequence == 1 else { return false }
    // Each of the first ones, and then those about as far apart as there are before them.
    var block = 0
    while block < range.count / blockBytes {
      let bytes = block * blockBytes..<(block + 1) * blockBytes
      exchange(bytes, &old, &new)
      guard case .torn = judge(&old) else { return false }
      exchange(bytes, &old, &new)
      invert(bytes.lowerBound + blockBytes - 1, &old)
      guard judge(&old) == .wrong(block: block, .damaged) else { return false }
      invert(bytes.lowerBound + blockBytes - 1, &old)
      block += max(1, block / 4)
    }
    return judge(&old) == .whole(stamp)
  }

  private func exchange(
    _ bytes: Range<Int>,
    _ one: inout AlignedBuffer,
    _ other: inout AlignedBuffer
  ) {
    // SAFETY: both are lent for the call, and the subscripts check the bounds.
    unsafe one.withMutableBytes { one in
      unsafe other.withMutableBytes { other in
        for place in bytes {
          // SAFETY: as above.
          let byte = unsafe one[place]
          unsafe one[place] = other[place]
          unsafe other[place] = byte
        }
      }
    }
  }

  private func invert(_ place: Int, _ buffer: inout AlignedBuffer) {
    // SAFETY: the bytes are lent for the call, and the subscript checks the bounds.
    unsafe buffer.withMutableBytes { unsafe $0[place] = ~$0[place] }
  }

  /// A write of the path is read whole; when an ordinary one has put blocks of another over its
  /// second half, it is read torn.
  mutating func onTarget(alignmentBytes: UInt64) throws(AtomicWriteError) -> Bool? {
    let half = UInt64(range.count) / 2 / alignmentBytes * alignmentBytes
    guard half > 0 else { return nil }
    let offset = range.lowerBound
    let old = try buffer(1)
    var new = try buffer(2)
    var part = try AlignedBuffer(reserving: Int(half))
    try access.write(old, atBytes: offset, isOrdinary: false)
    var seen = try AlignedBuffer(reserving: range.count)
    try access.read(into: &seen, atBytes: offset)
    guard judge(&seen) == .whole(stamp(1)) else { return false }
    // SAFETY: both are lent for the call; the part is as long as the end of the whole.
    unsafe new.withMutableBytes { new in
      unsafe part.withMutableBytes { part in
        // SAFETY: as above.
        unsafe part.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: new[(new.count - part.count)...])
        )
      }
    }
    try access.write(part, atBytes: offset + UInt64(range.count) - half, isOrdinary: true)
    try access.read(into: &seen, atBytes: offset)
    if case .torn = judge(&seen) { return true }
    return false
  }
}
