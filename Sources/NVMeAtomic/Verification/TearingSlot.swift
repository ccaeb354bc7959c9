import Synchronization

/// A range that is only ever written whole, by several threads, and what is known of those writes.
///
/// Which reads were on their way while a write was is counted, not guessed: a write is noted just
/// before it is handed over and just after it has ended, a read looks before and after.
final class TearingSlot: Sendable {
  /// One writer's writes here, by their numbers, which rise.
  private final class Mark: Sendable {
    /// The last one that has ended.
    let ended = Atomic<UInt64>(0)
    /// The last one that another write lies over, which had begun after its end and has ended too.
    let superseded = Atomic<UInt64>(0)
  }

  let range: Range<UInt64>
  private let numbers = Atomic<UInt64>(0)
  private let begun = Atomic<UInt64>(0)
  private let ended = Atomic<UInt64>(0)
  private let marks: [Mark]

  init(_ range: Range<UInt64>, writers: Int) {
    self.range = range
    marks = (0..<writers).map { _ in Mark() }
  }

  /// What a thread has seen of a slot at one moment.
  struct Moment: ~Copyable {
    fileprivate var endedCount: UInt64 = 0
    fileprivate var ended: FixedArray<UInt64>
    fileprivate var superseded: FixedArray<UInt64>

    init(writers: Int) {
      ended = FixedArray(repeating: 0, count: writers)
      superseded = FixedArray(repeating: 0, count: writers)
    }
  }

  /// A number for the next write; no other has it.
  func takeNumber() -> UInt64 {
    numbers.add(1, ordering: .sequentiallyConsistent).newValue
  }

  /// Before a read or a write.
  func look(_ moment: inout Moment) {
    moment.endedCount = ended.load(ordering: .sequentiallyConsistent)
    for (writer, mark) in marks.enumerated() {
      moment.superseded[writer] = mark.superseded.load(ordering: .sequentiallyConsistent)
      moment.ended[writer] = mark.ended.load(ordering: .sequentiallyConsistent)
    }
  }

  /// A write is about to be handed over.
  func begin(_ moment: inout Moment) {
    look(&moment)
    begun.add(1, ordering: .sequentiallyConsistent)
  }

  /// It has ended.
  ///
  /// - Returns: How many others were on their way meanwhile.
  func end(_ number: UInt64, by writer: Int, _ moment: borrowing Moment) -> UInt64 {
    let others = begun.load(ordering: .sequentiallyConsistent) - moment.endedCount - 1
    for (other, mark) in marks.enumerated() {
      mark.superseded.max(moment.ended[other], ordering: .sequentiallyConsistent)
    }
    marks[writer].ended.store(number, ordering: .sequentiallyConsistent)
    ended.add(1, ordering: .sequentiallyConsistent)
    return others
  }

  /// How many writes were on their way at some time since the moment.
  func writesSince(_ moment: borrowing Moment) -> UInt64 {
    begun.load(ordering: .sequentiallyConsistent) - moment.endedCount
  }

  /// How old what was read is, as of the moment before the read.
  func age(of stamp: BlockStamp, _ moment: borrowing Moment) -> Age? {
    let writer = Int(stamp.writer)
    guard marks.indices.contains(writer) else { return nil }
    if stamp.sequence <= moment.superseded[writer] { return .stale }
    return stamp.sequence <= moment.ended[writer] ? .old : .new
  }

  enum Age {
    /// Its write had ended before the read began.
    case old
    /// Its write had not.
    case new
    /// A write that had ended before the read began lies over it.
    case stale
  }
}
