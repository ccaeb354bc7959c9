import LinuxIO
import Synchronization
import SystemPackage

/// What the threads of a load share.
///
/// None writes before all have what they need: what one lacks then costs no write.
final class LoadControl: Sendable {
  private let isStopped = Atomic(false)
  private let done = Atomic<UInt64>(0)
  private let ready = Atomic(0)
  /// 0 before the begin.
  private let deadline = Atomic<UInt64>(0)
  private let gate: Gate

  init() throws(Errno) { gate = try Gate() }

  /// A signal or a failure.
  var shouldStop: Bool { isStopped.load(ordering: .relaxed) }
  var operations: UInt64 { done.load(ordering: .relaxed) }
  /// Threads that have what they need, and wait for the begin.
  var readyThreads: Int { ready.load(ordering: .acquiring) }

  func stop() {
    isStopped.store(true, ordering: .relaxed)
    gate.open()
  }

  func count(_ operations: Int) { done.wrappingAdd(UInt64(operations), ordering: .relaxed) }

  /// Lets all threads begin.
  func begin(deadlineNanoseconds: UInt64) {
    deadline.store(max(deadlineNanoseconds, 1), ordering: .releasing)
    gate.open()
  }

  /// Waits for the begin.
  ///
  /// - Returns: When to stop; `nil` where the run has ended before.
  func waitForBegin() -> UInt64? {
    ready.wrappingAdd(1, ordering: .acquiringAndReleasing)
    gate.wait()
    let deadline = deadline.load(ordering: .acquiring)
    return deadline == 0 || shouldStop ? nil : deadline
  }
}

/// One thread of a load.
struct LoadWorker: ~Copyable {
  /// Takes latencies in nanoseconds.
  typealias Sink = (Span<UInt64>) -> Void

  /// Latencies are handed on in batches, so that the recorder is called rarely.
  private static let batch = 256

  let plan: LoadPlan
  let target: AtomicTarget
  let control: LoadControl
  let thread: Int

  var result = LoadResult()
  private var latencies = FixedArray<UInt64>(repeating: 0, count: Self.batch)
  private var recorded = 0
  var blocks: LoadBlocks
  var remaining: UInt64
  private var deadlineNanoseconds: UInt64 = 0

  init(_ plan: LoadPlan, _ target: AtomicTarget, _ control: LoadControl, thread: Int) {
    self.plan = plan
    self.target = target
    self.control = control
    self.thread = thread
    blocks = LoadBlocks(plan, thread: thread)
    remaining = plan.count(ofThread: thread) ?? .max
  }

  /// Writes until the count, the time, a signal or a failure ends it.
  mutating func run(_ sink: Sink) {
    if let journal = target.journal {
      runJournal(journal, sink)
    } else if plan.engine == .sync {
      runOneByOne(sink)
    } else {
      runQueue(sink)
    }
    hand(to: sink)
  }

  private mutating func runOneByOne(_ sink: Sink) {
    guard let buffer = makeBuffer(), let deadline = control.waitForBegin() else { return }
    var writer = AtomicWriter(target)
    let durability: Durability = plan.durable == .each ? .onReturn : .none
    var before = HostProcess.monotonicNanoseconds
    while remaining > 0, !control.shouldStop, before < deadline {
      let offset = blocks.next()
      // SAFETY: the buffer has the bytes of a block.
      unsafe blocks.stamp(buffer.base, at: offset)
      do throws(AtomicWriteError) {
        try writer.writeUnreported(
          buffer,
          atBytes: offset,
          durability: durability,
          isStrict: plan.isStrict
        )
      } catch {
        return fail(error, at: offset)
      }
      let now = HostProcess.monotonicNanoseconds
      remaining -= 1
      record(now - before, sink)
      before = now
    }
    result.promise = writer.promise
  }

  /// What is written again and again; `nil` where there is no memory for it.
  private mutating func makeBuffer() -> AlignedBuffer? {
    do throws(AtomicWriteError) {
      var buffer = try AlignedBuffer(reserving: plan.blockBytes)
      // SAFETY: the bytes are lent for the call.
      unsafe buffer.withMutableBytes { unsafe LoadBlocks.fill($0, seed: plan.seed) }
      return buffer
    } catch {
      fail(error, at: plan.offsetBytes)
      return nil
    }
  }

  private mutating func runQueue(_ sink: Sink) {
    do throws(AtomicWriteError) {
      var queue = try AtomicWriteQueue(
        target,
        depth: plan.depth,
        durability: plan.durable == .each ? .onReturn : .none,
        bufferBytes: plan.blockBytes,
        isStrict: plan.isStrict,
        staysOnThread: true
      )
      var begun = FixedArray<UInt64>(repeating: 0, count: plan.depth)
      // SAFETY: no piece is lent yet.
      if let region = queue.region { unsafe LoadBlocks.fill(region.bytes, seed: plan.seed) }
      guard let deadline = control.waitForBegin() else { return }
      deadlineNanoseconds = deadline
      try fill(&queue, &begun)
      try keepFull(&queue, &begun, sink)
      result.promise = queue.promise
      result.resent = UInt64(queue.resentCount)
    } catch {
      fail(error, at: plan.offsetBytes)
    }
  }

  /// Begins the next write in each place whose last one has ended. The hot loop, by itself: inside
  /// a longer function the compiler would no longer inline what it calls.
  @inline(never)
  private mutating func keepFull(
    _ queue: inout AtomicWriteQueue,
    _ begun: inout FixedArray<UInt64>,
    _ sink: Sink
  ) throws(AtomicWriteError) {
    while let ended = try queue.nextInPlace() {
      let (now, place) = (HostProcess.monotonicNanoseconds, ended.place)
      if let error = ended.error {
        fail(error, at: queue.engine.offset(inSlot: place))
        queue.vacate(place)
        continue
      }
      record(now &- begun[place], sink)
      guard remaining > 0, !control.shouldStop, now < deadlineNanoseconds else {
        queue.vacate(place)
        continue
      }
      begun[place] = now
      beginAgain(place, &queue)
    }
  }

  @inline(always)
  private mutating func beginAgain(_ place: Int, _ queue: inout AtomicWriteQueue) {
    remaining &-= 1
    let offset = blocks.next()
    // SAFETY: the buffer in each place has the bytes of a block.
    unsafe blocks.stamp(queue.memory(inPlace: place), at: offset)
    do throws(AtomicWriteError) {
      try queue.submitAgain(place, atBytes: offset)
    } catch {
      fail(error, at: offset)
      queue.vacate(place)
    }
  }

  /// The first write of each place.
  private mutating func fill(
    _ queue: inout AtomicWriteQueue,
    _ begun: inout FixedArray<UInt64>
  ) throws(AtomicWriteError) {
    let now = HostProcess.monotonicNanoseconds
    for _ in 0..<plan.depth where remaining > 0 && !control.shouldStop {
      guard let buffer = queue.takeBuffer() else { return }
      begun[queue.engine.nextSlot] = now
      let offset = blocks.next()
      // SAFETY: the buffer has the bytes of a block.
      unsafe blocks.stamp(buffer.base, at: offset)
      remaining -= 1
      if let refused = queue.submit(buffer, atBytes: offset) { fail(refused.error, at: offset) }
    }
  }

  mutating func record(_ latency: UInt64, _ sink: Sink) {
    result.operations &+= 1
    latencies[recorded] = latency
    recorded &+= 1
    if recorded == Self.batch { hand(to: sink) }
  }

  @inline(never)
  private mutating func hand(to sink: Sink) {
    if recorded > 0 { latencies.withFirst(recorded, sink) }
    control.count(recorded)
    recorded = 0
  }

  /// Ends the run for all threads.
  @inline(never)
  mutating func fail(_ error: AtomicWriteError, at offset: UInt64) {
    result.fail(error, atBytes: offset)
    control.stop()
  }
}
