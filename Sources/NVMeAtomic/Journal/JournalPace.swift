/// Whether records are written in place beside the next ones, which are on their way to the log, or
/// alone, as many of them as there is memory for: by what commits take less time with here.
///
/// Beside each other, a disk that does several things at once is never idle. Alone, there are fewer
/// flushes that have writes all over the target to bring to stable storage, which some disks do
/// slowly; a loop device does one thing at a time anyway.
package struct JournalPace {
  private let clock: () -> UInt64
  private var way: FasterWay
  /// Records of so many bytes are timed together.
  var windowBytes: UInt64 = 1
  private var byteCount: UInt64 = 0
  private var nanoseconds: UInt64 = 0
  private var begin: UInt64 = 0

  /// - Parameters:
  ///   - beginsAlone: The way that is gone first.
  ///   - clock: Nanoseconds since whenever.
  package init(beginsAlone: Bool = false, clock: @escaping () -> UInt64) {
    way = FasterWay(beginningWithFirst: !beginsAlone, trials: 5)
    self.clock = clock
  }

  var isAlone: Bool { !way.isFirst }
  /// Whether the next window may go the other way: what is on its way is to have ended then.
  var mayChange: Bool { way.mayChange }
  /// Whether the window has as many bytes as it is to have.
  var isOver: Bool { byteCount >= windowBytes }

  /// A commit begins.
  mutating func beginCommit() { begin = clock() }

  /// It has ended.
  mutating func endCommit(byteCount count: Int) {
    take()
    byteCount += UInt64(count)
  }

  /// The next records go the way that is decided on now.
  mutating func endWindow() {
    take()
    way.endWindow(taking: nanoseconds.multipliedOrMax(by: 1024) / max(byteCount, 1))
    (byteCount, nanoseconds) = (0, 0)
  }

  private mutating func take() {
    let now = clock()
    nanoseconds &+= now &- begin
    begin = now
  }
}
