/// Which of two ways takes less time here: both are tried in turn and timed, the faster one is kept
/// for a while, and then the other one gets another chance.
///
/// What is done is divided into windows, of which each goes one way.
struct FasterWay {
  /// Whether the first of the two is the way of this window.
  private(set) var isFirst: Bool
  /// Windows that are still to be timed, and those that the faster way is kept for.
  private var trials: Int
  private var kept = 0
  private var isWarm = false
  private var shortest: (first: UInt64, second: UInt64) = (.max, .max)

  /// Later on, fewer: the faster way is known.
  static let laterTrials = 4
  /// So many windows go the faster way before the other one is tried again.
  static let keptWindows = 256

  /// - Parameters:
  ///   - isFirst: The way of the first window, which is not counted, as everything is still to be
  ///     warmed up.
  ///   - trials: How many windows are timed at first, that one included.
  init(beginningWithFirst isFirst: Bool = true, trials: Int = 7) {
    self.isFirst = isFirst
    self.trials = trials
  }

  /// Whether the next window may go the other way.
  var mayChange: Bool { kept <= 1 }

  /// The decision at the end of a window.
  ///
  /// - Parameter time: What it took, in whatever unit.
  mutating func endWindow(taking time: UInt64) {
    if kept > 0 {
      kept -= 1
      if kept > 0 { return }
      shortest = (.max, .max)
      trials = Self.laterTrials
      isFirst.toggle()
      return
    }
    if isWarm {
      if isFirst {
        shortest.first = min(shortest.first, time)
      } else {
        shortest.second = min(shortest.second, time)
      }
    }
    isWarm = true
    trials -= 1
    if trials > 0 {
      isFirst.toggle()
    } else {
      isFirst = shortest.first <= shortest.second
      kept = Self.keptWindows
    }
  }
}
