/// Whether durable writes share flushes or each is made durable by itself, chosen by what takes
/// longer on this target: both ways are tried in turn and timed, the faster one is kept for a
/// while, and then the other one gets another chance. Every write is durable when it is told,
/// either way.
///
/// Which way is faster depends on how long a flush takes beside a write, on whether the kernel
/// joins the flushes of concurrent durable writes itself (`block/blk-flush.c` does where a disk has
/// no FUA), and on what FUA costs a drive that has it: nothing that could be asked.
struct FlushChoice {
  /// Whether writes begun now wait for a flush that they share.
  private(set) var sharesFlushes = true
  /// Writes until the next decision.
  private var remaining: Int
  private let window: Int
  /// Windows that are still to be timed, and those that the faster way is kept for.
  private var trials = Self.firstTrials
  private var kept = 0
  private var begin: UInt64
  private var shortest: (shared: UInt64, single: UInt64) = (.max, .max)

  /// The first windows are timed in turn, beginning with shared flushes; the first one is not
  /// counted, as everything is still to be warmed up.
  static let firstTrials = 7
  /// Later on, fewer: the faster way is known.
  static let laterTrials = 4
  /// So many windows go the faster way before the other one is tried again.
  static let keptWindows = 256

  /// - Parameters:
  ///   - window: How many writes are timed together; the more, the less the few count that were
  ///     begun the other way.
  ///   - now: The time, as whoever ends a window tells it.
  init(window: Int, nanoseconds now: UInt64) {
    self.window = window
    remaining = window
    begin = now
  }

  /// Counts a write that is about to begin; whether its window ends with it.
  @inline(always)
  mutating func endsWindow() -> Bool {
    remaining &-= 1
    return remaining == 0
  }

  /// The decision at the end of a window.
  mutating func endWindow(nanoseconds now: UInt64) {
    remaining = window
    let taken = now &- begin
    begin = now
    if kept > 0 {
      kept -= 1
      if kept > 0 { return }
      shortest = (.max, .max)
      trials = Self.laterTrials
      sharesFlushes.toggle()
      return
    }
    if trials < Self.firstTrials {
      if sharesFlushes {
        shortest.shared = min(shortest.shared, taken)
      } else {
        shortest.single = min(shortest.single, taken)
      }
    }
    trials -= 1
    if trials > 0 {
      sharesFlushes.toggle()
    } else {
      sharesFlushes = shortest.shared <= shortest.single
      kept = Self.keptWindows
    }
  }
}
