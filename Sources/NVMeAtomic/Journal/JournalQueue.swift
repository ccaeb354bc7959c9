import LinuxIO

/// Threads that commit at the same time: what waits while one of them writes to the log goes there
/// together, as one record with one flush.
///
/// The first in the queue leads when nobody does. A thread that finds nobody before it commits
/// straight from where its bytes are; one that has to wait copies them meanwhile, for whoever will
/// lead.
final class JournalQueue: @unchecked Sendable {
  /// A transaction of whole granules, and its bytes, one range after the other.
  final class Payload: @unchecked Sendable {
    let ranges: [Range<UInt64>]
    let bytes: AlignedBuffer

    init(ranges: [Range<UInt64>], bytes: consuming AlignedBuffer) {
      self.ranges = ranges
      self.bytes = bytes
    }
  }

  /// A place in the queue.
  final class Entry: @unchecked Sendable {
    /// `nil` for one that is committed alone, by its own thread.
    let payload: Payload?
    /// Set by who leads, before ``hasEnded``.
    var error: AtomicWriteError?
    fileprivate var hasEnded = false

    init(_ payload: Payload?) {
      self.payload = payload
    }

    var byteCount: UInt64 { UInt64(payload?.bytes.byteCount ?? 0) }
    var ranges: [Range<UInt64>] { payload?.ranges ?? [] }

    /// Bytes of the payload.
    func copy(_ place: Int, to memory: UnsafeMutableRawBufferPointer) {
      // SAFETY: the payload's bytes are lent for the call, and the subscript checks its bounds.
      unsafe payload?.bytes.withBytes { bytes in
        unsafe memory.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: bytes[place..<place + memory.count])
        )
      }
    }
  }

  /// Longer ones fill a record well enough by themselves.
  static let longestBytes: UInt64 = 256 << 10

  private let monitor = Monitor()
  private var waiting: [Entry] = []
  private var isLed = false
  /// As many bytes as those that go together have at most.
  private let mostBytes: UInt64

  /// - Parameter recordBytes: How long a record can be.
  init(recordBytes: UInt64) {
    mostBytes = recordBytes / 2
  }

  /// How long a transaction may be to wait together with others.
  var longestBytes: UInt64 { min(Self.longestBytes, mostBytes) }

  /// Whether nobody is before this thread, which leads then until ``leave(_:)``.
  func leadsAtOnce() -> Bool {
    monitor.withLock {
      guard !isLed, waiting.isEmpty else { return false }
      isLed = true
      return true
    }
  }

  /// Waits until somebody has committed this one, or this thread is to lead.
  ///
  /// - Returns: Whom to commit, this one first; nobody when that was done.
  func wait(_ entry: Entry) -> [Entry] {
    monitor.withLock {
      waiting.append(entry)
      while !entry.hasEnded, isLed || waiting.first !== entry { monitor.wait() }
      if entry.hasEnded { return [] }
      isLed = true
      return takeGroup()
    }
  }

  /// How many wait.
  var waitingCount: Int { monitor.withLock { waiting.count } }

  /// This thread no longer leads: they were committed, or have their errors.
  func leave(_ group: [Entry]) {
    monitor.withLock {
      for entry in group { entry.hasEnded = true }
      isLed = false
      monitor.wakeAll()
    }
  }

  /// The first ones, as many as fit and lie beside each other.
  private func takeGroup() -> [Entry] {
    var (count, bytes, taken) = (0, UInt64(0), ByteRanges())
    for entry in waiting {
      guard entry.payload != nil else { break }
      bytes += entry.byteCount
      guard count == 0 || bytes <= mostBytes else { break }
      guard !entry.ranges.contains(where: { taken.overlaps($0) }) else { break }
      for range in entry.ranges { taken.insert(range) }
      count += 1
    }
    defer { waiting.removeFirst(max(count, 1)) }
    return Array(waiting.prefix(max(count, 1)))
  }
}
