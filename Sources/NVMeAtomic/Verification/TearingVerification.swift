import LinuxIO

/// Hunts for torn reads: threads write ranges whole, over and over, while others read them, and
/// each block read says which write it is of.
///
/// What is measured is what readers see while writes are on their way (AWUN, NAWUN), and whether
/// writers that meet leave one write whole. It says nothing about power failures.
///
/// The range is overwritten. Each run first makes torn data on purpose, in memory and on the
/// target, which must be noticed; and writes more than the drive keeps whole, which must be seen
/// torn, or that nothing else was means nothing.
public struct TearingVerification: Sendable {
  /// What is done, in this order; nothing is written before ``run(shouldStop:progress:)``.
  public var steps: [TearingStep] { plan.steps }
  /// Bytes of a block that says what it is.
  public var blockBytes: UInt64 { plan.blockBytes }

  /// What may be overwritten, in bytes of the target.
  public var rangeBytes: Range<UInt64> { plan.range }

  private let target: AtomicTarget
  private let options: TearingOptions
  private let plan: TearingPlan

  /// Plans on an open target.
  ///
  /// - Parameters:
  ///   - target: Open by ``WritePath/kernel``, ``WritePath/passthrough`` or ``WritePath/plain``.
  ///   - options: Sizes, place, time and threads.
  /// - Throws: ``AtomicWriteError/refused(_:)`` or ``AtomicWriteError/missingFact(_:)`` where a
  ///   size that was asked for, or every size, is not taken or has no room; nothing was written.
  public init(_ target: AtomicTarget, _ options: TearingOptions) throws(AtomicWriteError) {
    precondition(options.writers > 0 && options.readers > 0, "somebody writes, and somebody reads")
    (self.target, self.options) = (target, options)
    plan = try Self.plan(target, options)
  }

  private static func plan(
    _ target: AtomicTarget,
    _ options: TearingOptions
  ) throws(AtomicWriteError) -> TearingPlan {
    guard [.kernel, .passthrough, .plain].contains(target.path) else {
      throw .refused(.obstacle("\(target.path.rawValue) takes transactions, not single writes"))
    }
    guard let size = target.report.sizeBytes else { throw .missingFact(.size) }
    let plan = try TearingPlan(
      target.report.limits,
      sizeBytes: size,
      path: target.path,
      allowsShared: target.allowsShared,
      options
    )
    guard target.report.kind == .file else { return plan }
    // The kernel would cut short what ends beyond.
    let limit = HostProcess.fileSizeLimitBytes
    let end = plan.steps.flatMap { step in step.offsetsBytes.map { $0 + step.sizeBytes } }.max()
    guard let end, end > limit else { return plan }
    throw .refused(.exceedsFileSizeLimit(endBytes: end, limitBytes: limit))
  }

  /// Writes and reads; ends early at the first failure, and when it is told to stop.
  ///
  /// - Parameters:
  ///   - shouldStop: Asked about two hundred times a second.
  ///   - progress: Called about four times a second with the step and what was seen of it so far.
  /// - Returns: What was found, also where that is less than planned.
  public func run(
    shouldStop: () -> Bool = { false },
    progress: (TearingStep, TearingCount) -> Void = { _, _ in }
  ) -> TearingResult {
    let target = target
    let placement = TearingPlacement(target.report, plan)
    let run = TearingRun(plan, options, look: { placement.look($0) }) {
      () throws(AtomicWriteError) in TargetAccess(target)
    }
    return run.run(shouldStop: shouldStop, progress: progress)
  }
}
