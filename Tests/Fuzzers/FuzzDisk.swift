import LinuxIO
import SystemPackage

/// A journal's bytes, and what was written in place: to any address, as a device would refuse.
final class FuzzDisk {
  var log: [UInt8]
  /// The target by its blocks; what nobody wrote is zero.
  var placed: [UInt64: [UInt8]] = [:]
  /// The first operation that no engine may send.
  var problem: String?

  init(_ log: [UInt8]) { self.log = log }

  func place(_ bytes: [UInt8], at offset: UInt64) {
    Self.place(bytes, at: offset, in: &placed)
  }

  static func place(_ bytes: [UInt8], at offset: UInt64, in blocks: inout [UInt64: [UInt8]]) {
    for (index, byte) in bytes.enumerated() {
      let place = offset + UInt64(index)
      blocks[place / 512, default: [UInt8](repeating: 0, count: 512)][Int(place % 512)] = byte
    }
  }
}

/// Carries operations out on a ``FuzzDisk``, one by one, the newest told first.
struct FuzzStorage: AtomicStorage, ~Copyable {
  private let disk: FuzzDisk
  private let isLog: Bool
  private var told: [StorageCompletion] = []

  init(_ disk: FuzzDisk, isLog: Bool) {
    (self.disk, self.isLog) = (disk, isLog)
  }

  var depth: Int { 4 }

  mutating func push(_ operation: StorageOperation) { told.append(perform(operation)) }

  mutating func submit(waitingFor count: Int) throws(Errno) {}

  mutating func next() -> StorageCompletion? { told.popLast() }

  func dropPages(offset: UInt64, count: UInt64) {}

  mutating func perform(_ operation: StorageOperation) -> StorageCompletion {
    let (start, count) = (operation.offsetBytes, Int(operation.byteCount))
    let memory = UnsafeMutableRawBufferPointer(start: operation.memory, count: count)
    switch operation.kind {
    case .flush: break
    case .read, .write, .atomicWrite:
      if count == 0 || start % 512 != 0 { refuse(operation) }
      guard isLog else {
        if operation.kind == .read { refuse(operation) }
        disk.place(Array(memory), at: start)
        break
      }
      guard start <= UInt64(disk.log.count), count <= disk.log.count - Int(start) else {
        refuse(operation)
        break
      }
      let range = Int(start)..<Int(start) + count
      if operation.kind == .read {
        memory.copyBytes(from: disk.log[range])
      } else {
        disk.log.replaceSubrange(range, with: memory)
      }
    }
    return StorageCompletion(token: operation.token, result: .complete)
  }

  private func refuse(_ operation: StorageOperation) {
    disk.problem =
      disk.problem ?? "\(operation.kind) of \(operation.byteCount) at \(operation.offsetBytes)"
  }
}
