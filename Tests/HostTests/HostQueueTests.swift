import Foundation
import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// Many atomic writes on their way at once, on the running kernel: XFS in software.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here")
)
struct HostQueueTests {
  private static let page = 16384

  private func withFile(pages: Int, _ body: (String) throws -> Void) throws {
    let name = "xfs/\(UUID().uuidString)"
    let file = try HostRig.makeFile(name, byteCount: pages * Self.page)
    defer { try? FileManager.default.removeItem(atPath: file) }
    try body(file)
  }

  /// Nobody asks for completions between flushes.
  @Test func manyFlushesInARowAreAllTold() throws {
    try withFile(pages: 1) { file in
      let target = try AtomicTarget(opening: Probe().report(on: file), path: .plain)
      var queue = try AtomicWriteQueue(target, depth: 2, bufferBytes: Self.page)
      for _ in 0..<50 { try queue.flush() }
      guard let buffer = queue.takeBuffer() else { throw Errno.noMemory }
      if let refused = queue.submit(buffer, atBytes: 0) { Issue.record("\(refused.error)") }
      guard let completed = try queue.next() else { throw Errno.ioError }
      #expect(completed.error == nil)
    }
  }

  /// Every page of a file in an order that comes back to some of them while they are on their way.
  private func fill(
    _ queue: inout AtomicWriteQueue,
    pages: Int,
    writes: Int,
    _ model: inout [UInt8]
  ) throws {
    var told: Set<UInt64> = []
    func tell(_ completed: borrowing CompletedWrite) {
      #expect(completed.error == nil)
      #expect(told.insert(completed.tag).inserted, "told twice")
    }
    for number in 0..<writes {
      let place = (number &* number &+ number / 3) % pages
      var buffer: AlignedBuffer
      if let free = queue.takeBuffer() {
        buffer = free
      } else {
        guard let completed = try queue.next() else {
          Issue.record("nothing on its way, and no buffer")
          return
        }
        tell(completed)
        buffer = completed.buffer
      }
      let byte = UInt8(truncatingIfNeeded: number &* 7 &+ 1)
      buffer.withMutableBytes { TestSupport.fill($0, with: byte) }
      let offset = place * Self.page
      model.replaceSubrange(
        offset..<offset + Self.page,
        with: repeatElement(byte, count: Self.page)
      )
      if let refused = queue.submit(buffer, atBytes: UInt64(offset), tag: UInt64(number)) {
        Issue.record("\(refused.error)")
      }
    }
    while let completed = try queue.next() { tell(completed) }
    #expect(told.count == writes)
    #expect(queue.inFlight == 0)
  }

  @Test(arguments: [1, 2, 3, 32], [Durability.none, .onReturn])
  func whatOverlapsEndsInTheOrderGiven(depth: Int, durability: Durability) throws {
    try withFile(pages: 24) { file in
      let target = try AtomicTarget(opening: Probe().report(on: file))
      var queue = try AtomicWriteQueue(
        target,
        depth: depth,
        durability: durability,
        bufferBytes: Self.page
      )
      var model = try HostRig.contents(file)
      try fill(&queue, pages: 24, writes: 150, &model)
      #expect(try HostRig.contents(file) == model)
    }
  }

  @Test func whatIsRefusedComesBackWithItsBuffer() throws {
    try withFile(pages: 4) { file in
      let target = try AtomicTarget(opening: Probe().report(on: file))
      var queue = try AtomicWriteQueue(target, depth: 1, durability: .none)
      let before = try HostRig.contents(file)
      for (length, offset) in [(12288, 0), (8192, 4096), (0, 0)] {
        let bytes = [UInt8](repeating: 3, count: length)
        guard let refused = queue.submit(AlignedBuffer(copying: bytes), atBytes: UInt64(offset))
        else {
          Issue.record("taken: \(length) at \(offset)")
          continue
        }
        #expect(refused.error.outcome == .notWritten)
        #expect(refused.buffer.byteCount == length)
      }
      #expect(queue.inFlight == 0)
      #expect(try HostRig.contents(file) == before)
      if let refused = queue.submit(AlignedBuffer(byteCount: Self.page), atBytes: 0) {
        Issue.record("\(refused.error)")
      }
      let second = queue.submit(AlignedBuffer(byteCount: Self.page), atBytes: UInt64(Self.page))
      if let second { #expect(second.error == .queueIsFull) } else { Issue.record("no room") }
    }
  }

  /// What is on its way when the queue goes is waited for, and lands.
  @Test func nothingIsLostWhenTheQueueGoes() throws {
    try withFile(pages: 32) { file in
      do {
        let target = try AtomicTarget(opening: Probe().report(on: file))
        var queue = try AtomicWriteQueue(target, depth: 32)
        for page in 0..<32 {
          let bytes = [UInt8](repeating: 0xc3, count: Self.page)
          let offset = UInt64(page * Self.page)
          if let refused = queue.submit(AlignedBuffer(copying: bytes), atBytes: offset) {
            Issue.record("\(refused.error)")
          }
        }
      }
      #expect(try HostRig.contents(file).allSatisfy { $0 == 0xc3 })
    }
  }

  /// What one queue has lost by a failed flush, another one's flush does not bring back.
  @Test func noQueueTellsOfDurabilityOnceAFlushHasFailed() throws {
    try withFile(pages: 4) { file in
      let target = try AtomicTarget(opening: Probe().report(on: file))
      var queue = try AtomicWriteQueue(target, depth: 4, durability: .onReturn)
      for page in 0..<4 {
        let offset = UInt64(page * Self.page)
        if let refused = queue.submit(AlignedBuffer(byteCount: Self.page), atBytes: offset) {
          Issue.record("\(refused.error)")
        }
      }
      let cause = FailureCause(.ioError)
      target.close(cause)
      while let completed = try queue.next() { #expect(completed.error == .flushFailed(cause)) }
      #expect(throws: AtomicWriteError.flushFailed(cause)) {
        var writer = AtomicWriter(target)
        try writer.flush()
      }
    }
  }

  /// The write that was to extend the file left nothing there: that is known once it was looked.
  @Test func aRangeBeyondTheEndBecomesKnown() throws {
    try withFile(pages: 2) { file in
      let target = try AtomicTarget(opening: Probe().report(on: file))
      let (beyond, end) = (UInt64(4 * Self.page), UInt64(2 * Self.page))
      target.noteUnknown(offset: beyond, length: UInt64(Self.page))
      target.noteUnknown(offset: end - 4096, length: 8192)
      var writer = AtomicWriter(target)
      let buffer = AlignedBuffer(byteCount: Self.page)
      #expect(throws: AtomicWriteError.rangeUnknown) {
        var writer = AtomicWriter(target)
        _ = try writer.write(
          AlignedBuffer(byteCount: Self.page),
          atBytes: beyond,
          durability: .none
        )
      }
      for offset in [beyond, end - UInt64(Self.page)] {
        var found = AlignedBuffer(byteCount: 2 * Self.page)
        let expected = AtomicWriteError.endOfFile(sizeBytes: max(offset, end))
        do throws(AtomicWriteError) {
          try writer.read(into: &found, atBytes: offset)
          Issue.record("read beyond the end")
        } catch {
          #expect(error == expected)
        }
      }
      for offset in [beyond, end - UInt64(Self.page)] {
        _ = try writer.write(buffer, atBytes: offset, durability: .none)
      }
    }
  }

  /// Hands a queue from one thread to another, as an `async` function may.
  private final class Parcel: @unchecked Sendable {
    var queue: AtomicWriteQueue?

    init(_ queue: consuming AtomicWriteQueue) { self.queue = consume queue }

    func fill(with byte: UInt8, pages: Int, byteCount: Int) {
      for page in 0..<pages {
        let bytes = [UInt8](repeating: byte, count: byteCount)
        let offset = UInt64(page * byteCount)
        if let refused = queue?.submit(AlignedBuffer(copying: bytes), atBytes: offset) {
          Issue.record("\(refused.error)")
        }
      }
    }

    /// How many were done; -1 where io_uring failed.
    func tellAll() -> Int {
      var told = 0
      do throws(AtomicWriteError) {
        while let completed = try queue?.next() { if completed.error == nil { told += 1 } }
      } catch {
        return -1
      }
      return told
    }
  }

  @Test func aQueueMayGoFromThreadToThread() throws {
    try withFile(pages: 32) { file in
      let target = try AtomicTarget(opening: Probe().report(on: file))
      for round in 0..<20 {
        let parcel = Parcel(try AtomicWriteQueue(target, depth: 32))
        try WorkerThread { parcel.fill(with: UInt8(round), pages: 32, byteCount: Self.page) }.join()
        if round % 2 == 0 {
          try WorkerThread { #expect(parcel.tellAll() == 32) }.join()
        }
        try WorkerThread { parcel.queue = nil }.join()
        #expect(try HostRig.contents(file).allSatisfy { $0 == UInt8(round) }, "round \(round)")
      }
    }
  }

  /// Else buffers would be freed that the kernel still writes from.
  @Test func aQueueOfOneThreadEndsTheProcessElsewhere() async throws {
    await #expect(processExitsWith: .signal(SIGILL)) {
      guard let root = ProcessInfo.processInfo.environment["NVME_ATOMIC_HOST_RIG"] else { return }
      let file = root + "/xfs/one-thread"
      try Data(repeating: 0, count: 64 * Self.page).write(to: URL(fileURLWithPath: file))
      defer { try? FileManager.default.removeItem(atPath: file) }
      let target = try AtomicTarget(opening: Probe().report(on: file))
      let parcel = Parcel(try AtomicWriteQueue(target, depth: 32, staysOnThread: true))
      parcel.fill(with: 1, pages: 32, byteCount: Self.page)
      try WorkerThread { parcel.queue = nil }.join()
    }
  }
}
