import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// Writes where somebody reads all the time, by way of the page cache.
@Suite struct WriteBesideReaderTests {
  private static let block = 512

  /// Whoever reads on has the pages back by the time that one has waited: they are dropped after
  /// that, with nothing between it and the write.
  @Test(arguments: [1, 2, 8])
  func pagesAreDroppedRightBeforeAWrite(depth: Int) throws {
    let journal = MemoryStorage.Journal(byteCount: Self.block * 64)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.block, alignment: 16)
    defer { memory.deallocate() }
    var pauses = 0
    var engine = WriteEngine(
      MemoryStorage(journal, depth: depth, seed: 1),
      .init(pause: { _ in
        pauses += 1
        journal.hasPages = true
      })
    )
    for block in 0..<64 {
      journal.hasPages = true
      while !engine.hasRoom { #expect(try engine.next()?.failure == nil, "depth \(depth)") }
      let offset = UInt64(block * Self.block)
      try engine.begin(
        inSlot: engine.nextSlot,
        memory,
        byteCount: Self.block,
        atBytes: offset
      )
    }
    while let ended = try engine.next() { #expect(ended.failure == nil, "depth \(depth)") }
    #expect(pauses > 0, "nothing was in the way")
    #expect(journal.hasPages == false)
  }

  /// Pages that nobody lets go of: all writes give up together, not one after the other.
  @Test(arguments: [1, 2, 8, 32])
  func whatStaysInTheWayIsReportedAtOnce(depth: Int) throws {
    let journal = MemoryStorage.Journal(byteCount: Self.block * depth)
    (journal.hasPages, journal.keepsPages) = (true, true)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.block, alignment: 16)
    defer { memory.deallocate() }
    var milliseconds: UInt32 = 0
    var engine = WriteEngine(
      MemoryStorage(journal, depth: depth, seed: 1),
      .init(pause: { milliseconds += $0 })
    )
    for block in 0..<depth {
      let offset = UInt64(block * Self.block)
      try engine.begin(inSlot: engine.nextSlot, memory, byteCount: Self.block, atBytes: offset)
    }
    var failures = 0
    while let ended = try engine.next() {
      #expect(ended.failure == .result(.host(.resourceTemporarilyUnavailable)))
      failures += 1
    }
    #expect(failures == depth)
    #expect((1000...2000).contains(milliseconds), "depth \(depth): \(milliseconds) ms")
  }

  @Test func aSingleWriteTooDropsThemLast() {
    let journal = MemoryStorage.Journal(byteCount: Self.block)
    // The first two tries meet a reader that is there without a wait, too.
    journal.results = [
      0: .host(.resourceTemporarilyUnavailable), 1: .host(.resourceTemporarilyUnavailable),
    ]
    var pauses = 0
    var engine = WriteEngine(
      MemoryStorage(journal, depth: 1, seed: 1),
      .init(pause: { _ in
        pauses += 1
        journal.hasPages = true
      })
    )
    var bytes = [UInt8](repeating: 9, count: Self.block)
    let failure = bytes.withUnsafeMutableBytes { bytes in
      bytes.baseAddress.flatMap { engine.writeAlone($0, byteCount: Self.block, atBytes: 0) }
    }
    #expect(failure == nil)
    #expect(pauses == 1)
  }
}
