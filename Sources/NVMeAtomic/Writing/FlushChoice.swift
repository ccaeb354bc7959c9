/// Whether durable writes share flushes or each is made durable by itself, chosen by what takes
/// longer on this target. Every write is durable when it is told, either way.
///
/// Which way is faster depends on how long a flush takes beside a write, on whether the kernel
/// joins the flushes of concurrent durable writes itself (`block/blk-flush.c` does where a disk has
/// no FUA), and on what FUA costs a drive that has it: nothing that could be asked.
struct FlushChoice {
  private var way = FasterWay()
  /// Writes until the next decision.
  private var remaining: Int
  private let window: Int
  private var begin: UInt64

  /// - Parameters:
  ///   - window: How many writes are timed together; the more, the less the few count that were
  ///     begun the other way.
  ///   - now: The time, as whoever ends a window tells it.
  init(window: Int, nanoseconds now: UInt64) {
    self.window = window
    remaining = window
    begin = now
  }

  /// Whether writes begun now wait for a flush that they share.
  var sharesFlushes: Bool { way.isFirst }

  /// Counts a write that is about to begin; whether its window ends with it.
  @inline(always)
  mutating func endsWindow() -> Bool {
    remaining &-= 1
    return remaining == 0
  }

  /// The decision at the end of a window.
  mutating func endWindow(nanoseconds now: UInt64) {
    remaining = window
    way.endWindow(taking: now &- begin)
    begin = now
  }
}
