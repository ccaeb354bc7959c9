import Testing

@testable import NVMeAtomic

/// How records are written in place, by times that the tests choose.
@Suite struct JournalPaceTests {
  private final class Clock {
    var now: UInt64 = 1_000
  }

  /// The way of each window, where commits of a MiB take so long.
  private static func ways(
    windows: Int,
    _ nanoseconds: (_ window: Int, _ isAlone: Bool) -> UInt64
  ) -> [Bool] {
    let clock = Clock()
    var pace = JournalPace { clock.now }
    pace.windowBytes = 4 << 20
    return (0..<windows).map { number in
      let way = pace.isAlone
      while !pace.isOver {
        pace.beginCommit()
        clock.now += nanoseconds(number, way)
        pace.endCommit(byteCount: 1 << 20)
        // Nobody commits meanwhile.
        clock.now += 1_000_000
      }
      pace.beginCommit()
      pace.endWindow()
      return way
    }
  }

  @Test(arguments: [true, false])
  func theFasterWayIsKept(aloneIsFaster: Bool) {
    let ways = Self.ways(windows: 300) { _, isAlone in isAlone == aloneIsFaster ? 500_000 : 700_000
    }
    #expect(Array(ways[..<5]) == [false, true, false, true, false])
    #expect(ways[5..<261].allSatisfy { $0 == aloneIsFaster })
    #expect(
      Array(ways[261..<265]) == [!aloneIsFaster, aloneIsFaster, !aloneIsFaster, aloneIsFaster]
    )
    #expect(ways[265...].allSatisfy { $0 == aloneIsFaster })
  }

  /// Whoever commits now and then waits for none of what is written in place meanwhile.
  @Test func onlyTheTimeOfCommitsCounts() {
    let ways = Self.ways(windows: 20) { _, isAlone in isAlone ? 40_000 : 20_000 }
    #expect(ways[5...].allSatisfy { !$0 })
  }

  @Test func whatIsOnItsWayEndsWithAWindowThatIsTimed() {
    let clock = Clock()
    var pace = JournalPace { clock.now }
    var changing: [Bool] = []
    for _ in 0..<300 {
      changing.append(pace.mayChange)
      pace.endWindow()
    }
    let expected = (0..<300).map { $0 < 5 || (260..<265).contains($0) }
    #expect(changing == expected)
  }
}
