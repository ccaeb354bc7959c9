import Testing

@testable import NVMeAtomic

/// The log of `verify crash`, as power cuts and accidents leave it.
@Suite struct CrashLogTests {
  private static let plan = CrashPlan(
    run: 0xfedc_ba98_7654_3210,
    path: .kernel,
    isDurable: true,
    offsetBytes: 0,
    slotBytes: 16384,
    slots: 100,
    stampBytes: 512,
    ranges: 1,
    threads: 2,
    seed: .max,
    controlBytes: 1 << 20,
    controls: 4
  )

  private static let header = CrashLogHeader(
    plan: plan,
    toolVersion: "0.1.0",
    bootID: "f7",
    target: "/dev/\"ä\\\n",
    identity: nil,
    sizeBytes: 1 << 40,
    journal: "file:/x",
    isSent: true
  )

  /// Operations 1 to 9, of two threads in turn.
  private static var lines: [String] {
    [header.line + "\n"] + (1...9).map { CrashLogLine.acknowledged($0).text(plan.run) }
  }

  private static func read(_ text: some Sequence<UInt8>) throws(CrashLogProblem) -> CrashLog {
    var reader = CrashLogReader()
    try reader.feed(text)
    return try reader.finish()
  }

  private static func read(_ lines: [String]) throws(CrashLogProblem) -> CrashLog {
    try read(Array(lines.joined().utf8))
  }

  @Test func whatIsWrittenIsRead() throws {
    let log = try Self.read(Self.lines + [CrashLogLine.ended(9).text(Self.plan.run)])
    #expect(log.header == Self.header)
    #expect(log.acknowledged == [5, 4] && log.total == 9 && log.ended == 9)
    #expect(log.droppedBytes == 0 && log.damagedLines == 0)
  }

  /// Cut at every byte: each whole line counts, and what is left of another is dropped.
  @Test func aLogThatIsCutSaysWhatItHas() throws {
    let bytes = Array(Self.lines.joined().utf8)
    let head = Self.lines[0].utf8.count
    for end in 0..<bytes.count {
      guard end >= head else {
        #expect(throws: CrashLogProblem.self) { try Self.read(bytes[..<end]) }
        continue
      }
      let log = try Self.read(bytes[..<end])
      let whole = bytes[head..<end].count { $0 == UInt8(ascii: "\n") }
      #expect(log.total == UInt64(whole) && log.damagedLines == 0)
      let rest = bytes[..<end].reversed().prefix { $0 != UInt8(ascii: "\n") }.count
      #expect(log.droppedBytes == UInt64(rest))
    }
  }

  /// Any byte changed: nothing more is known than before, and amid the log it is said.
  @Test func aChangedByteIsNoticed() {
    let bytes = Array(Self.lines.joined().utf8)
    let head = Self.lines[0].utf8.count
    for place in bytes.indices {
      var changed = bytes
      changed[place] ^= 0x04
      guard place >= head else {
        #expect(throws: CrashLogProblem.self, "\(place)") { try Self.read(changed) }
        continue
      }
      let log = try? Self.read(changed)
      #expect(log.map { $0.total <= 9 } == true)
      #expect(log.map { $0.damagedLines > 0 || $0.droppedBytes > 0 } == true, "\(place)")
    }
  }

  @Test func linesThatAreMissingAreCounted() throws {
    for missing in 1...7 {
      var lines = Self.lines
      lines.remove(at: missing)
      #expect(try Self.read(lines).damagedLines == 1)
    }
    // The last ones may just not have arrived.
    #expect(try Self.read(Self.lines.dropLast(2)).damagedLines == 0)
    var twice = Self.lines
    twice.insert(twice[3], at: 5)
    #expect(try Self.read(twice).damagedLines == 1)
    // Whole lines are no cut, wherever they are.
    var last = Self.lines
    for number in last.indices.suffix(3) {
      last[number] = "b" + last[number].dropFirst()
    }
    #expect(try Self.read(last).damagedLines == 3)
    // A number that no run can have reached.
    let wild = CrashLogLine.acknowledged(1 << 60).text(Self.plan.run)
    let log = try Self.read(Self.lines + [wild])
    #expect(log.damagedLines == 1 && log.total == 9)
  }

  @Test func whatIsNoLogIsRefused() {
    #expect(throws: CrashLogProblem.empty) { try Self.read([]) }
    #expect(throws: CrashLogProblem.noHeader) { try Self.read(["hello\n"]) }
    #expect(throws: CrashLogProblem.noHeader) { try Self.read(["\(Self.header.line) \n"]) }
    let later = Self.header.line.replacing("crash-log/1", with: "crash-log/2")
    #expect(throws: CrashLogProblem.version) { try Self.read([later + "\n"]) }
    #expect(throws: CrashLogProblem.severalRuns) { try Self.read(Self.lines + Self.lines) }
    // Another run's lines are none of this one.
    let other = CrashLogLine.acknowledged(10).text(1)
    let log = try? Self.read(Self.lines + [other, Self.lines[1]])
    #expect(log?.damagedLines == 2)
  }

  /// No plan that a log may have makes a check trap.
  @Test func impossiblePlansAreRefused() {
    func isPossible(_ change: (inout CrashPlan) -> Void) -> Bool {
      var plan = Self.plan
      change(&plan)
      return plan.isPossible
    }
    #expect(isPossible { _ in })
    #expect(!isPossible { $0.slots = 0 })
    #expect(!isPossible { $0.slots = CrashPlan.mostSlots + 1 })
    #expect(!isPossible { $0.threads = 0 })
    #expect(!isPossible { $0.ranges = 51 })
    #expect(isPossible { $0.ranges = 50 })
    #expect(!isPossible { $0.offsetBytes = .max })
    #expect(!isPossible { $0.slotBytes = 100 })
    #expect(!isPossible { $0.controls = 65 })
    #expect(!isPossible { $0.controlBytes = 512 })
    #expect(!isPossible { $0.controlBytes = 1000 })
  }

  @Test func operationsOfAThreadKeepToItsSlots() {
    var plan = Self.plan
    (plan.threads, plan.ranges) = (7, 3)
    var slots: [UInt64] = []
    var seen = Set<UInt64>()
    for sequence in 1...2000 as ClosedRange<UInt64> {
      plan.slots(of: sequence, into: &slots)
      let (thread, operation) = plan.origin(of: sequence)
      #expect(plan.sequence(thread: thread, operation: operation) == sequence)
      #expect(slots.count == 3 && Set(slots).count == 3)
      #expect(slots.allSatisfy(plan.slots(ofThread: thread).contains))
      seen.formUnion(slots)
    }
    #expect(seen.count == 100)
  }
}
