import CNVMeAtomic

/// XXH3, 128 bits, by libxxhash.
package enum PageChecksum {
  /// The lower and the upper half of the checksum of so many bytes.
  package static func of(
    _ memory: UnsafeMutableRawPointer?,
    _ byteCount: Int
  ) -> (low: UInt64, high: UInt64) {
    var halves: (UInt64, UInt64) = (0, 0)
    // SAFETY: the bytes are the caller's, and the shim stores two numbers.
    unsafe withUnsafeMutableBytes(of: &halves) { memoryOfHalves in
      unsafe nvmeatomic_checksum(
        memory,
        byteCount,
        memoryOfHalves.baseAddress?.assumingMemoryBound(to: UInt64.self)
      )
    }
    return (halves.0, halves.1)
  }
}
