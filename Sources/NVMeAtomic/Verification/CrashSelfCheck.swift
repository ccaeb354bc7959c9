/// Shows that the check sees what it is there for: in memory a workload is carried out, and then
/// harmed in each way that a power cut may harm it.
package enum CrashSelfCheck {
  /// The kinds of damage that went unseen, and `clean` for a state that was taken for damaged; none
  /// where all is well.
  package static func blindness() -> [String] {
    var blind: [String] = []
    if judge({ _, _ in }).damaged != 0 { blind.append("clean") }
    for (kind, harm) in harms {
      // What was acknowledged is lost; what was not is missing before a later one.
      let acknowledged = kind == .misordered ? 0 : operations
      if judge(harm, acknowledged).counts[kind] == nil { blind.append(kind.rawValue) }
    }
    return blind
  }

  /// Of one thread, twelve transactions of two slots each, all of them acknowledged.
  private static let plan = CrashPlan(
    run: 0x5e1f_c4ec,
    path: .journal,
    isDurable: true,
    offsetBytes: 4096,
    slotBytes: 2048,
    slots: 6,
    stampBytes: 512,
    ranges: 2,
    threads: 1,
    seed: 1
  )
  private static let operations: UInt64 = 12

  private typealias Harm = (_ slot: UInt64, _ memory: Memory) -> Void

  /// A slot's bytes, which a harm changes.
  private final class Memory {
    var bytes = AlignedBuffer(byteCount: plan.slotBytes)

    func fill(_ sequence: UInt64, slot: UInt64, run: UInt64 = plan.run) {
      var plan = plan
      plan.run = run
      // SAFETY: the bytes are lent for the call.
      unsafe bytes.withMutableBytes { unsafe plan.fill($0, sequence, slot: slot) }
    }

    /// The first so many bytes are of another operation.
    func tear(_ byteCount: Int, _ sequence: UInt64, slot: UInt64) {
      let other = Memory()
      other.fill(sequence, slot: slot)
      // SAFETY: both buffers have the bytes of a slot.
      unsafe bytes.withMutableBytes { own in
        unsafe other.bytes.withBytes { bytes in
          unsafe own.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]))
        }
      }
    }

    func flipBit() {
      // SAFETY: the place is within the bytes.
      unsafe bytes.withMutableBytes { unsafe $0[1000] ^= 1 }
    }
  }

  private static var harms: [(CrashCheck.Kind, Harm)] {
    let (last, before) = (operations, newest.before)
    var slots: [UInt64] = []
    plan.slots(of: last, into: &slots)
    let all = slots
    let one = slots[0]
    func older(_ slot: UInt64, _ memory: Memory) {
      memory.bytes = AlignedBuffer(byteCount: plan.slotBytes)
      if let sequence = before[slot], sequence > 0 { memory.fill(sequence, slot: slot) }
    }
    return [
      (.torn, { slot, memory in if slot == one { memory.tear(1024, 1, slot: slot) } }),
      (.lost, { slot, memory in if all.contains(slot) { older(slot, memory) } }),
      (
        .misordered,
        { slot, memory in
          if !all.contains(slot) { memory.bytes = AlignedBuffer(byteCount: plan.slotBytes) }
        }
      ),
      (.tornTransaction, { slot, memory in if slot == one { older(slot, memory) } }),
      (.damaged, { slot, memory in if slot == one { memory.flipBit() } }),
      (
        .misplaced,
        { slot, memory in if slot == one { memory.fill(last, slot: (slot + 1) % plan.slots) } }
      ),
      (.foreign, { slot, memory in if slot == one { memory.fill(last, slot: slot, run: 1) } }),
    ]
  }

  /// The last operation of each slot, and the last one before the last of all.
  private static let newest: (all: [UInt64], before: [UInt64: UInt64]) = {
    var (all, before) = ([UInt64](repeating: 0, count: Int(plan.slots)), [UInt64: UInt64]())
    var slots: [UInt64] = []
    for sequence in 1...operations {
      plan.slots(of: sequence, into: &slots)
      for slot in slots {
        if sequence == operations { before[slot] = all[Int(slot)] }
        all[Int(slot)] = sequence
      }
    }
    return (all, before)
  }()

  private static func judge(
    _ harm: Harm,
    _ acknowledged: UInt64 = operations
  ) -> CrashCheck.Result {
    var check = CrashCheck(plan, acknowledged: [acknowledged])
    for slot in 0..<plan.slots {
      let memory = Memory()
      let sequence = newest.all[Int(slot)]
      if sequence > 0 { memory.fill(sequence, slot: slot) }
      harm(slot, memory)
      // SAFETY: the bytes are lent for the call.
      unsafe memory.bytes.withMutableBytes { unsafe check.take($0, slot: slot) }
    }
    return check.finish()
  }
}
