/// Memory of one owner, lent piece by piece.
@safe final class AlignedMemory {
  private let memory: UnsafeMutableRawBufferPointer

  init(byteCount: Int) {
    // SAFETY: initialised at once, and freed with its owner.
    unsafe memory = .allocate(byteCount: byteCount, alignment: 4096)
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit {
    // SAFETY: nobody borrows a piece any more: each is used while its owner lives.
    unsafe memory.deallocate()
  }

  func piece(from start: Int, byteCount: Int) -> UnsafeMutableRawBufferPointer {
    // SAFETY: the subscript checks the bounds.
    unsafe UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + byteCount])
  }
}
