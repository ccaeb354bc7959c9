import Foundation
import LinuxIO
import NVMeAtomic
import TestSupport
import Testing

/// Transactions by exchanging ranges, one at a time: what lands, and what is refused.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasExchange, "\(HostRig.noExchange)")
)
struct HostExchangeTests {
  private static let block = 4096

  @Test func rangesLandWholeAndNowhereElse() throws {
    let file = try ExchangeFile(300_000)
    var model = try file.contents
    var transaction = try file.transaction()
    for round in 1...3 {
      // Within a block, over several, whole blocks, the last byte, one over another.
      let ranges = [
        (7, 5), (4090, 20), (8192, 8192), (40_000, 30_000), (299_999, 1), (45_000, 100),
        (69_990, 20),
      ]
      for (index, (offset, count)) in ranges.enumerated() {
        let bytes = pattern(round * 10 + index, byteCount: count)
        try transaction.write(bytes, atBytes: UInt64(offset))
        model.replaceSubrange(offset..<offset + count, with: bytes)
      }
      let before = try file.contents
      #expect(before != model, "something was published before the commit")
      let receipt = try transaction.commit(durability: round == 3 ? .none : .onReturn)
      #expect(try file.contents == model)
      #expect(receipt.path == .exchange)
      #expect(
        receipt.ranges == [7..<12, 4090..<4110, 8192..<16384, 40_000..<70_010, 299_999..<300_000]
      )
      #expect(receipt.bytes == 5 + 20 + 8192 + 30_010 + 1)
      #expect(receipt.powerFailAtomic == PathPromise(backing: .software))
      #expect(receipt.isDurable == (round != 3))
    }
    let empty = try transaction.commit()
    #expect(empty.ranges == [] && empty.bytes == 0)
    #expect(try file.contents == model)
  }

  @Test func readsSeeWhatIsStagedAndElseTheTarget() throws {
    let file = try ExchangeFile(10_000)
    var transaction = try file.transaction()
    #expect(try transaction.bytes(20_000, atBytes: 0) == file.contents)
    try transaction.write([1, 2, 3], atBytes: 5000)
    try transaction.write([9], atBytes: 12_000)
    var model = try file.contents
    model.replaceSubrange(5000..<5003, with: [1, 2, 3])
    model += [UInt8](repeating: 0, count: 2000) + [9]
    #expect(try transaction.bytes(20_000, atBytes: 0) == model)
    #expect(try transaction.bytes(3, atBytes: 4999) == [0x5a, 1, 2])
    #expect(try transaction.bytes(3, atBytes: 12_001) == [])
    #expect(try file.contents.count == 10_000)
    try transaction.commit()
    #expect(try file.contents == model)
    #expect(try transaction.bytes(20_000, atBytes: 0) == model)
  }

  @Test func aRollbackLeavesNothing() throws {
    let file = try ExchangeFile(64 << 10)
    let before = try file.contents
    do {
      var transaction = try file.transaction()
      try transaction.write(pattern(1, byteCount: 100_000), atBytes: 100)
      transaction.rollback()
      #expect(try file.contents == before)
      #expect(try transaction.bytes(100_000, atBytes: 0) == before)
      transaction.rollback()
      // What was staged before is in no later commit.
      try transaction.write([7], atBytes: 50_000)
      try transaction.commit()
      var model = before
      model[50_000] = 7
      #expect(try file.contents == model)
      try transaction.write([8], atBytes: 1)
    }
    #expect(try file.contents[1] == 0x5a, "the end of a transaction published it")
    var next = try file.transaction()
    #expect(try !next.conflicts(200_000, atBytes: 0), "a lock stayed")
  }

  /// Nothing is seen from behind the old end.
  @Test(arguments: [1, 4095, 4096, 4097, 10_001])
  func extendingLeavesZerosBetween(size: Int) throws {
    for (offset, count) in [(size, 1), (size + 1, 4096), (20_000, 30_000), (65_536, 5)] {
      let file = try ExchangeFile(size)
      var transaction = try file.transaction()
      let bytes = pattern(size, byteCount: count)
      try transaction.write(bytes, atBytes: UInt64(offset))
      try transaction.commit()
      let model =
        [UInt8](repeating: 0x5a, count: size) + [UInt8](repeating: 0, count: offset - size) + bytes
      #expect(try file.contents == model, "\(size) bytes and \(count) at \(offset)")
    }
  }

  @Test func theLastBytesOfAnUnalignedFileAreReplaced() throws {
    let file = try ExchangeFile(10_001)
    var transaction = try file.transaction()
    try transaction.write([1, 2, 3], atBytes: 9_998)
    try transaction.commit()
    #expect(try file.contents.suffix(4) == [0x5a, 1, 2, 3])
    #expect(try file.contents.count == 10_001)
  }

  /// Ten thousand pieces and their locks.
  @Test func manyScatteredRangesAreOneTransaction() throws {
    let count = 2000
    let file = try ExchangeFile(count * 8192)
    var transaction = try file.transaction()
    for index in 0..<count {
      try transaction.write(pattern(index, byteCount: 4096), atBytes: UInt64(index * 8192))
    }
    let receipt = try transaction.commit()
    #expect(receipt.ranges.count == count)
    let contents = try file.contents
    for index in 0..<count {
      #expect(
        contents[index * 8192..<index * 8192 + 4096].elementsEqual(pattern(index, byteCount: 4096))
      )
      #expect(contents[index * 8192 + 4096..<(index + 1) * 8192].allSatisfy { $0 == 0x5a })
    }
    #expect(try file.extents() > count)
  }

  // MARK: Refusals

  @Test func onlyATargetForExchangeTakesTransactions() throws {
    let file = try ExchangeFile(64 << 10)
    let plain = try AtomicTarget(opening: Probe().report(on: file.path), path: .plain)
    #expect(throws: AtomicWriteError.self) { _ = try AtomicTransaction(on: plain).target }
    var writer = AtomicWriter(try file.target())
    let refused = #expect(throws: AtomicWriteError.self) {
      _ = try writer.write(AlignedBuffer(byteCount: 4096), atBytes: 0, durability: .none)
    }
    if case .refused(.obstacle)? = refused {
    } else {
      Issue.record("\(String(describing: refused))")
    }
    #expect(throws: AtomicWriteError.self) {
      _ = try AtomicTarget(opening: Probe().report(on: file.path), path: .journal)
    }
  }

  @Test(arguments: ["xfs", "ext4", "tmpfs"])
  func whatCannotExchangeIsRefusedWithItsReason(name: String) throws {
    let file = try ExchangeFile(4096, on: name)
    let report = Probe().report(on: file.path)
    #expect(report.exchangePath.available == false)
    let reason = try #require(report.exchangePath.reason)
    #expect(reason.contains(name == "xfs" ? "exchange=1" : name))
    #expect(throws: AtomicWriteError.refused(.obstacle(reason))) {
      _ = try AtomicTarget(opening: report, path: .exchange)
    }
  }

  @Test func theProbeSaysWhereItCanBeHad() throws {
    let file = try ExchangeFile(4096)
    #expect(
      Probe().report(on: file.path).exchangePath
        == Probe().report(on: HostRig.path("exchange")).exchangePath
    )
    #expect(Probe().report(on: file.path).exchangePath.available == true)
    #expect(Probe().report(on: try HostRig.device("spare")).exchangePath.available == false)
  }

  @Test func nothingAndWhatNoFileCanHoldIsRefused() throws {
    let file = try ExchangeFile(4096)
    var transaction = try file.transaction()
    #expect(throws: AtomicWriteError.refused(.empty)) { try transaction.write([], atBytes: 0) }
    for offset in [UInt64.max, UInt64.max - 1, RangeLock.endOfData] {
      #expect(throws: AtomicWriteError.refused(.overflows)) {
        try transaction.write([1, 2], atBytes: offset)
      }
    }
    try transaction.write([1], atBytes: RangeLock.endOfData - 1)
    transaction.rollback()
    try transaction.write([1], atBytes: 0)
    try transaction.commit()
    #expect(try file.contents.count == 4096)
  }

  /// Replay would put older bytes over newer ones.
  @Test func aJournalAndExchangeExcludeEachOther() throws {
    let file = try ExchangeFile(4096)
    let journal = try OwnedFileDescriptor(opening: file.path, .readWrite)
    try #require(try journal.lock(RangeLock.journal, .exclusive))
    let busy = #expect(throws: AtomicWriteError.self) { _ = try file.target() }
    if case .busy? = busy {} else { Issue.record("\(String(describing: busy))") }
    journal.unlock(RangeLock.journal)
    let target = try file.target()
    #expect(try !journal.lock(RangeLock.journal, .exclusive))
    _ = try file.target()
    _ = target
  }

  /// As one has that another thread makes, until it begins its program.
  @Test func aChildThatHasTheDescriptorsKeepsNothingLocked() throws {
    let file = try ExchangeFile(4096)
    var transaction: AtomicTransaction? = try file.transaction()
    try transaction?.write([1], atBytes: 0)
    // A duplicate is of the same open file description, as a child's is.
    let duplicates = try HostRig.descriptors(of: file.path).map { dup($0) }
    #expect(duplicates.count >= 2)
    defer { for each in duplicates { close(each) } }
    var other = try file.transaction()
    #expect(try other.conflicts(1, atBytes: 0))
    transaction = nil
    #expect(try !other.conflicts(1, atBytes: 0))
    other.rollback()
    other = try ExchangeFile(4096).transaction()
    let journal = try OwnedFileDescriptor(opening: file.path, .readWrite)
    #expect(try journal.lock(RangeLock.journal, .exclusive))
  }

  @Test func aReplacedFileIsNotWrittenTo() throws {
    let file = try ExchangeFile(4096)
    let target = try file.target()
    let old = file.path + ".old"
    try FileManager.default.moveItem(atPath: file.path, toPath: old)
    defer { try? FileManager.default.removeItem(atPath: old) }
    try Data(repeating: 9, count: 4096).write(to: URL(fileURLWithPath: file.path))
    // The open file, whatever its name leads to.
    var transaction = try AtomicTransaction(on: target)
    try transaction.write([1], atBytes: 0)
    try transaction.commit()
    #expect(try HostRig.contents(old)[0] == 1)
    #expect(try file.contents.allSatisfy { $0 == 9 })
  }

  /// Who may not write to it, or whose folder is elsewhere, is told so.
  @Test func mountsAndAttributesThatForbidItAreNamed() throws {
    let file = try ExchangeFile(4096)
    let alone = HostRig.path("tmpfs/alone")
    let other = HostRig.path("tmpfs/read-only")
    let script = """
      set -e
      touch \(alone); mkdir -p \(other)
      mount --bind \(file.path) \(alone)
      mount --bind \(HostRig.path("exchange")) \(other); mount -o remount,ro,bind \(other)
      """
    #expect(try Tool(program: "/bin/sh", ["-c", script]).status == 0)
    defer {
      let undo = "umount \(alone) \(other); rm -r \(alone) \(other)"
      #expect((try? Tool(program: "/bin/sh", ["-c", undo]).status) == 0)
    }
    var transaction = try AtomicTransaction(
      on: AtomicTarget(opening: Probe().report(on: alone), path: .exchange)
    )
    let elsewhere = #expect(throws: AtomicWriteError.self) {
      try transaction.write([1], atBytes: 0)
    }
    #expect("\(String(describing: elsewhere))".contains("another mount"))
    let readOnly = other + "/" + URL(fileURLWithPath: file.path).lastPathComponent
    for (path, attribute) in [(readOnly, nil), (file.path, "i")] as [(String, String?)] {
      if let attribute { _ = try Tool(program: "/usr/bin/chattr", ["+" + attribute, path]) }
      defer {
        if let attribute { _ = try? Tool(program: "/usr/bin/chattr", ["-" + attribute, path]) }
      }
      let error = #expect(throws: AtomicWriteError.self) {
        _ = try AtomicTarget(opening: Probe().report(on: path), path: .exchange)
      }
      guard case .target(let why)? = error else {
        Issue.record("\(path): \(String(describing: error))")
        continue
      }
      #expect(why.code == .permission)
    }
  }

  @Test func swapSpaceIsBusy() throws {
    let file = try ExchangeFile(1 << 20)
    var transaction = try file.transaction()
    try transaction.write([1], atBytes: 0)
    let script = "chmod 600 \(file.path) && mkswap \(file.path) && swapon \(file.path)"
    guard try Tool(program: "/bin/sh", ["-c", script]).status == 0 else { return }
    defer { _ = try? Tool(program: "/sbin/swapoff", [file.path]) }
    let error = #expect(throws: AtomicWriteError.self) { try transaction.commit() }
    if case .busy? = error {} else { Issue.record("\(String(describing: error))") }
  }
}
