/// What a load is to do: many writes of one size to one target.
package struct LoadPlan: Sendable {
  /// Where the next write goes.
  package enum Pattern: String, Sendable, CaseIterable {
    case random, sequential
  }

  /// How writes are handed over.
  package enum Engine: String, Sendable, CaseIterable {
    /// One system call each.
    case sync
    case ioUring = "io_uring"
  }

  /// When they are durable.
  package enum Durable: String, Sendable, CaseIterable {
    case none, each
    /// By one flush after the last, which counts as part of the run.
    case end
  }

  /// Bytes of each write.
  package var blockBytes = 16384
  package var pattern = Pattern.random
  package var engine = Engine.sync
  package var durable = Durable.none
  /// Whether an assumption counts as a refusal.
  package var isStrict = false
  /// Writes on their way per thread.
  package var depth = 1
  package var threads = 1
  /// Writes in all; `nil` for as many as the time allows.
  package var count: UInt64?
  /// Nanoseconds; `nil` for as long as the writes take.
  package var runtimeNanoseconds: UInt64?
  /// Where the first block begins, bytes.
  package var offsetBytes: UInt64 = 0
  /// Blocks that are written to.
  package var blocks: UInt64 = 1
  /// Decides the order of a random load.
  package var seed: UInt64 = 1

  package init() {}

  /// The blocks of one thread: each has its own, so that no two write to one place at once.
  func blocks(ofThread thread: Int) -> Range<UInt64> {
    func begin(_ thread: Int) -> UInt64 {
      let (high, low) = blocks.multipliedFullWidth(by: UInt64(thread))
      return UInt64(threads).dividingFullWidth((high, low)).quotient
    }
    return begin(thread)..<begin(thread + 1)
  }

  /// The writes of one thread; `nil` for as many as the time allows.
  func count(ofThread thread: Int) -> UInt64? {
    guard let count else { return nil }
    let (each, rest) = count.quotientAndRemainder(dividingBy: UInt64(threads))
    return each + (UInt64(thread) < rest ? 1 : 0)
  }
}

/// What a load has done.
package struct LoadResult: Sendable {
  package var operations: UInt64 = 0
  /// Writes that the kernel refused beside their neighbours and that were sent again singly.
  package var resent: UInt64 = 0
  package var elapsedNanoseconds: UInt64 = 0
  package var userNanoseconds: UInt64 = 0
  package var systemNanoseconds: UInt64 = 0
  /// Who keeps the writes whole; `nil` where nobody does, or nothing was written.
  package var promise: PathPromise?
  /// Whether a signal ended the run early.
  package var isInterrupted = false
  /// What ended the run early, and where.
  package private(set) var failure: (error: AtomicWriteError, offsetBytes: UInt64)?

  package init() {}

  /// The first failure counts; but one whose outcome is unknown outranks those that wrote nothing,
  /// and each of them what was refused because something had failed before, which says of no cause.
  mutating func fail(_ error: AtomicWriteError, atBytes offset: UInt64) {
    if let failure, failure.error.rankInLoad >= error.rankInLoad { return }
    failure = (error, offset)
  }
}

extension AtomicWriteError {
  fileprivate var rankInLoad: Int {
    switch self {
    case .rangeUnknown, .handleFailed: 0
    default: outcome == .unknown ? 2 : 1
    }
  }
}
