import LinuxIO
import NVMeAtomic
import SystemPackage

@testable import NVMeAtomic

/// Recovery of a journal of any bytes, held against a reader of its own (``JournalReading``).
enum JournalFuzzer {
  static let blockBytes = 512
  private static let mostBlocks = 24

  static func run(_ input: inout FuzzInput) throws(Finding) {
    let (mends, size) = (input.byte(), input.byte())
    let blocks = min(max(5, Int(size)), mostBlocks)
    var image = RecordFuzzer.padded(input.all(), to: blocks * blockBytes)
    if mends & 1 == 1 {
      JournalMender.mend(journal: &image, blockBytes: blockBytes, payloads: mends & 2 == 2)
    }
    // Records larger than half of the memory are read in another way.
    let recordBytes = UInt64(1024 << (mends >> 2 & 3))
    let expected = JournalReading(image)

    let dry = try recover(image, recordBytes, isDry: true)
    try require(dry.disk.log == image && dry.disk.placed.isEmpty, "a dry run writes")
    let real = try recover(image, recordBytes, isDry: false)
    try check(real, expected, image)
    switch (dry.result, real.result) {
    case (.success(let dry), .success(let real)): try require(dry == real, "a dry run differs")
    case (.failure(let dry), .failure(let real)): try require(dry == real, "a dry run differs")
    default: throw Finding(text: "a dry run ends otherwise")
    }
    guard case .success = real.result else { return }
    let again = try recover(real.disk.log, recordBytes, isDry: false)
    guard case .success(let report) = again.result else {
      throw Finding(text: "recovered, it cannot be read: \(again.result)")
    }
    try require(report == JournalReport(), "recovered, it has \(report)")
    try require(again.disk.log == real.disk.log, "recovered, it is written again")
    try require(again.disk.placed.isEmpty, "recovered, it is brought in place again")
  }

  // MARK: Recovery

  private struct Recovery {
    var disk: FuzzDisk
    var result: Result<JournalReport, JournalProblem>
  }

  private static func recover(
    _ image: [UInt8],
    _ recordBytes: UInt64,
    isDry: Bool
  ) throws(Finding) -> Recovery {
    let disk = FuzzDisk(image)
    guard
      let geometry = JournalGeometry(
        lengthBytes: UInt64(image.count),
        blockBytes: UInt64(blockBytes),
        granuleBytes: UInt64(blockBytes)
      ),
      var engine = try? JournalEngine(
        log: FuzzStorage(disk, isLog: true),
        target: FuzzStorage(disk, isLog: false),
        geometry,
        recordBytes: recordBytes,
        pace: JournalPace { 0 },
        writeTail: { bytes, offset in
          disk.place(Array(bytes), at: offset)
          return .bytes(bytes.count)
        }
      )
    else { throw Finding(text: "there is no engine") }
    let result: Result<JournalReport, JournalProblem>
    do throws(JournalProblem) {
      result = .success(try engine.recover(check: { _ in }, proceeds: { _ in !isDry }))
    } catch {
      result = .failure(error)
    }
    if let problem = disk.problem { throw Finding(text: problem) }
    return Recovery(disk: disk, result: result)
  }

  private static func check(
    _ recovery: Recovery,
    _ expected: JournalReading?,
    _ image: [UInt8]
  ) throws(Finding) {
    let disk = recovery.disk
    switch recovery.result {
    case .failure(let problem):
      try require(disk.log == image && disk.placed.isEmpty, "\(problem), after a write")
      switch problem {
      case .corrupt, .foreign, .notFound, .version: break
      default: throw Finding(text: "a disk without errors, and \(problem)")
      }
      try require(expected?.isTrusted != true, "\(problem), of a journal that is whole")
    case .success(let report):
      guard let expected, expected.isTrusted else {
        throw Finding(text: "\(report), of a journal that is none or damaged")
      }
      try require(report.wasInUse == expected.isInUse, "in use: \(report.wasInUse)")
      try require(report.transactions == UInt64(expected.transactions), "\(report)")
      try require(report.records == UInt64(expected.records), "\(report)")
      try require(report.droppedRecords == UInt64(expected.dropped), "\(report)")
      try require(report.bytes <= UInt64(image.count - 2 * blockBytes), "\(report)")
      try require(disk.placed == expected.placed, "other bytes are brought in place")
      let log = blockBytes..<image.count - blockBytes
      try require(disk.log[log] == image[log], "recovery writes to the log")
    }
  }

  // MARK: Seeds

  /// What the engine itself leaves, before and after the writes in place.
  static var seeds: [[UInt8]] {
    var seeds: [[UInt8]] = []
    for (count, ranges) in [(0, 1), (1, 1), (2, 2), (3, 1), (1, 5)] {
      guard let log = journal(transactions: count, ranges: ranges) else { continue }
      seeds += [0, 1, 3, 15].map { [$0, 16] + log }
    }
    return seeds
  }

  private static func journal(transactions: Int, ranges: Int) -> [UInt8]? {
    let disk = FuzzDisk([UInt8](repeating: 0, count: 16 * blockBytes))
    guard
      let geometry = JournalGeometry(
        lengthBytes: UInt64(disk.log.count),
        blockBytes: UInt64(blockBytes),
        granuleBytes: UInt64(blockBytes)
      ),
      var engine = try? JournalEngine(
        log: FuzzStorage(disk, isLog: true),
        target: FuzzStorage(disk, isLog: false),
        geometry,
        recordBytes: ranges > 3 ? 1024 : 4096,
        pace: JournalPace { 0 },
        writeTail: { bytes, _ in .bytes(bytes.count) }
      )
    else { return nil }
    let identity = JournalIdentity(low: 0x1122, high: 0x3344)
    try? engine.format(JournalSuperblock(identity: identity, geometry: geometry))
    for number in 0..<transactions {
      let places = (0..<ranges).map { UInt64(512 * (number + 2 * $0)) }
      try? engine.commit(places.map { $0..<$0 + 512 }) { memory, range, _ in
        memory.initializeMemory(as: UInt8.self, repeating: UInt8(16 * number + range + 1))
      }
    }
    return disk.log
  }
}
