import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// Transactions by a journal on real filesystems: any offset, any length.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalTests {
  @Test(arguments: JournalledFile.filesystems)
  func rangesOfAnyOffsetAndLength(on filesystem: String) throws {
    let file = try JournalledFile(100_000, on: filesystem)
    let pieces: [(offset: Int, bytes: [UInt8])] = [
      // Bytes of one block, twice, with bytes between them that stay.
      (10, pattern(1, byteCount: 20)), (4000, pattern(2, byteCount: 7)),
      // Across blocks, and a whole block in the middle.
      (8190, pattern(3, byteCount: 8200)),
      // Over one another: the later one wins.
      (40_000, pattern(4, byteCount: 9000)), (44_000, pattern(5, byteCount: 100)),
      (39_999, pattern(6, byteCount: 2)),
      // The last byte.
      (99_999, [0xee]),
    ]
    try file.commit(pieces)
    let expected = replacing([UInt8](repeating: 0x5a, count: 100_000), pieces)
    #expect(try file.contents == expected)
    #expect(try file.recover()?.wasInUse == false)
  }

  @Test(arguments: JournalledFile.filesystems)
  func extensionsEndWhereverTheyEnd(on filesystem: String) throws {
    let file = try JournalledFile(5000, on: filesystem)
    var expected = try file.contents
    let target = try file.target()
    // Within the last block, to the end of a block, far beyond, and by one byte each.
    for (index, offset) in [4990, 5100, 8192, 20_000, 70_001, 70_002, 73_728].enumerated() {
      let piece = (offset: offset, bytes: pattern(index, byteCount: index == 5 ? 1 : 100))
      var transaction = try AtomicTransaction(on: target)
      try transaction.write(piece.bytes, atBytes: UInt64(offset))
      let end = max(expected.count, offset + piece.bytes.count)
      #expect(try transaction.bytes(200_000, atBytes: 0).count == end)
      try transaction.commit()
      expected = replacing(expected, [piece])
      #expect(try transaction.bytes(200_000, atBytes: 0) == expected, "at \(offset)")
    }
    try target.close()
    #expect(try file.contents == expected)
  }

  /// What was extended twice is replayed in one go: the first one's end is not the file's.
  @Test(arguments: JournalledFile.filesystems)
  func replayExtendsOnceMore(on filesystem: String) throws {
    let file = try JournalledFile(5000, on: filesystem)
    let before = try file.contents
    let first = [(offset: 4999, bytes: pattern(1, byteCount: 2))]
    let second = [(offset: 6000, bytes: pattern(2, byteCount: 100)), (0, [1])]
    let third = [(offset: 12_287, bytes: pattern(3, byteCount: 2))]
    try file.leave([first, second, third])
    #expect(try file.contents == before)
    let found = try #require(try file.recover(dryRun: true))
    #expect(found.wasInUse && found.transactions == 3)
    #expect(try file.contents == before)
    #expect(try file.recover()?.transactions == 3)
    let expected = replacing(replacing(replacing(before, first), second), third)
    #expect(try file.contents == expected)
    #expect(try file.recover()?.wasInUse == false)
  }

  @Test(arguments: JournalledFile.filesystems)
  func holesReadAsZerosAndStayHoles(on filesystem: String) throws {
    let file = try JournalledFile(1, on: filesystem)
    try shell("truncate -s 40M '\(file.path)'")
    let target = try file.target()
    var transaction = try AtomicTransaction(on: target)
    try transaction.write([1, 2, 3], atBytes: 20_000_001)
    #expect(try transaction.bytes(5, atBytes: 20_000_000) == [0, 1, 2, 3, 0])
    try transaction.write([9], atBytes: 60 << 20)
    try transaction.commit()
    try target.close()
    let expected = replacing(
      [UInt8](repeating: 0, count: 60 << 20),
      [(0, [0x5a]), (20_000_001, [1, 2, 3]), (60 << 20, [9])]
    )
    #expect(try file.contents == expected)
    let blocks = try shell("stat -c %b '\(file.path)'")
    #expect(try #require(Int(blocks)) < 2048, "512-byte blocks")
  }

  /// Records have at most 4 MiB: a transaction of several is in place only when the last one is
  /// durable, and replayed whole.
  @Test(arguments: JournalledFile.filesystems)
  func aTransactionOfSeveralRecords(on filesystem: String) throws {
    let file = try JournalledFile(100, on: filesystem, journalBytes: 16 << 20)
    let before = try file.contents
    let pieces = [
      (offset: 3, bytes: pattern(1, byteCount: 6_000_000)),
      (offset: 7_000_000, bytes: pattern(2, byteCount: 6_000_001)),
    ]
    try file.leave([pieces])
    let whole = try file.image()
    let after = replacing(before, pieces)
    let found = try #require(try file.recover())
    #expect(found.transactions == 1 && found.droppedRecords == 0)
    #expect(try file.contents == after)
    // Without its last record there is none of it.
    var cut = whole
    let tail = try #require(lastRecord(in: whole.journal))
    cut.journal.replaceSubrange(tail..<tail + 4096, with: [UInt8](repeating: 0, count: 4096))
    try file.restore(cut)
    let dropped = try #require(try file.recover())
    #expect(dropped.transactions == 0 && dropped.droppedRecords == 2, "\(dropped)")
    #expect(try file.contents == before)
  }

  private func lastRecord(in journal: [UInt8]) -> Int? {
    stride(from: 0, to: journal.count, by: 4096).reversed().first {
      journal[$0..<$0 + 8].elementsEqual("NVMATREC".utf8)
    }
  }

  @Test func rollbackAndNothingChangeNothing() throws {
    let file = try JournalledFile(10_000)
    let target = try file.target()
    var transaction = try AtomicTransaction(on: target)
    try transaction.write([1], atBytes: 0)
    try transaction.write([1], atBytes: 20_000)
    #expect(try transaction.bytes(1, atBytes: 20_000) == [1])
    transaction.rollback()
    #expect(try transaction.bytes(1, atBytes: 20_000).isEmpty)
    let receipt = try transaction.commit()
    #expect(receipt.ranges.isEmpty && receipt.bytes == 0)
    try target.close()
    #expect(try file.contents.allSatisfy { $0 == 0x5a } && file.contents.count == 10_000)
  }

  @Test func theReceiptSaysWhatWasDone() throws {
    let file = try JournalledFile(10_000)
    let target = try file.target()
    var transaction = try AtomicTransaction(on: target)
    try transaction.write([1, 2], atBytes: 9)
    try transaction.write([3], atBytes: 11)
    try transaction.write([4], atBytes: 9)
    try transaction.write([5], atBytes: 9999)
    let receipt = try transaction.commit(durability: .none)
    #expect(receipt.path == .journal && receipt.bytes == 4)
    #expect(receipt.ranges == [9..<12, 9999..<10_000])
    #expect(receipt.isDurable == true)
    #expect(receipt.powerFailAtomic?.backing == .software)
    #expect(receipt.untorn == .fails(.seenInParts))
  }
}
