import NVMeAtomic

/// Cuts the power of a simulated drive after each step, and has what may be left judged.
final class CrashSimulationWitness {
  /// Does what is done after a start before anybody reads.
  typealias Recovery = ([UInt8]) throws(JournalProblem) -> [UInt8]

  let plan: CrashPlan
  var outcome: CrashSimulation.Outcome
  private let mostImages: Int
  private var random: SplitMix64
  private var cut: PowerCut?
  private var recovery: Recovery = { $0 }

  init(_ plan: CrashPlan, seed: UInt64, mostImages: Int) {
    self.plan = plan
    self.mostImages = mostImages
    random = SplitMix64(seed)
    outcome = CrashSimulation.Outcome(path: plan.path)
  }

  func watch(_ drive: SimulatedDrive, _ recovery: @escaping Recovery) {
    cut = PowerCut(drive)
    self.recovery = recovery
  }

  /// The next operation is told as done, and durable.
  func acknowledge() { outcome.operations += 1 }

  func fail(_ problem: String) { outcome.problem = outcome.problem ?? problem }

  /// Cuts the power here, in every way that there is, or in as many as are looked at.
  func look() {
    guard var cut else { return }
    outcome.crashPoints += 1
    if let ways = cut.ways(upTo: mostImages) {
      for way in 0..<ways {
        cut.take(way: way)
        judge(cut.image)
      }
    } else {
      // The first two: everything is lost that may be, and nothing is.
      for number in 0..<mostImages {
        switch number {
        case 0: cut.take { _ in 0 }
        case 1: cut.take { _ in .max }
        default: cut.take(&random)
        }
        judge(cut.image)
      }
    }
  }

  private func judge(_ left: [UInt8]) {
    outcome.images += 1
    var image: [UInt8]
    do throws(JournalProblem) {
      image = try recovery(left)
    } catch {
      outcome.damaged += 1
      return note("recovery fails: \(error)")
    }
    var check = CrashCheck(plan, acknowledged: [UInt64(outcome.operations)])
    // SAFETY: each piece lies within the image, which nothing else uses meanwhile.
    unsafe image.withUnsafeMutableBytes { bytes in
      for slot in 0..<plan.slots {
        let start = Int(plan.offset(ofSlot: slot))
        let end = start + plan.slotBytes
        // SAFETY: as above.
        unsafe check.take(UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end]), slot: slot)
      }
    }
    let result = check.finish()
    if result.damaged == 0 { return }
    func has(_ kinds: CrashCheck.Kind...) -> Bool { kinds.contains { result.counts[$0] != nil } }
    if has(.torn, .tornTransaction) { outcome.torn += 1 }
    if has(.lost, .misordered) { outcome.lost += 1 }
    if has(.damaged, .misplaced, .foreign, .unreadable) { outcome.damaged += 1 }
    guard let first = result.damages.first else { return }
    note("\(first.kind.rawValue) at \(first.offsetBytes): \(first.detail)")
  }

  private func note(_ what: String) {
    guard outcome.example == nil else { return }
    outcome.example =
      "power cut \(outcome.crashPoints), after \(outcome.operations) operations: \(what)"
  }
}
