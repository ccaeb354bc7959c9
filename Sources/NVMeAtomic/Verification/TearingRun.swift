import LinuxIO
import SystemPackage

/// Carries a plan out, step by step, by threads that each have an access of their own.
package struct TearingRun<Access: TearingAccess & ~Copyable>: Sendable {
  /// Makes an access on the thread that uses it.
  package typealias Maker = @Sendable () throws(AtomicWriteError) -> Access

  /// The control that decides goes on until so many reads were torn, for four times as long as
  /// asked for or so many nanoseconds.
  private static var enoughTorn: UInt64 { 10 }
  private let longestControl: UInt64

  private let plan: TearingPlan
  private let options: TearingOptions
  private let makeAccess: Maker
  private let look: Look

  /// What is known of a step at the moment, when its ranges have been written.
  package typealias Look = @Sendable (TearingStep) -> TearingStep

  package init(
    _ plan: TearingPlan,
    _ options: TearingOptions,
    longestControlNanoseconds: UInt64 = 10_000_000_000,
    look: @escaping Look = { $0 },
    _ makeAccess: @escaping Maker
  ) {
    (self.plan, self.options, self.makeAccess) = (plan, options, makeAccess)
    self.look = look
    longestControl = longestControlNanoseconds
  }

  package func run(
    shouldStop: () -> Bool,
    progress: (TearingStep, TearingCount) -> Void
  ) -> TearingResult {
    // As a number in a document, which has 53 bits.
    var result = TearingResult(run: .random(in: 1..<1 << 48))
    do throws(AtomicWriteError) {
      try prepare()
      try writeOnce(shouldStop)
      result.selfCheck = try selfCheck(result.run)
    } catch {
      result.failure = (error, plan.steps.first?.offsetsBytes.first ?? 0)
      return result
    }
    guard result.selfCheck?.passed == true else { return result }
    for (number, step) in plan.steps.enumerated() {
      if shouldStop() { result.isInterrupted = true }
      guard !result.isInterrupted else { break }
      do throws(Errno) {
        // Numbers rise in each place of a step; of another step's blocks nothing is taken for its.
        let shared = TearingShared(
          step,
          run: result.run + UInt64(number + 1),
          blockBytes: plan.blockBytes,
          writers: options.writers,
          try LoadControl()
        )
        carryOut(shared, &result, shouldStop, progress)
      } catch {
        result.failure = (.noResources(.descriptor, SystemError(error)), 0)
      }
      if result.failure != nil { break }
    }
    return result
  }

  /// What threads will ask for, asked for first: what is missing later would end the process.
  private func prepare() throws(AtomicWriteError) {
    let largest = plan.steps.map(\.sizeBytes).max() ?? 0
    let count = UInt64(options.writers + options.readers + 4)
    do throws(Errno) {
      try HostProcess.checkMemory(
        byteCount: count.multipliedOrMax(by: (10 << 20) + 2 * largest).addingOrMax(64 << 20)
      )
    } catch {
      throw .noResources(.memory, SystemError(error))
    }
  }

  /// All places of a file, by ordinary writes.
  private func writeOnce(_ shouldStop: () -> Bool) throws(AtomicWriteError) {
    guard let range = plan.preparedRange else { return }
    var access = try makeAccess()
    var offset = range.lowerBound
    while offset < range.upperBound, !shouldStop() {
      let count = min(range.upperBound - offset, 1 << 20)
      let zeros = try AlignedBuffer(reserving: Int(count))
      try access.write(zeros, atBytes: offset, isOrdinary: true)
      offset += count
    }
  }

  private func selfCheck(_ run: UInt64) throws(AtomicWriteError) -> TearingResult.SelfCheck {
    let step = plan.steps.first { $0.kind == .path && $0.sizeBytes >= 2 * plan.blockBytes }
    let offset = (step ?? plan.steps.first)?.offsetsBytes.first ?? 0
    let length = step?.sizeBytes ?? 2 * plan.blockBytes
    var check = TearingSelfCheck(
      try makeAccess(),
      run: run,
      blockBytes: plan.blockBytes,
      offset..<offset + length
    )
    guard try check.inMemory() else { return .init(inMemory: false, onTarget: nil) }
    if step == nil { return .init(inMemory: true, onTarget: nil) }
    return .init(
      inMemory: true,
      onTarget: try check.onTarget(alignmentBytes: plan.alignmentBytes)
    )
  }

  // MARK: One step

  private func carryOut(
    _ shared: TearingShared,
    _ result: inout TearingResult,
    _ shouldStop: () -> Bool,
    _ progress: (TearingStep, TearingCount) -> Void
  ) {
    alone(shared) { (worker: inout TearingWorker<Access>) in worker.fillAll() }
    let before = look(shared.step)
    var (begin, isStopped) = (HostProcess.monotonicNanoseconds, false)
    if shared.failure == nil {
      runThreads(from: 0, shared) {
        begin = HostProcess.monotonicNanoseconds
        isStopped = watch(shared, from: begin, shouldStop, progress)
      }
    }
    let elapsed = HostProcess.monotonicNanoseconds - begin
    if shared.failure == nil {
      alone(shared) { (worker: inout TearingWorker<Access>) in shared.add(worker.checkAll()) }
    }
    var count = shared.count
    count.elapsedNanoseconds = elapsed
    let step = TearingPlacement.agreed(before, look(shared.step))
    result.parts.append(.init(step, count, shared.evidence))
    result.failure = shared.failure
    if isStopped { result.isInterrupted = true }
  }

  /// On this thread, with nothing else on its way.
  private func alone(_ shared: TearingShared, _ body: (inout TearingWorker<Access>) -> Void) {
    do throws(AtomicWriteError) {
      var worker = try TearingWorker(
        shared,
        try makeAccess(),
        bufferBytes: shared.step.sizeBytes,
        writers: options.writers,
        seed: 0
      )
      body(&worker)
    } catch {
      shared.fail(error, at: shared.step.offsetsBytes.first ?? 0)
    }
  }

  private var threads: Int { options.writers + options.readers }

  /// One thread after the other is made; when all are, they are watched, and then waited for.
  private func runThreads(from thread: Int, _ shared: TearingShared, _ watch: () -> Void) {
    if thread == threads { return watch() }
    do throws(Errno) {
      let worker = try WorkerThread { [self] in
        work(shared, thread)
        shared.end()
      }
      runThreads(from: thread + 1, shared, watch)
      worker.join()
    } catch {
      shared.fail(
        .noResources(.thread, SystemError(error)),
        at: shared.step.offsetsBytes.first ?? 0
      )
    }
  }

  private func work(_ shared: TearingShared, _ thread: Int) {
    let (step, isWriter) = (shared.step, thread < options.writers)
    do throws(AtomicWriteError) {
      var worker = try TearingWorker(
        shared,
        try makeAccess(),
        bufferBytes: isWriter ? step.sizeBytes : step.readBytes,
        writers: options.writers,
        seed: shared.run &+ UInt64(thread) &* 0x2545_f491_4f6c_dd1d
      )
      if isWriter {
        worker.write(as: thread)
      } else {
        worker.read(alignmentBytes: plan.alignmentBytes)
      }
    } catch {
      shared.fail(error, at: step.offsetsBytes.first ?? 0)
    }
  }

  /// Lets all threads begin, and waits for their end; whether the caller asked for it.
  private func watch(
    _ shared: TearingShared,
    from begin: UInt64,
    _ shouldStop: () -> Bool,
    _ progress: (TearingStep, TearingCount) -> Void
  ) -> Bool {
    let control = shared.control
    while control.readyThreads < threads, !control.shouldStop {
      HostProcess.pause(milliseconds: 1)
    }
    let start = HostProcess.monotonicNanoseconds
    let runtime = options.runtimeNanoseconds
    // Where nobody promises anything it decides nothing.
    let isDeciding =
      shared.step.kind == .oneCommand
      && plan.steps.contains { $0.kind == .path && !$0.isNotPromised }
    let most = isDeciding ? max(runtime.multipliedOrMax(by: 4), longestControl) : runtime
    control.begin(deadlineNanoseconds: start.addingOrMax(most))
    var (told, isStopped) = (begin, false)
    while shared.ended < threads {
      HostProcess.pause(milliseconds: 5)
      // Nobody knows before how rarely it is seen torn.
      if isDeciding, HostProcess.monotonicNanoseconds - start >= runtime,
        shared.count.torn + shared.count.damaged >= Self.enoughTorn
      {
        control.stop()
      }
      if !isStopped, shouldStop() {
        isStopped = true
        control.stop()
      }
      let now = HostProcess.monotonicNanoseconds
      guard now - told >= 250_000_000 else { continue }
      told = now
      var count = shared.count
      count.elapsedNanoseconds = now - begin
      progress(shared.step, count)
    }
    return isStopped
  }
}
