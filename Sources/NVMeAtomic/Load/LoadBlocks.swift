import LinuxIO

/// Where one thread's writes go, and what they hold.
struct LoadBlocks {
  /// Bytes between two stamps.
  static let stampDistance = 4096

  private let blockBytes: Int
  /// Where the thread's first block begins.
  private let firstBytes: UInt64
  /// Blocks of the thread's own.
  private let count: UInt64
  private let isRandom: Bool
  private let stride: UInt64
  private var random: SplitMix64
  private var place: UInt64
  private var sequence: UInt64

  init(_ plan: LoadPlan, thread: Int) {
    blockBytes = plan.blockBytes
    let blocks = plan.blocks(ofThread: thread)
    firstBytes = plan.offsetBytes + blocks.lowerBound * UInt64(plan.blockBytes)
    count = blocks.upperBound - blocks.lowerBound
    isRandom = plan.pattern == .random
    stride = UInt64(plan.threads)
    // Threads of one seed go different ways.
    random = SplitMix64(plan.seed &+ UInt64(thread) &* 0x2545_f491_4f6c_dd1d)
    place = 0
    sequence = UInt64(thread)
  }

  /// Where the next write goes; never beyond the target, where offsets were multiplied once.
  @inline(always)
  mutating func next() -> UInt64 {
    if isRandom { return firstBytes &+ random.below(count) &* UInt64(blockBytes) }
    defer { place = place + 1 == count ? 0 : place + 1 }
    return firstBytes &+ place &* UInt64(blockBytes)
  }

  /// Marks every 4096 bytes, or the whole of a smaller block, with the number of the write and the
  /// place of the mark: 64 bits each, least significant byte first.
  @inline(always)
  mutating func stamp(_ memory: UnsafeMutableRawPointer, at offset: UInt64) {
    let number = sequence.littleEndian
    sequence &+= stride
    var start = 0
    while start < blockBytes {
      let place = (offset &+ UInt64(truncatingIfNeeded: start)).littleEndian
      // SAFETY: a block has at least 512 bytes, and a stamp begins at a multiple of 4096.
      unsafe (memory + start).storeBytes(of: number, as: UInt64.self)
      unsafe (memory + start + 8).storeBytes(of: place, as: UInt64.self)
      start &+= Self.stampDistance
    }
  }

  /// What lies between the stamps: no zeros, which a drive might not write.
  static func fill(_ memory: UnsafeMutableRawBufferPointer, seed: UInt64) {
    precondition(memory.count % 8 == 0)
    var random = SplitMix64(seed)
    // SAFETY: the memory is the caller's, and each place has eight bytes in it.
    for place in Swift.stride(from: 0, to: memory.count, by: 8) {
      unsafe memory.storeBytes(of: random.next(), toByteOffset: place, as: UInt64.self)
    }
  }
}
