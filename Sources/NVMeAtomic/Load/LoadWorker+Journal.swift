import LinuxIO

/// Writes by a journal: as many as are to be on their way at once are one group.
extension LoadWorker {
  mutating func runJournal(_ journal: JournalSession, _ sink: Sink) {
    let depth = min(plan.depth, journal.mostTogether(byteCount: plan.blockBytes))
    do throws(AtomicWriteError) {
      var buffer = try AlignedBuffer(reserving: depth * plan.blockBytes)
      // SAFETY: the bytes are lent for the call.
      unsafe buffer.withMutableBytes { unsafe LoadBlocks.fill($0, seed: plan.seed) }
      guard let deadline = control.waitForBegin() else { return }
      var group = JournalGroup(depth)
      var before = HostProcess.monotonicNanoseconds
      while remaining > 0, !control.shouldStop, before < deadline {
        gather(&group, buffer)
        do throws(AtomicWriteError) {
          // SAFETY: each write's bytes lie one after the other in the buffer.
          unsafe try journal.commitAligned(group.ranges) { memory, range, from in
            let source = unsafe buffer.base + (range * plan.blockBytes + from)
            unsafe memory.copyMemory(
              from: UnsafeRawBufferPointer(start: source, count: memory.count)
            )
          }
        } catch {
          return fail(error, at: group.ranges.first?.lowerBound ?? plan.offsetBytes)
        }
        let now = HostProcess.monotonicNanoseconds
        for _ in group.ranges { record(now &- before, sink) }
        remaining -= UInt64(group.ranges.count)
        before = now
      }
      result.promise = journal.promise
    } catch {
      fail(error, at: plan.offsetBytes)
    }
  }

  /// The next writes, up to one that lies over another of them.
  private mutating func gather(_ group: inout JournalGroup, _ buffer: borrowing AlignedBuffer) {
    group.begin()
    while group.hasRoom, remaining > UInt64(group.ranges.count) {
      let offset = group.takeLate() ?? blocks.next()
      guard group.add(offset, byteCount: plan.blockBytes) else { return }
      // SAFETY: the buffer has as many blocks as the group.
      unsafe blocks.stamp(buffer.base + (group.ranges.count - 1) * plan.blockBytes, at: offset)
    }
  }
}

/// Writes of one length that are committed together.
struct JournalGroup {
  private(set) var ranges: [Range<UInt64>] = []
  private var offsets = Set<UInt64>()
  /// One that would have lain over another, for the next group.
  private var late: UInt64?
  private let depth: Int

  init(_ depth: Int) {
    self.depth = depth
    ranges.reserveCapacity(depth)
    offsets.reserveCapacity(depth)
  }

  var hasRoom: Bool { ranges.count < depth }

  mutating func begin() {
    ranges.removeAll(keepingCapacity: true)
    offsets.removeAll(keepingCapacity: true)
  }

  mutating func takeLate() -> UInt64? { late.take() }

  /// Whether it is in: the group ends before one that lies over another.
  mutating func add(_ offset: UInt64, byteCount: Int) -> Bool {
    guard offsets.insert(offset).inserted else {
      late = offset
      return false
    }
    ranges.append(offset..<offset + UInt64(byteCount))
    return true
  }
}
