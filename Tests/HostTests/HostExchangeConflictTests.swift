import Foundation
import LinuxIO
import NVMeAtomic
import Testing

/// Several transactions on one file: who is in whose way, and that nobody loses anything.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasExchange, "\(HostRig.noExchange)")
)
struct HostExchangeConflictTests {
  @Test func whatSharesABlockConflictsAtOnce() throws {
    let file = try ExchangeFile(64 << 10)
    // On one target, and on one of its own: locks belong to who has opened the file.
    let target = try file.target()
    var first = try AtomicTransaction(on: target)
    try first.write([1], atBytes: 8192 + 100)
    var same = try AtomicTransaction(on: target)
    var own = try file.transaction()
    #expect(try same.conflicts(1, atBytes: 8192))
    #expect(try own.conflicts(1, atBytes: 8192 + 4095))
    #expect(try own.conflicts(3, atBytes: 8190))
    #expect(throws: AtomicWriteError.conflict(offsetBytes: 8000, lengthBytes: 500)) {
      _ = try own.bytes(500, atBytes: 8000)
    }
    #expect(try !own.conflicts(8192, atBytes: 0))
    #expect(try !same.conflicts(4096, atBytes: 8192 + 4096))
    try first.commit()
    try own.commit()
    #expect(try !own.conflicts(1, atBytes: 8192), "a commit kept its locks")
    first.rollback()
    own.rollback()
    try same.commit()
    var model = [UInt8](repeating: 0x5a, count: 64 << 10)
    model.replaceSubrange(0..<8192, with: repeatElement(0xc0, count: 8192))
    model.replaceSubrange(12_288..<16_384, with: repeatElement(0xc0, count: 4096))
    model[8292] = 1
    #expect(try file.contents == model)
  }

  /// What one has read, no other may change.
  @Test func readsHoldTheirBlocks() throws {
    let file = try ExchangeFile(64 << 10)
    var reader = try file.transaction()
    var writer = try file.transaction()
    _ = try reader.bytes(10, atBytes: 4000)
    #expect(try writer.conflicts(1, atBytes: 0))
    #expect(try !writer.conflicts(1, atBytes: 4096))
    // The end is what a read beyond it has seen.
    _ = try reader.bytes(10, atBytes: 64 << 10)
    #expect(try writer.conflicts(1, atBytes: 64 << 10))
    reader.rollback()
    #expect(try !writer.conflicts(1, atBytes: 64 << 10))
  }

  @Test(arguments: [10_001, 8192])
  func oneAtATimeMakesTheFileLonger(size: Int) throws {
    let file = try ExchangeFile(size)
    var first = try file.transaction()
    var second = try file.transaction()
    var third = try file.transaction()
    try first.write([1], atBytes: 20_000)
    #expect(try second.conflicts(1, atBytes: 30_000))
    #expect(try second.conflicts(1, atBytes: UInt64(size)))
    #expect(try third.conflicts(1, atBytes: UInt64(size - 1)) == (size % 4096 != 0))
    try third.write([3], atBytes: 0)
    try first.commit()
    #expect(try file.contents.count == 20_001)
    try second.write([2], atBytes: 30_000)
    try second.commit()
    // Staged when the file was shorter.
    try third.commit()
    let contents = try file.contents
    #expect(contents.count == 30_001)
    #expect((contents[0], contents[20_000], contents[30_000]) == (3, 1, 2))
  }

  /// The file is as long as the longer of what it is and what the transaction makes it.
  @Test func anAppendThatWasStagedFirstCutsNothingOff() throws {
    let file = try ExchangeFile(8192)
    var append = try file.transaction()
    var inside = try file.transaction()
    try append.write([UInt8](repeating: 1, count: 5000), atBytes: 8192)
    try inside.write([2], atBytes: 4096)
    try inside.commit()
    try append.commit()
    #expect(try file.contents.count == 13_192)
    #expect(try file.contents[4096] == 2)
    try append.write([3], atBytes: 13_192)
    try append.write([4], atBytes: 0)
    try append.commit()
    #expect(try file.contents.count == 13_193)
    #expect(try file.contents.first == 4)
  }

  /// A block's other bytes are those of the commit, not of the staging.
  @Test func edgesAreReadAtTheCommit() throws {
    let file = try ExchangeFile(8192)
    var transaction = try file.transaction()
    try transaction.write([1], atBytes: 100)
    // Outside of the library, which is forbidden, and shows when edges are read.
    let handle = try #require(FileHandle(forUpdatingAtPath: file.path))
    try handle.seek(toOffset: 200)
    try handle.write(contentsOf: [2])
    try handle.close()
    try transaction.commit()
    #expect(try file.contents[100] == 1)
    #expect(try file.contents[200] == 2)
  }

  /// One commit at a time, whoever has which blocks.
  @Test func aCommitWaitsForAnother() throws {
    let file = try ExchangeFile(8192)
    let other = try OwnedFileDescriptor(opening: file.path, .readWrite)
    try other.waitForLock(RangeLock.publishing, .exclusive)
    let (path, ended) = (file.path, DispatchSemaphore(value: 0))
    Thread {
      defer { ended.signal() }
      guard let target = try? AtomicTarget(opening: Probe().report(on: path), path: .exchange),
        var transaction = try? AtomicTransaction(on: target)
      else { return }
      try? transaction.write([1], atBytes: 0)
      _ = try? transaction.commit()
    }.start()
    let isOver = ended.wait(timeout: .now() + 0.3) == .success
    #expect(!isOver)
    #expect(try file.contents[0] == 0x5a)
    other.unlock(RangeLock.publishing)
    if !isOver { ended.wait() }
    #expect(try file.contents[0] == 1)
  }

  /// Programs, each with places of its own, all at once.
  @Test func disjointProgramsAllSucceed() throws {
    let file = try ExchangeFile(1 << 20)
    let programs = 4
    let script = """
      set -e
      for writer in $(seq \(programs)); do (
        for round in $(seq 8); do
          head -c 3000 /dev/zero | tr '\\0' "$writer" | \(Tool.path) write \(file.path) \
            --path exchange --at $((writer * 65536 + round * 4096 + 500)) --input - >/dev/null
        done
        echo done
      ) & done
      wait
      """
    let tool = try Tool(program: "/bin/bash", ["-c", script])
    #expect(tool.output.split(separator: "\n").count == programs, "\(tool.errors)")
    let contents = try file.contents
    for writer in 1...programs {
      for round in 1...8 {
        let begin = writer * 65536 + round * 4096 + 500
        #expect(contents[begin..<begin + 3000].allSatisfy { $0 == UInt8(48 + writer) })
        #expect(contents[begin + 3000..<begin + 3596].allSatisfy { $0 == 0x5a })
      }
    }
  }

  /// A `read(2)` holds off the exchange until it has ended.
  @Test func oneReadSeesAllOrNothing() throws {
    let file = try ExchangeFile(1 << 20, fill: 0)
    let stop = DispatchSemaphore(value: 0)
    let path = file.path
    let readers = (0..<2).map { _ in
      let reader = TornReader(path)
      Thread { reader.run(until: stop) }.start()
      return reader
    }
    var transaction = try file.transaction()
    for round in 0..<200 {
      let value = UInt8(truncatingIfNeeded: round)
      // Both ends and a piece amid.
      for (offset, count) in [(0, 4096), (500_000, 40_000), ((1 << 20) - 100, 100)] {
        try transaction.write([UInt8](repeating: value, count: count), atBytes: UInt64(offset))
      }
      try transaction.commit(durability: .none)
    }
    for _ in readers { stop.signal() }
    for reader in readers {
      reader.ended.wait()
      #expect(reader.torn == 0)
      #expect(reader.seen > 20, "saw \(reader.seen) versions in \(reader.reads) reads")
    }
  }
}

/// Reads a file whole, again and again, and counts the reads that saw two transactions.
private final class TornReader: @unchecked Sendable {
  let ended = DispatchSemaphore(value: 0)
  private(set) var torn = 0
  private(set) var seen = 0
  private(set) var reads = 0
  private let path: String

  init(_ path: String) { self.path = path }

  func run(until stop: DispatchSemaphore) {
    defer { ended.signal() }
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    var (bytes, last) = ([UInt8](repeating: 0, count: 1 << 20), UInt8(0))
    while stop.wait(timeout: .now()) == .timedOut {
      let got = pread(descriptor, &bytes, bytes.count, 0)
      reads += 1
      if got != bytes.count || bytes[0] != bytes[500_000] || bytes[0] != bytes[bytes.count - 1] {
        torn += 1
      }
      if bytes[0] != last { (last, seen) = (bytes[0], seen + 1) }
    }
  }
}
