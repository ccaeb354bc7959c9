import Foundation
import Synchronization
import Testing

@testable import NVMeAtomic

/// Threads that commit at the same time share records, and so flushes; and nothing else.
@Suite(.enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalQueueTests {
  static let threads = 8
  static let rounds = 60
  static let page = 4096

  /// Each thread has pages of its own, and what was told is there; records are fewer than commits.
  @Test(arguments: JournalledFile.filesystems)
  func threadsShareRecords(filesystem: String) throws {
    let file = try JournalledFile(
      Self.threads * 4 * Self.page,
      on: filesystem,
      journalBytes: 4 << 20
    )
    let target = try file.target()
    let journal = try #require(target.journal)
    let before = journal.nextRecord
    Self.inThreads { thread in
      var transaction = try AtomicTransaction(on: target)
      for round in 1...Self.rounds {
        for place in 0..<2 {
          let page = thread * 4 + (round + place * 2) % 4
          try transaction.write(
            [UInt8](repeating: UInt8(thread * 16 + round % 16), count: Self.page),
            atBytes: UInt64(page * Self.page)
          )
        }
        try transaction.commit()
      }
    }
    let records = Int(journal.nextRecord - before)
    let commits = Self.threads * Self.rounds
    #expect(records >= Self.rounds && records < commits * 3 / 4, "\(records) of \(commits)")
    try target.close()
    let contents = try file.contents
    for page in 0..<Self.threads * 4 {
      let (thread, place) = (page / 4, page % 4)
      let last = try #require((1...Self.rounds).last { ($0 % 4 == place) || ($0 + 2) % 4 == place })
      let bytes = contents[page * Self.page..<(page + 1) * Self.page]
      #expect(bytes.allSatisfy { $0 == UInt8(thread * 16 + last % 16) }, "page \(page)")
    }
  }

  /// Whole pages, parts of pages, long ones and reads, all at once, on a file that grows.
  @Test func everyKindStandsInTheSameQueue() throws {
    let size = 1 << 20
    let file = try JournalledFile(size, journalBytes: 8 << 20)
    let target = try file.target()
    Self.inThreads { thread in
      var transaction = try AtomicTransaction(on: target)
      let start = UInt64(thread) << 19
      for round in 1...20 {
        let (offset, count) =
          switch thread % 4 {
          case 0: (start, Self.page)
          case 1: (start + 100, 1000 + round)
          case 2: (start, 300 << 10)
          default: (start, 2 * Self.page)
          }
        let bytes = [UInt8](repeating: UInt8(thread * 20 + round), count: count)
        try transaction.write(bytes, atBytes: offset)
        try transaction.commit()
        if thread % 4 == 3 {
          var found = [UInt8](repeating: 0, count: count)
          let read = try found.withUnsafeMutableBytes {
            try transaction.read(into: $0, atBytes: offset)
          }
          #expect(read == count && found == bytes)
        }
      }
    }
    try target.close()
    let contents = try file.contents
    for thread in 0..<Self.threads {
      let start = thread << 19 + (thread % 4 == 1 ? 100 : 0)
      let count = [Self.page, 1020, 300 << 10, 2 * Self.page][thread % 4]
      #expect(
        contents[start..<start + count].allSatisfy { $0 == UInt8(thread * 20 + 20) },
        "thread \(thread)"
      )
    }
  }

  /// One whose space cannot be had is told so, and those beside it are not.
  @Test func whoeverFailsFailsAlone() {
    let queue = JournalQueue(recordBytes: 1 << 20)
    #expect(queue.leadsAtOnce())
    let entries = Mutex<[JournalQueue.Entry]>([])
    let group = DispatchGroup()
    for number in 0..<4 {
      let start = UInt64(number * Self.page)
      let payload = JournalQueue.Payload(
        ranges: [start..<start + UInt64(Self.page)],
        bytes: AlignedBuffer(byteCount: Self.page)
      )
      DispatchQueue.global().async(group: group) {
        let entry = JournalQueue.Entry(payload)
        let led = queue.wait(entry)
        for other in led where other.ranges[0].lowerBound == UInt64(Self.page) {
          other.error = .refused(.empty)
        }
        if !led.isEmpty { queue.leave(led) }
        entries.withLock { $0.append(entry) }
      }
    }
    Thread.sleep(forTimeInterval: 0.2)
    queue.leave([])
    #expect(group.wait(timeout: .now() + 20) == .success)
    let failed = entries.withLock { $0.filter { $0.error != nil }.map { $0.ranges[0].lowerBound } }
    #expect(failed == [UInt64(Self.page)])
  }

  /// Groups end where the next would lie over one of them, would be too long, or goes alone.
  @Test func groupsAreAsLongAsTheyMayBe() {
    let lengths: [(offset: Int, count: Int, goesAlone: Bool)] = [
      (0, 4096, false), (4096, 4096, false), (0, 4096, false), (8192, 60_000, false),
      (1 << 20, 60_000, false), (2 << 20, 4096, true), (3 << 20, 4096, false),
    ]
    let queue = JournalQueue(recordBytes: 200_000)
    #expect(queue.leadsAtOnce())
    let groups = Mutex<[[UInt64]]>([])
    let group = DispatchGroup()
    for (number, each) in lengths.enumerated() {
      let start = UInt64(each.offset)
      let payload = JournalQueue.Payload(
        ranges: [start..<start + UInt64(each.count)],
        bytes: AlignedBuffer(byteCount: each.count)
      )
      let entered = queue.waitingCount
      #expect(entered == number)
      DispatchQueue.global().async(group: group) {
        let led = queue.wait(JournalQueue.Entry(each.goesAlone ? nil : payload))
        if led.isEmpty { return }
        groups.withLock { $0.append(led.map { $0.ranges.first?.lowerBound ?? .max }) }
        queue.leave(led)
      }
      // One after the other.
      for _ in 0..<2000 where queue.waitingCount == number { Thread.sleep(forTimeInterval: 0.005) }
    }
    queue.leave([])
    #expect(group.wait(timeout: .now() + 20) == .success)
    let expected: [[UInt64]] = [[0, 4096], [0, 8192], [1 << 20], [.max], [3 << 20]]
    #expect(groups.withLock { $0 } == expected)
  }

  static func inThreads(_ body: @Sendable @escaping (Int) throws -> Void) {
    let group = DispatchGroup()
    let failures = Mutex<[String]>([])
    for thread in 0..<threads {
      let worker = Thread {
        defer { group.leave() }
        do { try body(thread) } catch { failures.withLock { $0.append("\(thread): \(error)") } }
      }
      group.enter()
      worker.start()
    }
    #expect(group.wait(timeout: .now() + 120) == .success)
    #expect(failures.withLock { $0 } == [])
  }
}
