import LinuxIO

/// Where one thread's writes go, and what they hold.
struct LoadBlocks {
  /// Bytes between two stamps.
  static let stampDistance = 4096

  private let blockBytes: Int
  private let offsetBytes: UInt64
  private let blocks: Range<UInt64>
  private let isRandom: Bool
  private let stride: UInt64
  private var random: SplitMix64
  private var place: UInt64
  private var sequence: UInt64

  init(_ plan: LoadPlan, thread: Int) {
    blockBytes = plan.blockBytes
    offsetBytes = plan.offsetBytes
    blocks = plan.blocks(ofThread: thread)
    isRandom = plan.pattern == .random
    stride = UInt64(plan.threads)
    // Threads of one seed go different ways.
    random = SplitMix64(plan.seed &+ UInt64(thread) &* 0x2545_f491_4f6c_dd1d)
    place = blocks.lowerBound
    sequence = UInt64(thread)
  }

  /// Where the next write goes.
  mutating func next() -> UInt64 {
    if isRandom {
      place = blocks.lowerBound + random.below(blocks.upperBound - blocks.lowerBound)
      return offsetBytes + place * UInt64(blockBytes)
    }
    defer { place = place + 1 == blocks.upperBound ? blocks.lowerBound : place + 1 }
    return offsetBytes + place * UInt64(blockBytes)
  }

  /// Marks every 4096 bytes, or the whole of a smaller block, with the number of the write and the
  /// place of the mark: 64 bits each, least significant byte first.
  mutating func stamp(_ buffer: inout AlignedBuffer, at offset: UInt64) {
    let (number, count, distance) = (sequence, blockBytes, Self.stampDistance)
    sequence += stride
    // SAFETY: within the buffer, see below.
    unsafe buffer.withMutableBytes { bytes in
      for start in Swift.stride(from: 0, to: count, by: distance) {
        let place = offset + UInt64(start)
        // SAFETY: a block has at least 512 bytes, and a stamp begins at a multiple of 4096.
        unsafe bytes.storeBytes(of: number.littleEndian, toByteOffset: start, as: UInt64.self)
        unsafe bytes.storeBytes(of: place.littleEndian, toByteOffset: start + 8, as: UInt64.self)
      }
    }
  }

  /// What lies between the stamps: no zeros, which a drive might not write.
  static func fill(_ buffer: inout AlignedBuffer, seed: UInt64) {
    var random = SplitMix64(seed)
    // SAFETY: each index is the buffer's.
    unsafe buffer.withMutableBytes { bytes in
      for index in bytes.indices {
        unsafe bytes[index] = UInt8(truncatingIfNeeded: random.next())
      }
    }
  }
}
