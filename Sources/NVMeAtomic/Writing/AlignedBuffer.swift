/// Memory that `O_DIRECT` accepts: page-aligned, owned, freed with its owner.
@safe public struct AlignedBuffer: ~Copyable {
  /// Bytes that belong to the payload.
  public let byteCount: Int

  private let memory: UnsafeMutableRawBufferPointer

  /// As much as the largest page of any architecture: `stx_dio_mem_align` is never more.
  private static let alignmentBytes = 65_536

  /// Zeroed memory for `byteCount` bytes.
  public init(byteCount: Int) {
    precondition(byteCount >= 0)
    self.byteCount = byteCount
    // SAFETY: initialised at once, and freed by the one owner.
    unsafe memory = .allocate(byteCount: max(byteCount, 1), alignment: Self.alignmentBytes)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
  }

  /// A copy of bytes from elsewhere.
  public init(copying bytes: [UInt8]) {
    self.init(byteCount: bytes.count)
    // SAFETY: the memory has at least as many bytes.
    unsafe memory.copyBytes(from: bytes)
  }

  deinit {
    // SAFETY: allocated in init, and nobody else has it.
    unsafe memory.deallocate()
  }

  /// Lends the bytes for reading.
  public borrowing func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: the memory outlives the call.
    unsafe try body(UnsafeRawBufferPointer(rebasing: memory[..<byteCount]))
  }

  /// Lends the bytes for writing.
  public mutating func withMutableBytes<Result, Failure: Error>(
    _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // SAFETY: the memory outlives the call, and `mutating` makes this the only access.
    unsafe try body(UnsafeMutableRawBufferPointer(rebasing: memory[..<byteCount]))
  }
}
