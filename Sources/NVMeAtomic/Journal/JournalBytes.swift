import LinuxIO

/// Little-endian numbers in memory that somebody else keeps; every place is checked.
@safe struct JournalBytes {
  private let memory: UnsafeMutableRawBufferPointer

  /// The memory outlives this value.
  init(_ memory: UnsafeMutableRawBufferPointer) {
    // SAFETY: kept as it is; every access checks its place.
    unsafe self.memory = memory
  }

  var count: Int { unsafe memory.count }

  /// A part of it.
  subscript(range: Range<Int>) -> JournalBytes {
    // SAFETY: the subscript checks the bounds.
    unsafe JournalBytes(UnsafeMutableRawBufferPointer(rebasing: memory[range]))
  }

  func number<Number: FixedWidthInteger & BitwiseCopyable>(
    at place: Int,
    as type: Number.Type = Number.self
  ) -> Number {
    precondition(place >= 0 && place + MemoryLayout<Number>.size <= count)
    // SAFETY: the place was checked, and any bits are a number.
    return Number(littleEndian: unsafe memory.loadUnaligned(fromByteOffset: place, as: type))
  }

  func put(_ number: some FixedWidthInteger & BitwiseCopyable, at place: Int) {
    precondition(place >= 0 && place + number.bitWidth / 8 <= count)
    // SAFETY: the place was checked.
    unsafe memory.storeBytes(of: number.littleEndian, toByteOffset: place, as: type(of: number))
  }

  func put(_ text: String, at place: Int) {
    for (index, byte) in text.utf8.enumerated() { put(byte, at: place + index) }
  }

  func text(at place: Int, byteCount: Int) -> String? {
    guard place >= 0, byteCount >= 0, byteCount <= count - place else { return nil }
    let bytes = (place..<place + byteCount).map { number(at: $0, as: UInt8.self) }
    return String(validating: bytes, as: UTF8.self)
  }

  func clear() {
    // SAFETY: the memory is as long as it says.
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
  }

  /// XXH3, 128 bits, of all bytes.
  var checksum: JournalChecksum {
    // SAFETY: pointer and count are of one buffer.
    unsafe JournalChecksum(of: memory.baseAddress, memory.count)
  }
}

/// XXH3, 128 bits, by libxxhash: for accidents of the hardware, not against an adversary.
package struct JournalChecksum: Hashable, Sendable {
  var low: UInt64 = 0
  var high: UInt64 = 0

  init() {}

  init(of memory: UnsafeMutableRawPointer?, _ byteCount: Int) {
    // SAFETY: the caller lends so many bytes.
    (low, high) = unsafe PageChecksum.of(memory, byteCount)
  }
}
