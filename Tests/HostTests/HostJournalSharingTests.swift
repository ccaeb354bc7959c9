import Foundation
import NVMeAtomic
import Testing

/// Several users of one open target with a journal, in one process.
@Suite(.enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalSharingTests {
  @Test func whatSharesAGranuleConflictsAtOnce() throws {
    let file = try JournalledFile(64 << 10)
    let target = try file.target()
    var first = try AtomicTransaction(on: target)
    try first.write([1], atBytes: 8292)
    var other = try AtomicTransaction(on: target)
    #expect(try other.conflicts(1, atBytes: 8192))
    #expect(try other.conflicts(3, atBytes: 8190))
    #expect(throws: AtomicWriteError.conflict(offsetBytes: 8000, lengthBytes: 500)) {
      _ = try other.bytes(500, atBytes: 8000)
    }
    #expect(try !other.conflicts(8192, atBytes: 0))
    #expect(try !other.conflicts(4096, atBytes: 12_288))
    // What was read, nobody else may change.
    _ = try other.bytes(1, atBytes: 20_480)
    #expect(try first.conflicts(1, atBytes: 24_575))
    try first.commit()
    #expect(try !other.conflicts(1, atBytes: 8192), "a commit has kept what it had")
    other.rollback()
    #expect(try !first.conflicts(1, atBytes: 8192), "a rollback has")
    func abandon() throws {
      var third = try AtomicTransaction(on: target)
      try third.write([3], atBytes: 40_960)
      #expect(try first.conflicts(1, atBytes: 40_961))
    }
    try abandon()
    #expect(try !first.conflicts(1, atBytes: 40_961), "one that is gone has")
  }

  /// What was committed is seen by every reader of the target, and in the file once that is asked
  /// for.
  @Test(arguments: JournalledFile.filesystems)
  func readersOfTheTargetSeeWhatIsNotInPlace(filesystem: String) throws {
    let file = try JournalledFile(64 << 10, on: filesystem)
    let target = try file.target()
    var transaction = try AtomicTransaction(on: target)
    for place in 0..<20 {
      try transaction.write([UInt8(place)], atBytes: UInt64(place * 3000))
      try transaction.commit()
    }
    var model = [UInt8](repeating: 0x5a, count: 64 << 10)
    for place in 0..<20 { model[place * 3000] = UInt8(place) }
    var writer = AtomicWriter(target)
    var page = AlignedBuffer(byteCount: 64 << 10)
    try writer.read(into: &page, atBytes: 0)
    #expect(page.withBytes { Array($0) } == model)
    try target.checkpoint()
    #expect(try file.contents == model)
    // It goes on afterwards.
    let receipt = try writer.write(
      AlignedBuffer(copying: [7, 7, 7]),
      atBytes: 65_535,
      durability: .none
    )
    #expect(receipt.path == .journal && receipt.lengthBytes == 3)
    #expect(throws: AtomicWriteError.endOfFile(sizeBytes: 65_538)) {
      try writer.read(into: &page, atBytes: 65_536)
    }
    try target.close()
    model[65_535] = 7
    #expect(try file.contents == model + [7, 7])
  }

  /// A queue's writes would pass the journal by.
  @Test func aQueueIsRefused() throws {
    let file = try JournalledFile(64 << 10)
    let target = try file.target()
    var isRefused = false
    do {
      var queue = try AtomicWriteQueue(target, depth: 2, durability: .none, bufferBytes: 4096)
      guard let buffer = queue.takeBuffer() else { return }
      if let refused = queue.submit(buffer, atBytes: 0) {
        isRefused = refused.error.outcome == .notWritten
      }
    } catch {
      isRefused = true
    }
    #expect(isRefused)
    #expect(try file.contents.allSatisfy { $0 == 0x5a })
  }

  /// As many threads as like commit to places of their own.
  @Test func threadsCommitToOneTarget() throws {
    let file = try JournalledFile(1 << 20, journalBytes: 1 << 20)
    let target = try file.target()
    DispatchQueue.concurrentPerform(iterations: 4) { thread in
      do {
        var transaction = try AtomicTransaction(on: target)
        for round in 0..<50 {
          let bytes = [UInt8](repeating: UInt8(thread * 50 + round), count: 5000)
          try transaction.write(bytes, atBytes: UInt64(thread << 18 | 100))
          try transaction.write(bytes, atBytes: UInt64(thread << 18 | 100_000))
          try transaction.commit()
        }
      } catch {
        Issue.record("thread \(thread): \(error)")
      }
    }
    try target.close()
    let contents = try file.contents
    for thread in 0..<4 {
      for place in [100, 100_000] {
        let start = thread << 18 + place
        #expect(contents[start..<start + 5000].allSatisfy { $0 == UInt8(thread * 50 + 49) })
      }
    }
  }
}
