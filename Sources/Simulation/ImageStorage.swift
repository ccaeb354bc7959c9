package import LinuxIO
package import SystemPackage

/// Bytes that storages read and write at once: what a power failure has left.
final class ImageMemory {
  var bytes: [UInt8] = []
  /// How much of it a file has; `nil` for a drive.
  var sizeBytes: Int?

  /// What a reader finds.
  var contents: [UInt8] { sizeBytes.map { Array(bytes[..<$0]) } ?? bytes }

  /// Leaves a file of that size: what lies beyond is lost.
  func cut(toBytes size: Int) {
    sizeBytes = size
    bytes.replaceSubrange(size..., with: repeatElement(0, count: bytes.count - size))
  }

  func grow(toBytes size: Int) {
    if let sizeBytes { self.sizeBytes = max(sizeBytes, size) }
  }
}

/// Carries operations out on an image, one by one, with nothing lost and nothing on its way.
@safe package struct ImageStorage: AtomicStorage, ~Copyable {
  private let image: ImageMemory
  private var told: [StorageCompletion] = []

  init(_ image: ImageMemory) { self.image = image }

  package var depth: Int { 4 }

  package mutating func push(_ operation: StorageOperation) {
    told.append(perform(operation))
  }

  package mutating func submit(waitingFor count: Int) throws(Errno) {}

  package mutating func next() -> StorageCompletion? {
    told.popLast()
  }

  package mutating func perform(_ operation: StorageOperation) -> StorageCompletion {
    let (start, count) = (Int(operation.offsetBytes), Int(operation.byteCount))
    if operation.kind != .flush {
      precondition(start >= 0 && start + count <= image.bytes.count)
      // SAFETY: the operation's memory has as many bytes, and the place was checked.
      unsafe image.bytes.withUnsafeMutableBytes { bytes in
        let there = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + count])
        let here = unsafe UnsafeMutableRawBufferPointer(start: operation.memory, count: count)
        if operation.kind == .read {
          unsafe here.copyMemory(from: UnsafeRawBufferPointer(there))
        } else {
          // SAFETY: as above.
          unsafe there.copyMemory(from: UnsafeRawBufferPointer(here))
        }
      }
    }
    if operation.kind == .write { image.grow(toBytes: start + count) }
    return StorageCompletion(token: operation.token, result: .complete)
  }

  package func dropPages(offset: UInt64, count: UInt64) {}
}
