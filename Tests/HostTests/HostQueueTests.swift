import Foundation
import LinuxIO
import NVMeAtomic
import SystemPackage
import Testing

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
      buffer.withMutableBytes { $0.copyBytes(from: repeatElement(byte, count: Self.page)) }
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
}
