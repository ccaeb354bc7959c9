import CAllocationCounter
import Foundation
import NVMeAtomic
import Testing

/// After the first write of a length none asks for memory, on any path.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"),
  .enabled(if: allocations_are_counted(), "a sanitizer brings an allocator of its own")
)
struct HostAllocationTests {
  private static let page = 16384
  private static let pages = 16

  private func withTarget(_ path: WritePath, _ body: (AtomicTarget) throws -> Void) throws {
    let name = "xfs/\(UUID().uuidString)"
    let file = try HostRig.makeFile(name, byteCount: Self.pages * Self.page)
    defer { try? FileManager.default.removeItem(atPath: file) }
    try body(AtomicTarget(opening: Probe().report(on: file), path: path))
  }

  @Test func theCounterCounts() {
    let before = allocation_count()
    let buffer = AlignedBuffer(byteCount: 1 << 20)
    #expect(buffer.byteCount == 1 << 20)
    #expect(allocation_count() > before)
  }

  @Test(arguments: [WritePath.kernel, .plain], [Durability.none, .onReturn])
  func oneByOneNothingIsAllocated(path: WritePath, durability: Durability) throws {
    try withTarget(path) { target in
      var writer = AtomicWriter(target)
      let buffer = AlignedBuffer(byteCount: Self.page)
      func write(_ count: Int) throws {
        for number in 0..<count {
          let offset = UInt64(number % Self.pages * Self.page)
          _ = try writer.write(buffer, atBytes: offset, durability: durability)
        }
      }
      try write(2)
      let before = allocation_count()
      try write(100)
      #expect(allocation_count() == before)
    }
  }

  @Test(arguments: [1, 32], [Durability.none, .onReturn])
  func inAQueueNothingIsAllocated(depth: Int, durability: Durability) throws {
    for path in [WritePath.kernel, .plain] {
      try withTarget(path) { target in
        var queue = try AtomicWriteQueue(
          target,
          depth: depth,
          durability: durability,
          bufferBytes: Self.page
        )
        var failures = 0
        func write(_ count: Int) throws {
          for number in 0..<count {
            let offset = UInt64(number % Self.pages * Self.page)
            if let buffer = queue.takeBuffer() {
              if queue.submit(buffer, atBytes: offset) != nil { failures += 1 }
            } else if let done = try queue.next() {
              if done.error != nil { failures += 1 }
              if queue.submit(done.buffer, atBytes: offset) != nil { failures += 1 }
            }
          }
          while let done = try queue.next() { if done.error != nil { failures += 1 } }
        }
        try write(2 * depth)
        let before = allocation_count()
        try write(100)
        #expect(allocation_count() == before)
        #expect(failures == 0)
      }
    }
  }
}
