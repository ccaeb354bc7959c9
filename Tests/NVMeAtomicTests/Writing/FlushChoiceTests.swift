import Testing

@testable import NVMeAtomic

/// Which of two ways to be durable is faster, by times that the tests choose.
@Suite struct FlushChoiceTests {
  private static let window = 10

  /// The way of each window, where shared ones and single ones take so long.
  private static func ways(
    windows: Int,
    _ nanoseconds: (_ window: Int, _ isShared: Bool) -> UInt64
  ) -> [Bool] {
    var now: UInt64 = 1_000
    var choice = FlushChoice(window: window, nanoseconds: now)
    return (0..<windows).map { number in
      let way = choice.sharesFlushes
      let ends = (0..<window).map { _ in choice.endsWindow() }
      #expect(ends == (1...window).map { $0 == window })
      now += nanoseconds(number, way)
      choice.endWindow(nanoseconds: now)
      return way
    }
  }

  @Test(arguments: [true, false])
  func theFasterWayIsKept(sharedIsFaster: Bool) {
    let ways = Self.ways(windows: 1_000) { _, isShared in isShared == sharedIsFaster ? 500 : 700 }
    #expect(Array(ways[..<7]) == [true, false, true, false, true, false, true])
    #expect(ways[7..<263].allSatisfy { $0 == sharedIsFaster })
    #expect(
      Array(ways[263..<267]) == [!sharedIsFaster, sharedIsFaster, !sharedIsFaster, sharedIsFaster]
    )
    #expect(ways[267..<523].allSatisfy { $0 == sharedIsFaster })
  }

  @Test func theFirstWindowIsNotCounted() {
    let ways = Self.ways(windows: 20) { window, isShared in
      window == 0 ? 1 : isShared ? 900 : 800
    }
    #expect(!ways[10])
  }

  @Test func oneSlowWindowDecidesNothing() {
    for slow in 1..<7 {
      let ways = Self.ways(windows: 20) { window, isShared in
        window == slow ? 100_000 : isShared ? 500 : 700
      }
      #expect(ways[7...].allSatisfy { $0 }, "window \(slow)")
    }
  }

  @Test func whatHasChangedIsNoticed() {
    let ways = Self.ways(windows: 600) { window, isShared in
      isShared == (window < 100) ? 500 : 700
    }
    #expect(ways[7..<263].allSatisfy { $0 })
    #expect(ways[267..<523].allSatisfy { !$0 })
  }
}
