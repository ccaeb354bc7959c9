/// Where the ranges of a file lie that are written, as of one moment: who writes them, and how many
/// commands a read is, depends on that.
struct TearingPlacement: Sendable {
  private let report: TargetReport
  private let plan: TearingPlan

  init(_ report: TargetReport, _ plan: TearingPlan) {
    (self.report, self.plan) = (report, plan)
  }

  /// What is known of a step now that its ranges have been written.
  func look(_ step: TearingStep) -> TearingStep {
    // What is known to be moved is so wherever it lies.
    guard report.kind == .file, !step.isNotPromised else { return step }
    var (verdicts, pieces): (Set<PathVerdict>, Set<Bool?>) = ([], [])
    for offset in step.offsetsBytes {
      let range = WriteRequest.Range.one(offsetBytes: offset, lengthBytes: step.sizeBytes)
      let now = Probe().report(on: report.path, answering: Question(range, writer: .rwfAtomic))
      guard now.isSameTarget(as: report), now.limits == report.limits else {
        verdicts.insert(.unknown(.placement))
        pieces.insert(nil)
        continue
      }
      let request = WriteRequest(range, promises: [.powerFailAtomic, .untorn], writer: .rwfAtomic)
      verdicts.insert(Planner(now.limits, placed: now.placement).plan(request).kernel)
      pieces.insert(now.placement?.mapping.map { $0.coveringExtent != nil })
    }
    var step = step
    if step.kind == .path, plan.path == .kernel {
      step.promise = verdicts.count == 1 ? verdicts.first : .unknown(.placement)
    }
    // One piece, no longer than a command, and no lines that commands are cut at.
    if step.readMayBeSplit == nil, pieces == [true], let one = plan.oneCommandBytes,
      step.readBytes <= one,
      report.limits.queue.chunkSectors == 0
    {
      step.readMayBeSplit = false
    }
    return step
  }

  /// What is known of a step that was looked at before and after.
  static func agreed(_ before: TearingStep, _ after: TearingStep) -> TearingStep {
    var step = before
    if before.promise != after.promise { step.promise = .unknown(.placement) }
    if before.readMayBeSplit != after.readMayBeSplit { step.readMayBeSplit = nil }
    return step
  }
}
