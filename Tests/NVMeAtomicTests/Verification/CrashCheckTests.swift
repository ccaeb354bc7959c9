import Testing

@testable import NVMeAtomic

/// What the check of `verify crash` makes of what a power cut may leave.
@Suite struct CrashCheckTests {
  private static let plan = CrashPlan(
    run: 77,
    path: .journal,
    isDurable: true,
    offsetBytes: 8192,
    slotBytes: 4096,
    slots: 9,
    stampBytes: 512,
    ranges: 2,
    threads: 2,
    seed: 3,
    controlBytes: 8192,
    controls: 2
  )

  /// Which operation each slot holds after so many operations of each thread; 0 for none.
  private static func state(_ plan: CrashPlan, _ operations: [UInt64]) -> [UInt64] {
    var (state, slots) = ([UInt64](repeating: 0, count: Int(plan.slots)), [UInt64]())
    for thread in 0..<plan.threads {
      for operation in 0..<operations[thread] {
        let sequence = plan.sequence(thread: thread, operation: operation)
        plan.slots(of: sequence, into: &slots)
        for slot in slots { state[Int(slot)] = sequence }
      }
    }
    return state
  }

  private static func memory(_ plan: CrashPlan, _ sequence: UInt64, _ slot: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: plan.slotBytes)
    if sequence == 0 { return bytes }
    bytes.withUnsafeMutableBytes { plan.fill($0, sequence, slot: UInt64(slot)) }
    return bytes
  }

  private static func judge(
    _ state: [UInt64],
    plan: CrashPlan = plan,
    acknowledged: [UInt64],
    controls: [[UInt8]] = [],
    _ harm: (Int, inout [UInt8]) -> Void = { _, _ in }
  ) -> CrashCheck.Result {
    var check = CrashCheck(plan, acknowledged: acknowledged)
    for slot in state.indices {
      var bytes = memory(plan, state[slot], slot)
      harm(slot, &bytes)
      bytes.withUnsafeMutableBytes { check.take($0, slot: UInt64(slot)) }
    }
    for (number, control) in controls.enumerated() {
      var bytes = control
      bytes.withUnsafeMutableBytes { check.take($0, control: number) }
    }
    return check.finish()
  }

  @Test func theSelfCheckSeesEverything() {
    #expect(CrashSelfCheck.blindness() == [])
  }

  /// What was not read says nothing: neither that something is lost nor that a transaction is torn.
  @Test(arguments: 0...9)
  func whatWasNotReadIsNotLost(slots: Int) {
    let state = Self.state(Self.plan, [20, 15])
    var check = CrashCheck(Self.plan, acknowledged: [20, 15])
    for slot in 0..<min(slots, state.count) {
      var bytes = Self.memory(Self.plan, state[slot], slot)
      bytes.withUnsafeMutableBytes { check.take($0, slot: UInt64(slot)) }
    }
    let result = check.finish()
    #expect(result.damaged == 0, "\(result.damages)")
    #expect(result.whole + result.blank == UInt64(min(slots, state.count)))
  }

  /// All that was acknowledged, and one more of each thread or not, whole.
  @Test(arguments: [[0, 0], [1, 0], [0, 1], [1, 1]] as [[UInt64]])
  func whatIsAllowedIsWhole(more: [UInt64]) {
    let state = Self.state(Self.plan, [20 + more[0], 15 + more[1]])
    let result = Self.judge(state, acknowledged: [20, 15])
    #expect(result.damaged == 0, "\(result.damages)")
    #expect(result.seenInFlight == more[0] + more[1])
    #expect(result.whole + result.blank == 9 && result.transactions > 0)
  }

  @Test func anythingOlderIsLost() {
    let before = Self.state(Self.plan, [19, 15])
    let result = Self.judge(before, acknowledged: [20, 15])
    #expect(result.counts[.lost] == 2, "\(result.damages)")
    #expect(
      result.damages.allSatisfy { $0.sequence == Self.plan.sequence(thread: 0, operation: 19) }
    )
    var plan = Self.plan
    plan.isDurable = false
    #expect(Self.judge(before, plan: plan, acknowledged: [20, 15]).damaged == 0)
  }

  /// What was there until all was blank is there again: a flush was ignored. The log begins before
  /// it is taken away, and the first operation comes after that.
  @Test(arguments: [0, 20] as [UInt64])
  func theMarkOfTheBeginIsLost(acknowledged: UInt64) {
    var check = CrashCheck(Self.plan, acknowledged: [acknowledged, 0])
    var bytes = [UInt8](repeating: 0, count: Self.plan.slotBytes)
    bytes.withUnsafeMutableBytes {
      Self.plan.fillMark($0)
      check.take($0, slot: 0)
    }
    let result = check.finish()
    #expect(result.counts[.lost] == (acknowledged > 0 ? 2 : nil), "\(result.damages)")
    #expect(result.damaged == result.counts[.lost] ?? 0 && result.ownBlocks == 1)
  }

  /// What the log had not heard of is missing though its thread went on.
  @Test func aHoleBeforeALaterOneIsMisordered() {
    var state = Self.state(Self.plan, [20, 0])
    var slots: [UInt64] = []
    Self.plan.slots(of: Self.plan.sequence(thread: 0, operation: 19), into: &slots)
    for slot in 0..<4 where !slots.contains(UInt64(slot)) { state[slot] = 0 }
    let result = Self.judge(state, acknowledged: [0, 0])
    #expect(result.counts[.misordered] == 2, "\(result.damages)")
    #expect(result.counts[.lost] == nil)
    #expect(result.ahead == 19)
  }

  /// Each slot of the last transaction in turn holds what was there before it.
  @Test(arguments: [0, 1])
  func halfATransactionIsTorn(half: Int) {
    var state = Self.state(Self.plan, [20, 15])
    let before = Self.state(Self.plan, [19, 15])
    var slots: [UInt64] = []
    Self.plan.slots(of: Self.plan.sequence(thread: 0, operation: 19), into: &slots)
    state[Int(slots[half])] = before[Int(slots[half])]
    let result = Self.judge(state, acknowledged: [19, 15])
    #expect(result.counts == [.tornTransaction: 1], "\(result.damages)")
    #expect(result.damages.first?.offsetBytes == Self.plan.offset(ofSlot: slots[half]))
  }

  /// Every block of every slot in turn.
  @Test func anyBlockOfAnotherOperationIsTornAndAnyChangedByteDamage() {
    let state = Self.state(Self.plan, [20, 15])
    for slot in state.indices where state[slot] > 0 {
      for block in 0..<8 {
        let bytes = block * 512..<(block + 1) * 512
        let torn = Self.judge(state, acknowledged: [20, 15]) { place, memory in
          guard place == slot else { return }
          memory.replaceSubrange(bytes, with: Self.memory(Self.plan, state[slot] - 2, slot)[bytes])
        }
        #expect(torn.counts[.torn] == 1, "\(slot) \(block) \(torn.damages)")
        let damaged = Self.judge(state, acknowledged: [20, 15]) { place, memory in
          if place == slot { memory[bytes.upperBound - 1] ^= 1 }
        }
        #expect(damaged.counts[.damaged] == 1, "\(slot) \(block) \(damaged.damages)")
      }
    }
  }

  @Test func whatBelongsElsewhereIsToldApart() {
    let state = Self.state(Self.plan, [20, 15])
    var other = Self.plan
    other.run = 78
    let foreign = Self.judge(state, acknowledged: [20, 15]) { slot, memory in
      memory = Self.memory(other, 5, slot)
    }
    #expect(foreign.counts[.foreign] == 9 && foreign.ownBlocks == 0 && foreign.otherRun == 78)
    let moved = Self.judge(state, acknowledged: [20, 15]) { slot, memory in
      if slot == 0 { memory = Self.memory(Self.plan, state[1], 1) }
    }
    #expect(moved.counts[.misplaced] == 1)
    // An operation where it does not write.
    var slots: [UInt64] = []
    Self.plan.slots(of: 1, into: &slots)
    guard let none = (0..<4).first(where: { !slots.contains(UInt64($0)) }) else { return }
    let stray = Self.judge(state, acknowledged: [20, 15]) { slot, memory in
      if slot == none { memory = Self.memory(Self.plan, 1, slot) }
    }
    #expect(stray.counts[.misplaced] == 1)
  }

  @Test func theControlMayBeTornAndNothingElse() {
    func control(_ sequence: UInt64, _ number: Int) -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: 8192)
      bytes.withUnsafeMutableBytes { Self.plan.fillControl($0, sequence, number) }
      return bytes
    }
    let state = Self.state(Self.plan, [20, 15])
    func result(_ controls: [[UInt8]]) -> CrashCheck.Result {
      Self.judge(state, acknowledged: [20, 15], controls: controls)
    }
    let whole = result([control(900, 0), [UInt8](repeating: 0, count: 8192)])
    #expect(whole.controlsWhole == 2 && whole.controlsTorn == 0 && whole.damaged == 0)
    // Its numbers are no operations of a thread.
    #expect(whole.seenInFlight == 0 && whole.ahead == 0)
    var mixed = control(900, 0)
    mixed.replaceSubrange(4096..., with: control(898, 0)[4096...])
    let torn = result([mixed, control(899, 1)])
    #expect(torn.controlsTorn == 1 && torn.controlsWhole == 1 && torn.damaged == 0)
    mixed[700] ^= 1
    #expect(result([mixed]).counts == [.damaged: 1])
    #expect(result([control(900, 1)]).counts == [.misplaced: 1])
  }

  @Test func theControlIsLongerThanWhatTheDriveKeeps() {
    var world = World(Drive(), kind: .namespace)
    world.target.queue.maxSegments = 128
    world.target.queue.maxSectorsKB = 256
    func control(_ range: UInt64, _ path: WritePath = .kernel) -> [Int] {
      let (bytes, count) = CrashPlan.control(
        world.target,
        path,
        stampBytes: 512,
        rangeBytes: range
      )
      return [bytes, count]
    }
    #expect(control(64 << 20) == [256 << 10, 4])
    #expect(control(1 << 20) == [128 << 10, 2])
    #expect(control(8 * 1024) == [1024, 2])
    #expect(control(4 * 1024) == [0, 0])
    #expect(control(64 << 20, .plain) == [0, 0])
  }
}
