import CAllocationCounter
import Foundation
import LinuxIO
import SystemPackage
import Testing

@testable import NVMeAtomic

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

  /// Commands of the library's own, by ring and by system call, without a drive: /dev/null ends
  /// each by a ring well (`drivers/char/mem.c:uring_cmd_null`) and refuses each ioctl.
  @Test(arguments: [1, 32])
  func commandsAllocateNothing(depth: Int) throws {
    let null = try OwnedFileDescriptor(opening: "/dev/null", .readWrite)
    let route = OperationRoute(
      generic: null.rawValue,
      NamespaceAddress(nsid: 1, firstBlock: 0, blockShift: 9)
    )
    let region = try BufferRegion(pieces: depth, pieceByteCount: Self.page)
    var ring = try RingStorage(route, depth: depth, staysOnThread: false)
    try ring.register(region.bytes)
    var queue = WriteEngine(ring, .init(durability: depth == 1 ? .single : .shared))
    let single = SyscallStorage(route)
    var command = StorageOperation(.atomicWrite, token: 0)
    command.byteCount = UInt32(Self.page)
    var (done, refused) = (0, 0)
    func write(_ count: Int) throws {
      for number in 0..<count {
        while !queue.hasRoom { if try queue.next()?.failure == nil { done += 1 } }
        let slot = queue.nextSlot
        try queue.begin(
          inSlot: slot,
          region.memory(ofPiece: slot),
          byteCount: Self.page,
          atBytes: UInt64(number % 64 * Self.page),
          isRegistered: true
        )
        command.memory = region.memory(ofPiece: 0)
        if single.perform(command).value == -ENOTTY { refused += 1 }
      }
      while let ended = try queue.next() { if ended.failure == nil { done += 1 } }
    }
    try write(2 * depth)
    let before = allocation_count()
    (done, refused) = (0, 0)
    try write(100)
    #expect(allocation_count() == before)
    #expect(done == 100)
    #expect(refused == 100)
  }
}
