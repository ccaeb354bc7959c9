import LinuxIO

/// What a logical block of `verify` says about itself, so that a block that is torn, stale,
/// misdirected or damaged is known without anything else being remembered.
///
/// 64 bytes, least significant byte first: eight of ``magic``, the run, the sequence, the block's
/// own offset and its write's offset (64 bits each), the write's length and the writer (32 bits
/// each), and the XXH3-128 of the whole block with zeros in its place. The rest of a block is
/// pseudo-random, by its stamp: no two blocks of two writes are alike anywhere.
package struct BlockStamp: Hashable, Sendable {
  /// `nvatomV1`
  static let magic: UInt64 = 0x3156_6d6f_7461_766e
  static let byteCount = 64
  private static let checksumPlace = 48

  /// Which run wrote it: chance decides, so that what an earlier run left is not taken for its own.
  package var run: UInt64
  /// Which write, or which transaction, of the run; from 1, and rising in each place.
  package var sequence: UInt64
  /// Where the block belongs, in bytes.
  package var blockOffset: UInt64
  /// Where its write, or this range of its transaction, begins, in bytes.
  package var writeOffset: UInt64
  /// How long that is.
  package var writeBytes: UInt32
  /// Who wrote it, from 0.
  package var writer: UInt32

  package init(
    run: UInt64,
    sequence: UInt64,
    blockOffset: UInt64,
    writeOffset: UInt64,
    writeBytes: UInt32,
    writer: UInt32 = 0
  ) {
    self.run = run
    self.sequence = sequence
    self.blockOffset = blockOffset
    self.writeOffset = writeOffset
    self.writeBytes = writeBytes
    self.writer = writer
  }

  /// What a block was found to hold.
  package enum Reading: Hashable, Sendable {
    /// All zeros.
    case blank
    case stamped(BlockStamp)
    /// No stamp, or one that its block does not agree with.
    case damaged
  }

  /// Makes a whole block say this.
  ///
  /// - Parameter block: Its memory, borrowed; a multiple of 64 bytes.
  package func fill(_ block: UnsafeMutableRawBufferPointer) {
    precondition(block.count >= Self.byteCount && block.count % 8 == 0)
    // SAFETY: the memory is the caller's, for the time of the call.
    let bytes = unsafe JournalBytes(block)
    bytes.put(Self.magic, at: 0)
    bytes.put(run, at: 8)
    bytes.put(sequence, at: 16)
    bytes.put(blockOffset, at: 24)
    bytes.put(writeOffset, at: 32)
    bytes.put(writeBytes, at: 40)
    bytes.put(writer, at: 44)
    var random = SplitMix64(run ^ sequence &* 0x9e37_79b9_7f4a_7c15 ^ blockOffset)
    for place in stride(from: Self.byteCount, to: block.count, by: 8) {
      bytes.put(random.next(), at: place)
    }
    Self.put(UInt64(0), UInt64(0), in: bytes)
    let checksum = bytes.checksum
    Self.put(checksum.low, checksum.high, in: bytes)
  }

  /// What a whole block says.
  ///
  /// - Parameter block: Its memory, borrowed; the place of the checksum is written, and restored.
  /// - Returns: Whether it has a stamp, and which.
  package static func read(_ block: UnsafeMutableRawBufferPointer) -> Reading {
    precondition(block.count >= byteCount && block.count % 8 == 0)
    // SAFETY: the memory is the caller's, for the time of the call.
    let bytes = unsafe JournalBytes(block)
    guard bytes.number(at: 0) == magic else { return isBlank(bytes) ? .blank : .damaged }
    let low: UInt64 = bytes.number(at: checksumPlace)
    let high: UInt64 = bytes.number(at: checksumPlace + 8)
    put(UInt64(0), UInt64(0), in: bytes)
    let checksum = bytes.checksum
    put(low, high, in: bytes)
    guard checksum.low == low, checksum.high == high else { return .damaged }
    return .stamped(
      BlockStamp(
        run: bytes.number(at: 8),
        sequence: bytes.number(at: 16),
        blockOffset: bytes.number(at: 24),
        writeOffset: bytes.number(at: 32),
        writeBytes: bytes.number(at: 40),
        writer: bytes.number(at: 44)
      )
    )
  }

  private static func put(_ low: UInt64, _ high: UInt64, in bytes: JournalBytes) {
    bytes.put(low, at: checksumPlace)
    bytes.put(high, at: checksumPlace + 8)
  }

  private static func isBlank(_ bytes: JournalBytes) -> Bool {
    stride(from: 0, to: bytes.count, by: 8).allSatisfy { bytes.number(at: $0) == UInt64(0) }
  }
}

/// Writes into, and judgements of, a range that one write covers, block by block.
package enum StampedRange {
  /// What a range that is only ever written whole was found to hold.
  package enum Verdict: Hashable, Sendable {
    /// Never written: all blocks are blank.
    case blank
    /// All blocks are of this write; the stamp is the first block's.
    case whole(BlockStamp)
    /// Blocks of at least two writes, or some that were never written; in the order of the blocks.
    case torn([BlockStamp.Reading])
    /// A block of another place, length or run, or one that no write left so.
    case wrong(block: Int, BlockStamp.Reading)
  }

  /// Fills all blocks of one write.
  ///
  /// - Parameters:
  ///   - memory: That of all blocks, borrowed.
  ///   - blockBytes: The length of each.
  ///   - stamp: That of the first block; those of the others have their own offsets.
  package static func fill(
    _ memory: UnsafeMutableRawBufferPointer,
    blockBytes: Int,
    _ stamp: BlockStamp
  ) {
    for start in stride(from: 0, to: memory.count, by: blockBytes) {
      var stamp = stamp
      stamp.blockOffset = stamp.writeOffset + UInt64(start)
      // SAFETY: the subscript checks the bounds.
      unsafe stamp.fill(UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + blockBytes]))
    }
  }

  /// What all blocks of a range say together.
  ///
  /// - Parameters:
  ///   - memory: What was read, borrowed; a multiple of `blockBytes`.
  ///   - blockBytes: The length of a block.
  ///   - offset: Where it was read from, in bytes.
  ///   - run: The run that may have written there, and no other.
  ///   - write: The range that is only ever written whole, where what was read is a part of it.
  /// - Returns: The one write that they are all of, or what they are instead.
  package static func judge(
    _ memory: UnsafeMutableRawBufferPointer,
    blockBytes: Int,
    at offset: UInt64,
    run: UInt64,
    partOf write: Range<UInt64>? = nil
  ) -> Verdict {
    let write = write ?? offset..<offset + UInt64(memory.count)
    var readings: [BlockStamp.Reading] = []
    for start in stride(from: 0, to: memory.count, by: blockBytes) {
      // SAFETY: the subscript checks the bounds.
      let reading = unsafe BlockStamp.read(
        UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + blockBytes])
      )
      guard belongs(reading, at: offset + UInt64(start), of: write, run) else {
        return .wrong(block: start / blockBytes, reading)
      }
      readings.append(reading)
    }
    guard let first = readings.first else { return .blank }
    guard case .stamped(let stamp) = first else {
      return readings.allSatisfy { $0 == .blank } ? .blank : .torn(readings)
    }
    let isWhole = readings.allSatisfy { reading in
      guard case .stamped(let other) = reading else { return false }
      return other.sequence == stamp.sequence && other.writer == stamp.writer
    }
    return isWhole ? .whole(stamp) : .torn(readings)
  }

  private static func belongs(
    _ reading: BlockStamp.Reading,
    at blockOffset: UInt64,
    of write: Range<UInt64>,
    _ run: UInt64
  ) -> Bool {
    switch reading {
    case .blank: true
    case .damaged: false
    case .stamped(let stamp):
      stamp.run == run && stamp.blockOffset == blockOffset
        && stamp.writeOffset == write.lowerBound && stamp.writeBytes == write.count
    }
  }
}
