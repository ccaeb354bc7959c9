import Glibc
import LinuxIO
import SystemPackage

/// Memory that `O_DIRECT` accepts: page-aligned, owned, freed with its owner.
@safe public struct AlignedBuffer: ~Copyable {
  /// Bytes that belong to the payload.
  public let byteCount: Int

  /// Where the bytes begin; valid as long as the buffer.
  let base: UnsafeMutableRawPointer
  /// Who owns the memory where the buffer does not.
  let region: BufferRegion?
  private let piece: Int

  /// Zeroed memory for `byteCount` bytes. As elsewhere in Swift, the process ends where there is
  /// none; ``init(reserving:)`` does without.
  public init(byteCount: Int) {
    do throws(AtomicWriteError) {
      try self.init(reserving: byteCount)
    } catch {
      fatalError("no memory for \(byteCount) bytes")
    }
  }

  /// Zeroed memory for `byteCount` bytes.
  ///
  /// - Throws: ``AtomicWriteError/noResources(_:_:)``.
  public init(reserving byteCount: Int) throws(AtomicWriteError) {
    self.byteCount = byteCount
    region = nil
    piece = 0
    // SAFETY: so many bytes are allocated, and are freed with their owner.
    unsafe base = try PageMemory.allocate(byteCount)
  }

  /// A copy of bytes from elsewhere.
  public init(copying bytes: [UInt8]) {
    self.init(byteCount: bytes.count)
    // SAFETY: the memory has at least as many bytes.
    unsafe UnsafeMutableRawBufferPointer(start: base, count: byteCount).copyBytes(from: bytes)
  }

  /// A piece of a region that is registered with a ring, which the piece keeps alive.
  init(in region: BufferRegion, piece: Int) {
    byteCount = region.pieceByteCount
    // SAFETY: the region outlives the piece, which holds it.
    unsafe base = region.memory(ofPiece: piece)
    self.region = region
    self.piece = piece
  }

  deinit {
    if let region { return region.giveBack(piece) }
    // SAFETY: allocated in init, and nobody else has it.
    unsafe PageMemory.free(base, byteCount)
  }

  /// Lends the bytes for reading.
  public borrowing func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: the memory outlives the call.
    unsafe try body(UnsafeRawBufferPointer(start: base, count: byteCount))
  }

  /// Lends the bytes for writing.
  public mutating func withMutableBytes<Result, Failure: Error>(
    _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: the memory outlives the call, and `mutating` makes this the only access.
    unsafe try body(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
  }
}

/// Memory in equal pieces, which a queue lends and a ring has registered. One thread uses it.
@safe final class BufferRegion {
  let pieceByteCount: Int
  private let memory: UnsafeMutableRawBufferPointer
  private var free: [Int]
  private let strideBytes: Int

  /// - Throws: ``AtomicWriteError/noResources(_:_:)``.
  init(pieces: Int, pieceByteCount: Int) throws(AtomicWriteError) {
    self.pieceByteCount = pieceByteCount
    strideBytes = (max(pieceByteCount, 1) + 4095) / 4096 * 4096
    let (count, overflow) = strideBytes.multipliedReportingOverflow(by: pieces)
    // SAFETY: so many bytes are allocated, and are freed with their owner.
    unsafe memory = UnsafeMutableRawBufferPointer(
      start: try PageMemory.allocate(overflow ? .max : count),
      count: count
    )
    free = Array((0..<pieces).reversed())
  }

  deinit {
    // SAFETY: the last piece is back: each keeps the region alive.
    if let base = unsafe memory.baseAddress { unsafe PageMemory.free(base, memory.count) }
  }

  var bytes: UnsafeMutableRawBufferPointer { unsafe memory }

  func memory(ofPiece piece: Int) -> UnsafeMutableRawPointer {
    // SAFETY: within the region, as pieces are numbered below their count.
    unsafe memory.baseAddress.unsafelyUnwrapped + piece * strideBytes
  }

  func takeOne() -> AlignedBuffer? {
    free.popLast().map { AlignedBuffer(in: self, piece: $0) }
  }

  func giveBack(_ piece: Int) {
    free.append(piece)
  }
}

/// Zeroed memory at page borders.
enum PageMemory {
  /// As much as the largest page of any architecture: `stx_dio_mem_align` is never more.
  private static let alignmentBytes = 65_536
  /// From here on memory is taken from the machine as it is touched: of a long one often a part is.
  private static let mappedBytes = 4 << 20

  private static func mappedCount(_ byteCount: Int) -> UInt64? {
    guard byteCount >= mappedBytes else { return nil }
    let mask = UInt64(alignmentBytes - 1)
    return (UInt64(byteCount) + mask) & ~mask
  }

  /// The corresponding calls are `posix_memalign(3)` and `mmap(2)`.
  static func allocate(_ byteCount: Int) throws(AtomicWriteError) -> UnsafeMutableRawPointer {
    precondition(byteCount >= 0)
    if let count = mappedCount(byteCount) {
      do throws(Errno) {
        // SAFETY: so many bytes are mapped, all zero.
        return unsafe try HostProcess.mapMemory(
          byteCount: count,
          alignmentBytes: UInt64(alignmentBytes)
        )
      } catch {
        throw .noResources(.memory, SystemError(error))
      }
    }
    let count = max(byteCount, 1)
    var memory: UnsafeMutableRawPointer?
    // SAFETY: the call stores memory of that size where it succeeds, which is initialised at once.
    let status = unsafe posix_memalign(&memory, alignmentBytes, count)
    guard status == 0, let memory = unsafe memory else {
      throw .noResources(.memory, SystemError(Errno(rawValue: status)))
    }
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    return unsafe memory
  }

  /// Frees what was allocated here, of that length.
  static func free(_ memory: UnsafeMutableRawPointer, _ byteCount: Int) {
    // SAFETY: the caller owns it, and it is of that length.
    if let count = mappedCount(byteCount) {
      unsafe HostProcess.unmapMemory(memory, byteCount: count)
    } else {
      unsafe Glibc.free(memory)
    }
  }
}
