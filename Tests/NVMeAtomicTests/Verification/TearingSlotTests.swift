import Testing

@testable import NVMeAtomic

/// What was on its way with what is counted exactly, and so is how old what was read is.
@Suite struct TearingSlotTests {
  private static func stamp(_ sequence: UInt64, by writer: UInt32) -> BlockStamp {
    BlockStamp(
      run: 1,
      sequence: sequence,
      blockOffset: 0,
      writeOffset: 0,
      writeBytes: 4096,
      writer: writer
    )
  }

  /// One slot, and what two writers and a reader have seen of it.
  private struct World: ~Copyable {
    let slot = TearingSlot(0..<4096, writers: 2)
    var first = TearingSlot.Moment(writers: 2)
    var second = TearingSlot.Moment(writers: 2)
    var reader = TearingSlot.Moment(writers: 2)

    mutating func begin(_ writer: Int) {
      if writer == 0 { slot.begin(&first) } else { slot.begin(&second) }
    }

    mutating func end(_ number: UInt64, _ writer: Int) -> UInt64 {
      writer == 0 ? slot.end(number, by: 0, first) : slot.end(number, by: 1, second)
    }

    func age(_ sequence: UInt64, by writer: UInt32) -> TearingSlot.Age? {
      slot.age(of: stamp(sequence, by: writer), reader)
    }
  }

  @Test func numbersAreNeverTakenTwice() {
    let slot = TearingSlot(0..<4096, writers: 1)
    #expect((0..<5).map { _ in slot.takeNumber() } == [1, 2, 3, 4, 5])
  }

  @Test func aReadBetweenTwoWritesOverlapsNone() {
    var world = World()
    world.begin(0)
    #expect(world.end(1, 0) == 0)
    world.slot.look(&world.reader)
    #expect(world.slot.writesSince(world.reader) == 0)
    world.begin(0)
    #expect(world.slot.writesSince(world.reader) == 1, "begun before the read has ended")
    #expect(world.end(2, 0) == 0)
    #expect(world.slot.writesSince(world.reader) == 1)
  }

  @Test func aReadDuringAWriteOverlapsIt() {
    var world = World()
    world.begin(0)
    world.slot.look(&world.reader)
    #expect(world.slot.writesSince(world.reader) == 1)
    #expect(world.end(1, 0) == 0)
    #expect(world.slot.writesSince(world.reader) == 1)
    world.slot.look(&world.reader)
    #expect(world.slot.writesSince(world.reader) == 0)
  }

  @Test func writesThatMeetAreCounted() {
    var world = World()
    world.begin(0)
    world.begin(1)
    world.slot.look(&world.reader)
    #expect(world.slot.writesSince(world.reader) == 2)
    #expect(world.end(1, 0) == 1)
    #expect(world.end(2, 1) == 1)
    world.begin(1)
    #expect(world.end(3, 1) == 0)
    #expect(world.slot.writesSince(world.reader) == 3)
  }

  @Test func whatHadEndedIsOldAndWhatHadNotIsNew() {
    var world = World()
    world.begin(0)
    _ = world.end(1, 0)
    world.begin(1)
    world.slot.look(&world.reader)
    #expect(world.age(1, by: 0) == .old)
    #expect(world.age(2, by: 1) == .new)
    _ = world.end(2, 1)
    // As of the moment before the read.
    #expect(world.age(1, by: 0) == .old)
    world.slot.look(&world.reader)
    #expect(world.age(2, by: 1) == .old)
    #expect(world.age(1, by: 0) == .stale)
    #expect(world.age(3, by: 2) == nil, "no such writer")
  }

  /// Of writes that met either may be last: neither lies surely over the other.
  @Test func writesThatMetAreBothOld() {
    var world = World()
    world.begin(0)
    world.begin(1)
    _ = world.end(1, 0)
    _ = world.end(2, 1)
    world.slot.look(&world.reader)
    #expect(world.age(1, by: 0) == .old)
    #expect(world.age(2, by: 1) == .old)
    // The next one begins after both have ended.
    world.begin(0)
    _ = world.end(3, 0)
    world.slot.look(&world.reader)
    #expect(world.age(1, by: 0) == .stale)
    #expect(world.age(2, by: 1) == .stale)
    #expect(world.age(3, by: 0) == .old)
  }

  /// A write that began before another one's end does not lie surely over it, whenever it ends.
  @Test func aLongWriteSupersedesOnlyWhatHadEndedBeforeIt() {
    var world = World()
    world.begin(0)
    world.begin(1)
    _ = world.end(2, 1)
    world.begin(1)
    _ = world.end(3, 1)
    _ = world.end(1, 0)
    world.slot.look(&world.reader)
    #expect(world.age(2, by: 1) == .stale, "write 3 began after its end")
    #expect(world.age(3, by: 1) == .old)
    #expect(world.age(1, by: 0) == .old)
  }
}
