package import LinuxIO
package import SystemPackage

/// A file on a simulated drive: its bytes, and a size that is durable only once it was flushed.
///
/// A power failure leaves the last size that was flushed or any that came after; what lies beyond
/// the one that is left is lost, and zero where the file grows again.
final class SimulatedFile {
  let drive: SimulatedDrive
  private(set) var durableBytes: Int
  /// Ends of writes that have arrived and were not flushed.
  private var ends: [Int] = []
  /// The largest end of a write that has ended.
  private(set) var visibleBytes: Int

  init(_ drive: SimulatedDrive, sizeBytes: Int) {
    self.drive = drive
    durableBytes = sizeBytes
    visibleBytes = sizeBytes
  }

  /// What readers find.
  var contents: [UInt8] { drive.visible(firstBlock: 0, count: visibleBytes) }

  func arrive(end: Int) {
    if end > durableBytes { ends.append(end) }
  }

  func finish(end: Int) { visibleBytes = max(visibleBytes, end) }

  func flush(sizeBytes: Int) {
    if drive.lie == .ignoresFlushes { return }
    durableBytes = max(durableBytes, sizeBytes)
    ends.removeAll { $0 <= durableBytes }
  }

  /// The sizes that a power failure may leave, the smallest first.
  var possibleSizes: [Int] { [durableBytes] + ends.sorted() }

  /// An ordinary write through the page cache: the rest of its block stays.
  func write(_ bytes: [UInt8], at offset: Int) {
    let block = drive.geometry.blockBytes
    let first = offset / block
    precondition((offset + bytes.count - 1) / block == first)
    arrive(end: offset + bytes.count)
    var whole = drive.visible(firstBlock: first, count: block)
    whole.replaceSubrange(offset % block..<offset % block + bytes.count, with: bytes)
    drive.end(drive.begin(firstBlock: first, bytes: whole, isForced: false))
    finish(end: offset + bytes.count)
  }
}

/// Carries operations to a file, or to a drive where there is none.
@safe package struct SimulatedFileStorage: AtomicStorage, ~Copyable {
  private var storage: SimulatedStorage
  private let file: SimulatedFile?
  private var onTheirWay: [UInt32: Int] = [:]

  init(_ storage: consuming SimulatedStorage, _ file: SimulatedFile?) {
    self.storage = storage
    self.file = file
  }

  package var depth: Int { storage.depth }

  package mutating func push(_ operation: StorageOperation) {
    if let file {
      let end = Int(operation.offsetBytes) + Int(operation.byteCount)
      if operation.kind == .write { file.arrive(end: end) }
      // What had ended when a flush arrived is what it makes durable.
      onTheirWay[operation.token] = operation.kind == .flush ? -file.visibleBytes - 1 : end
      if operation.kind == .read { onTheirWay[operation.token] = 0 }
    }
    storage.push(operation)
  }

  package mutating func submit(waitingFor count: Int) throws(Errno) {
    try storage.submit(waitingFor: count)
  }

  package mutating func next() -> StorageCompletion? {
    guard let ended = storage.next() else { return nil }
    guard let file, let end = onTheirWay.removeValue(forKey: ended.token) else { return ended }
    guard ended.result == .complete else { return ended }
    if end < 0 { file.flush(sizeBytes: -end - 1) } else { file.finish(end: end) }
    return ended
  }

  package func dropPages(offset: UInt64, count: UInt64) {}
}
