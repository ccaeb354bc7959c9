/// Judges what a power cut has left of a workload of `verify crash`, slot by slot. No I/O.
///
/// What is known is which operations were acknowledged, by the log, and which slots each of them
/// wrote, by the seed. From that follows what each slot may hold: the operation that the log
/// says was the last one there, or a later one; all of it; and of a transaction all slots or none.
package struct CrashCheck {
  /// What is wrong with a slot or a transaction. The raw values are part of the JSON contract.
  package enum Kind: String, Sendable, CaseIterable {
    /// Blocks of more than one operation, or some that were never written.
    case torn
    /// Some slots of a transaction are there, and others older.
    case tornTransaction = "torn-transaction"
    /// An operation that was acknowledged as durable is not there.
    case lost
    /// An operation is not there, and a later one of the same thread is, which was begun after it
    /// was acknowledged.
    case misordered
    /// A block that no run has written so.
    case damaged
    /// A block of this run that belongs elsewhere.
    case misplaced
    /// A block of another run, from before the slots were made blank.
    case foreign
    /// The system could not read it.
    case unreadable
  }

  /// One thing that must not be.
  package struct Damage: Hashable, Sendable {
    package var kind: Kind
    package var offsetBytes: UInt64
    package var lengthBytes: UInt64
    /// The operation that is torn, or that is not there; `nil` where there is none.
    package var sequence: UInt64?
    /// What is there instead, as a clause.
    package var detail: String
  }

  /// What was found in all slots together.
  package struct Result: Sendable {
    /// Slots of each kind.
    package var counts: [Kind: UInt64] = [:]
    /// The first ``CrashCheck/mostTold`` of each kind, in the order of their offsets.
    package var damages: [Damage] = []
    package var blank: UInt64 = 0
    package var whole: UInt64 = 0
    /// Transactions that were seen, and looked at slot by slot.
    package var transactions: UInt64 = 0
    /// Threads whose last operation had not been acknowledged, and is seen.
    package var seenInFlight: UInt64 = 0
    /// Operations that are there and could not have been begun by what the log says: it has lost
    /// lines, or they had not arrived.
    package var ahead: UInt64 = 0
    /// Blocks of this run, and the latest other run of which there are any.
    package var ownBlocks: UInt64 = 0
    package var otherRun: UInt64?

    /// Places of the control that hold blocks of several ordinary writes, and those that do not.
    package var controlsTorn: UInt64 = 0
    package var controlsWhole: UInt64 = 0

    package init() {}

    /// Of all kinds.
    package var damaged: UInt64 { counts.values.reduce(0, +) }
  }

  /// Damages that are kept one by one.
  package static let mostTold = 1000
  /// Operations that a log may lag behind the target; of more, nothing is made.
  private static let mostAhead: UInt64 = 1 << 24

  private let plan: CrashPlan
  private let acknowledged: [UInt64]
  /// The operation that each slot holds, 0 for none, ``unknown`` where it is damaged or not taken.
  private var seen: [UInt64]
  /// Operations of each thread that are known to have been begun.
  private var begun: [UInt64]
  private var result = Result()

  private static let unknown = UInt64.max

  /// - Parameters:
  ///   - plan: What the workload was; one that is possible.
  ///   - acknowledged: Of each thread; its first so many operations.
  package init(_ plan: CrashPlan, acknowledged: [UInt64]) {
    precondition(acknowledged.count == plan.threads && plan.isPossible)
    self.plan = plan
    self.acknowledged = acknowledged
    seen = [UInt64](repeating: Self.unknown, count: Int(plan.slots))
    begun = acknowledged
  }

  // MARK: Slots

  /// Takes what was read of a slot.
  ///
  /// - Parameters:
  ///   - memory: All of it, borrowed.
  ///   - slot: Which one.
  package mutating func take(_ memory: UnsafeMutableRawBufferPointer, slot: UInt64) {
    precondition(memory.count == plan.slotBytes)
    // SAFETY: the memory is the caller's for the call.
    let verdict = unsafe StampedRange.judge(
      memory,
      blockBytes: plan.stampBytes,
      at: plan.offset(ofSlot: slot),
      run: plan.run
    )
    switch verdict {
    case .blank:
      seen[Int(slot)] = 0
      result.blank += 1
    case .whole(let stamp) where stamp.sequence == 0 && slot == 0:
      // The mark, in place of which there were zeros on stable storage before the first operation.
      seen[0] = 0
      result.ownBlocks += 1
      if acknowledged.contains(where: { $0 > 0 }) {
        add(.lost, 0, "what had made it blank is not there", nil)
      } else {
        result.blank += 1
      }
    case .whole(let stamp):
      note(stamp)
      guard belongs(stamp, slot) else {
        return fail(.misplaced, slot, "operation \(stamp.sequence), which did not write there")
      }
      seen[Int(slot)] = stamp.sequence
      result.whole += 1
    case .torn(let readings):
      for case .stamped(let stamp) in readings { note(stamp) }
      let newest = readings.compactMap(\.sequence).max()
      fail(.torn, slot, CrashWords.blocks(readings), sequence: newest)
    case .wrong(let block, let reading):
      let place = "block \(block) at \(plan.offset(ofSlot: slot) + UInt64(block * plan.stampBytes))"
      failWrong(slot, place, reading)
    }
  }

  /// Takes what was read of a place of the control: it may be torn, and nothing else.
  ///
  /// - Parameters:
  ///   - memory: All of it, borrowed.
  ///   - control: Which one.
  package mutating func take(
    _ memory: UnsafeMutableRawBufferPointer,
    control: Int
  ) {
    precondition(memory.count == plan.controlBytes)
    let offset = plan.offset(ofControl: control)
    // SAFETY: the memory is the caller's for the call.
    let verdict = unsafe StampedRange.judge(
      memory,
      blockBytes: plan.stampBytes,
      at: offset,
      run: plan.run
    )
    switch verdict {
    case .blank: result.controlsWhole += 1
    case .whole:
      result.controlsWhole += 1
      result.ownBlocks += 1
    case .torn:
      result.controlsTorn += 1
      result.ownBlocks += 1
    case .wrong(let block, let reading):
      let place = "block \(block) at \(offset + UInt64(block * plan.stampBytes))"
      let (kind, detail) = wrong(place, reading)
      add(kind, offset..<offset + UInt64(plan.controlBytes), detail, nil)
    }
  }

  /// The system could not read a place of the control.
  package mutating func takeUnreadable(control: Int, _ reason: String) {
    let offset = plan.offset(ofControl: control)
    add(.unreadable, offset..<offset + UInt64(plan.controlBytes), reason, nil)
  }

  /// The system could not read it; a clause says why.
  package mutating func takeUnreadable(slot: UInt64, _ reason: String) {
    fail(.unreadable, slot, reason)
  }

  private mutating func failWrong(_ slot: UInt64, _ place: String, _ reading: BlockStamp.Reading) {
    if case .stamped(let stamp) = reading, stamp.run == plan.run { note(stamp) }
    let (kind, detail) = wrong(place, reading)
    fail(kind, slot, detail)
  }

  private mutating func wrong(_ place: String, _ reading: BlockStamp.Reading) -> (Kind, String) {
    guard case .stamped(let stamp) = reading else {
      return (.damaged, "\(place) holds what nobody wrote")
    }
    if stamp.run != plan.run {
      result.otherRun = max(result.otherRun ?? 0, stamp.run)
      return (.foreign, "\(place) is of run \(CrashLogLine.hex(stamp.run))")
    }
    return (
      .misplaced,
      "\(place) belongs at \(stamp.blockOffset), to the write of "
        + "\(ByteText(UInt64(stamp.writeBytes))) at \(stamp.writeOffset)"
    )
  }

  /// A block of this run: whose operation it is has been begun.
  private mutating func note(_ stamp: BlockStamp) {
    result.ownBlocks += 1
    // The control's are counted apart.
    guard stamp.sequence > 0, Int(stamp.writer) < plan.threads else { return }
    let (thread, operation) = plan.origin(of: stamp.sequence)
    begun[thread] = max(begun[thread], operation.addingOrMax(1))
  }

  /// Whether an operation writes that slot.
  private func belongs(_ stamp: BlockStamp, _ slot: UInt64) -> Bool {
    guard stamp.sequence > 0, Int(stamp.writer) == plan.origin(of: stamp.sequence).thread else {
      return false
    }
    var slots: [UInt64] = []
    plan.slots(of: stamp.sequence, into: &slots)
    return slots.contains(slot)
  }

  private mutating func fail(
    _ kind: Kind,
    _ slot: UInt64,
    _ detail: String,
    sequence: UInt64? = nil
  ) {
    seen[Int(slot)] = Self.unknown
    add(kind, slot, detail, sequence)
  }

  private mutating func add(
    _ kind: Kind,
    _ slot: UInt64,
    _ detail: String,
    _ sequence: UInt64?
  ) {
    let offset = plan.offset(ofSlot: slot)
    add(kind, offset..<offset + UInt64(plan.slotBytes), detail, sequence)
  }

  private mutating func add(
    _ kind: Kind,
    _ range: Range<UInt64>,
    _ detail: String,
    _ sequence: UInt64?
  ) {
    result.counts[kind, default: 0] += 1
    // Each kind is told of, however many there are of another.
    guard result.counts[kind, default: 0] <= Self.mostTold else { return }
    result.damages.append(
      Damage(
        kind: kind,
        offsetBytes: range.lowerBound,
        lengthBytes: range.upperBound - range.lowerBound,
        sequence: sequence,
        detail: detail
      )
    )
  }

  // MARK: All slots together

  /// Draws the conclusions from the slots that were taken.
  package consuming func finish() -> Result {
    checkTransactions()
    checkPresence()
    for thread in 0..<plan.threads {
      let (acknowledged, begun) = (acknowledged[thread], begun[thread])
      if begun > acknowledged { result.seenInFlight += 1 }
      if begun > acknowledged.addingOrMax(1) { result.ahead += begun - acknowledged - 1 }
    }
    result.damages.sort { ($0.offsetBytes, $0.kind.rawValue) < ($1.offsetBytes, $1.kind.rawValue) }
    return result
  }

  /// Where one slot shows a transaction, no other slot of it is older.
  private mutating func checkTransactions() {
    if plan.ranges == 1 { return }
    var slots: [UInt64] = []
    for slot in 0..<plan.slots {
      let sequence = seen[Int(slot)]
      guard sequence > 0, sequence != Self.unknown else { continue }
      plan.slots(of: sequence, into: &slots)
      // Once for each transaction: where its first slot that still shows it is.
      guard slot == slots.filter({ seen[Int($0)] == sequence }).min() else { continue }
      result.transactions += 1
      let older = slots.filter { seen[Int($0)] < sequence }
      guard let first = older.min() else { continue }
      add(
        .tornTransaction,
        first,
        CrashWords.transaction(sequence, older.count, of: slots.count, seen[Int(first)]),
        sequence
      )
    }
  }

  /// No slot is older than what was acknowledged there, by the log or because its thread went on.
  private mutating func checkPresence() {
    guard plan.isDurable else { return }
    var (needed, slots) = ([UInt64](repeating: 0, count: seen.count), [UInt64]())
    for thread in 0..<plan.threads {
      // The last one that was begun may be on its way; those before it were acknowledged.
      var known = max(acknowledged[thread], begun[thread] - min(begun[thread], 1))
      if known - acknowledged[thread] > Self.mostAhead { known = acknowledged[thread] }
      for operation in 0..<known {
        let sequence = plan.sequence(thread: thread, operation: operation)
        plan.slots(of: sequence, into: &slots)
        for slot in slots { needed[Int(slot)] = sequence }
      }
    }
    for (slot, sequence) in needed.enumerated() where seen[slot] < sequence {
      let (thread, operation) = plan.origin(of: sequence)
      add(
        operation < acknowledged[thread] ? .lost : .misordered,
        UInt64(slot),
        "\(CrashWords.operation(seen[slot])) in place of operation \(sequence)",
        sequence
      )
    }
  }
}

extension BlockStamp.Reading {
  fileprivate var sequence: UInt64? {
    if case .stamped(let stamp) = self { stamp.sequence } else { nil }
  }
}

/// What was found, in words.
package enum CrashWords {
  static func operation(_ sequence: UInt64) -> String {
    sequence == 0 ? "nothing" : "operation \(sequence)"
  }

  static func transaction(
    _ sequence: UInt64,
    _ older: Int,
    of count: Int,
    _ found: UInt64
  ) -> String {
    "\(older) of \(count) ranges of transaction \(sequence) are older; this one has "
      + operation(found)
  }

  /// Which blocks are of which operation: `blocks 0 to 3 of operation 7, 4 to 7 blank`.
  package static func blocks(_ readings: [BlockStamp.Reading]) -> String {
    var parts: [String] = []
    var first = 0
    for block in readings.indices {
      let next = block + 1
      if next < readings.count, readings[next].what == readings[block].what { continue }
      let place = first == block ? "\(first)" : "\(first) to \(block)"
      let noun = parts.isEmpty ? first == block ? "block " : "blocks " : ""
      parts.append("\(noun)\(place) \(readings[block].what)")
      first = next
    }
    return parts.joined(separator: ", ")
  }
}

extension BlockStamp.Reading {
  fileprivate var what: String {
    switch self {
    case .blank: "blank"
    case .damaged: "damaged"
    case .stamped(let stamp): "of operation \(stamp.sequence)"
    }
  }
}
