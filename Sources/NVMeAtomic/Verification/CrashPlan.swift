import LinuxIO

/// What the workload of `verify crash` writes: its seed and an operation's number decide which
/// slots the operation goes to, so that a check needs to be told the number alone.
///
/// A slot is what is written at once: bytes of one length, one after the other. An operation is one
/// write of one slot, or one transaction of several. Each thread has slots of its own and carries
/// out one operation after the other: in each slot the numbers rise.
package struct CrashPlan: Hashable, Sendable {
  /// Draws the line between this run and others; see ``BlockStamp/run``. A later one is greater.
  package var run: UInt64

  /// The number of a run that begins now: the time in milliseconds, and 20 bits of chance.
  package static var newRun: UInt64 {
    HostProcess.wallClockMilliseconds << 20 | UInt64.random(in: 1..<1 << 20)
  }
  package var path: WritePath
  /// Whether an operation is durable when it is acknowledged.
  package var isDurable: Bool
  /// Where the first slot begins, bytes.
  package var offsetBytes: UInt64
  /// Bytes of a slot.
  package var slotBytes: Int
  package var slots: UInt64
  /// Bytes of a block, each with a stamp of its own.
  package var stampBytes: Int
  /// Slots of one operation.
  package var ranges: Int
  package var threads: Int
  package var seed: UInt64
  /// Bytes of each ordinary write that is longer than what the drive keeps whole: the control.
  package var controlBytes: Int
  /// Places of the control, behind the slots; 0 where there is none.
  package var controls: Int

  package init(
    run: UInt64,
    path: WritePath,
    isDurable: Bool,
    offsetBytes: UInt64,
    slotBytes: Int,
    slots: UInt64,
    stampBytes: Int,
    ranges: Int,
    threads: Int,
    seed: UInt64,
    controlBytes: Int = 0,
    controls: Int = 0
  ) {
    self.run = run
    self.path = path
    self.isDurable = isDurable
    self.offsetBytes = offsetBytes
    self.slotBytes = slotBytes
    self.slots = slots
    self.stampBytes = stampBytes
    self.ranges = ranges
    self.threads = threads
    self.seed = seed
    self.controlBytes = controlBytes
    self.controls = controls
  }

  /// Slots that a check keeps in mind: as many bytes times 16.
  package static let mostSlots: UInt64 = 1 << 24

  /// Whether there can be such a plan; one that was read from a log may be anything.
  package var isPossible: Bool {
    guard stampBytes >= BlockStamp.byteCount, stampBytes % 8 == 0, slotBytes >= stampBytes,
      slotBytes % stampBytes == 0, slotBytes <= 1 << 30, (1...1024).contains(threads),
      (1...1024).contains(ranges), slots > 0, slots <= Self.mostSlots,
      slots / UInt64(threads) >= UInt64(ranges)
    else { return false }
    guard (0...64).contains(controls), (0...1 << 30).contains(controlBytes),
      controls == 0 || controlBytes > stampBytes, controlBytes % stampBytes == 0
    else { return false }
    let (length, tooLong) = slots.multipliedReportingOverflow(by: UInt64(slotBytes))
    let (end, tooFar) = offsetBytes.addingReportingOverflow(length)
    let control = UInt64(controls * controlBytes)
    return !tooLong && !tooFar && end <= UInt64(Int64.max) && control <= UInt64(Int64.max) - end
  }

  /// Bytes of all slots.
  package var lengthBytes: UInt64 { slots * UInt64(slotBytes) }

  package func offset(ofSlot slot: UInt64) -> UInt64 { offsetBytes + slot * UInt64(slotBytes) }

  /// The slots of one thread.
  func slots(ofThread thread: Int) -> Range<UInt64> {
    func begin(_ thread: Int) -> UInt64 { slots * UInt64(thread) / UInt64(threads) }
    return begin(thread)..<begin(thread + 1)
  }

  // MARK: The control

  /// Where everything ends that a run writes to.
  package var endBytes: UInt64 {
    offsetBytes + lengthBytes + UInt64(controls) * UInt64(controlBytes)
  }

  package func offset(ofControl control: Int) -> UInt64 {
    offsetBytes + lengthBytes + UInt64(control) * UInt64(controlBytes)
  }

  /// Fills the memory of a write of the control.
  package func fillControl(
    _ memory: UnsafeMutableRawBufferPointer,
    _ sequence: UInt64,
    _ control: Int
  ) {
    precondition(memory.count == controlBytes)
    let stamp = BlockStamp(
      run: run,
      sequence: sequence,
      blockOffset: offset(ofControl: control),
      writeOffset: offset(ofControl: control),
      writeBytes: UInt32(controlBytes),
      writer: UInt32(threads)
    )
    // SAFETY: the memory is the caller's for the call.
    unsafe StampedRange.fill(memory, blockBytes: stampBytes, stamp)
  }

  // MARK: Operations

  /// The number of a thread's operation; both are counted from 0.
  package func sequence(thread: Int, operation: UInt64) -> UInt64 {
    operation &* UInt64(threads) &+ UInt64(thread) &+ 1
  }

  /// Whose operation it is, and which of his; the first is 0.
  package func origin(of sequence: UInt64) -> (thread: Int, operation: UInt64) {
    let (operation, thread) = (sequence - 1).quotientAndRemainder(dividingBy: UInt64(threads))
    return (Int(thread), operation)
  }

  /// Which slots an operation writes, no two of them the same, in the order of its writes.
  ///
  /// By Floyd's algorithm: each choice of so many is as likely as any other.
  package func slots(of sequence: UInt64, into chosen: inout [UInt64]) {
    chosen.removeAll(keepingCapacity: true)
    let own = slots(ofThread: origin(of: sequence).thread)
    let count = UInt64(own.count)
    var random = SplitMix64(seed ^ sequence &* 0x9e37_79b9_7f4a_7c15)
    for last in count - UInt64(ranges)..<count {
      let slot = own.lowerBound + random.below(last + 1)
      chosen.append(chosen.contains(slot) ? own.lowerBound + last : slot)
    }
  }

  /// What the first block of a slot says.
  package func stamp(_ sequence: UInt64, slot: UInt64) -> BlockStamp {
    BlockStamp(
      run: run,
      sequence: sequence,
      blockOffset: offset(ofSlot: slot),
      writeOffset: offset(ofSlot: slot),
      writeBytes: UInt32(slotBytes),
      writer: UInt32(origin(of: sequence).thread)
    )
  }

  /// Fills the first slot's memory with what is there while the slots are made blank.
  func fillMark(_ memory: UnsafeMutableRawBufferPointer) {
    precondition(memory.count == slotBytes)
    let mark = BlockStamp(
      run: run,
      sequence: 0,
      blockOffset: offsetBytes,
      writeOffset: offsetBytes,
      writeBytes: UInt32(slotBytes)
    )
    // SAFETY: the memory is the caller's for the call, and has the bytes of a slot.
    unsafe StampedRange.fill(memory, blockBytes: stampBytes, mark)
  }

  /// Fills a slot's memory with what an operation writes there.
  package func fill(
    _ memory: UnsafeMutableRawBufferPointer,
    _ sequence: UInt64,
    slot: UInt64
  ) {
    precondition(memory.count == slotBytes)
    // SAFETY: the memory is the caller's for the call, and has the bytes of a slot.
    unsafe StampedRange.fill(memory, blockBytes: stampBytes, stamp(sequence, slot: slot))
  }
}
