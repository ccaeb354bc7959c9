import LinuxIO
import Synchronization
import SystemPackage

@testable import NVMeAtomic

/// A drive in memory that breaks its word in one way, on purpose: what stands below the hunt for
/// torn reads, which is run whole.
final class TearingDrive: Sendable {
  enum Mistake: Hashable, Sendable {
    /// Keeps whole what it promised.
    case none
    /// Keeps whole nothing longer than a block.
    case tears
    /// Keeps not even a block whole.
    case tearsInside
    /// Some writes are told as done, and are not.
    case loses
    /// Some writes go a block too far.
    case misplaces
    /// Some writes leave a bit turned around.
    case damages
    /// Readers never see part of a write, however long.
    case never
    /// Ordinary writes of part of a range are not seen.
    case hidesInjections
    /// Reads fail after so many.
    case failsReads(after: Int)
    /// Writes are refused after so many, and nothing is written.
    case refusesWrites(after: Int)
  }

  static let block = 4096

  let keptBytes: Int
  let mistake: Mistake
  private let bytes: Mutex<[UInt8]>
  private let writes = Atomic(0)
  private let reads = Atomic(0)

  init(byteCount: Int, keptBytes: Int, _ mistake: Mistake) {
    (self.keptBytes, self.mistake) = (keptBytes, mistake)
    bytes = Mutex([UInt8](repeating: 0, count: byteCount + Self.block))
  }

  var writeCount: Int { writes.load(ordering: .relaxed) }

  func write(_ data: [UInt8], at offset: Int, isOrdinary: Bool) throws(AtomicWriteError) {
    let number = writes.add(1, ordering: .relaxed).newValue
    var (data, offset) = (data, offset)
    switch mistake {
    case .refusesWrites(let most) where number > most:
      throw .notWritten(FailureCause(.noSpace))
    case .hidesInjections where isOrdinary && number < 3: return
    case .loses where number % 50 == 49: return
    case .misplaces where number % 50 == 49: offset += Self.block
    case .damages where number % 50 == 49: data[data.count - 1] ^= 1
    default: break
    }
    let isTorn =
      switch mistake {
      case .never: false
      case .tears, .tearsInside: true
      default: data.count > keptBytes
      }
    // On its way for a while, before and after.
    HostProcess.pause(milliseconds: 0)
    defer { HostProcess.pause(milliseconds: 0) }
    let step = mistake == .tearsInside ? 512 : isTorn ? Self.block : data.count
    for start in stride(from: 0, to: data.count, by: step) {
      let place = offset + start
      let end = min(start + step, data.count)
      bytes.withLock { $0.replaceSubrange(place..<place + end - start, with: data[start..<end]) }
      if isTorn { HostProcess.pause(milliseconds: 0) }
    }
  }

  func read(_ count: Int, at offset: Int) throws(AtomicWriteError) -> [UInt8] {
    let number = reads.add(1, ordering: .relaxed).newValue
    if case .failsReads(let most) = mistake, number > most {
      throw .readFailed(FailureCause(.ioError))
    }
    HostProcess.pause(milliseconds: 0)
    return bytes.withLock { Array($0[offset..<offset + count]) }
  }
}

/// One thread's way to it.
struct TearingDriveAccess: TearingAccess, ~Copyable {
  let drive: TearingDrive

  mutating func write(
    _ buffer: borrowing AlignedBuffer,
    atBytes offset: UInt64,
    isOrdinary: Bool
  ) throws(AtomicWriteError) {
    let data = buffer.withBytes { [UInt8]($0) }
    try drive.write(data, at: Int(offset), isOrdinary: isOrdinary)
  }

  mutating func read(
    into buffer: inout AlignedBuffer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    let data = try drive.read(buffer.byteCount, at: Int(offset))
    buffer.withMutableBytes { $0.copyBytes(from: data) }
  }
}
