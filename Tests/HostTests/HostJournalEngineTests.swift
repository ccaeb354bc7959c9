import Foundation
import LinuxIO
import Testing

@testable import NVMeAtomic

/// What only the engine can be brought to, on files.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalEngineTests {
  private static let journalBytes = 16 << 20
  /// Three records.
  private static let range = 0..<UInt64(9 << 20)

  /// A journal and a target, and the engine between them.
  private final class Files {
    let (journal, target): (String, String)
    private var descriptors: [OwnedDescriptor] = []

    init() throws {
      journal = HostRig.path("ext4/engine-\(UUID().uuidString)")
      target = journal + ".target"
      try Data(count: journalBytes).write(to: URL(fileURLWithPath: journal))
      try Data(count: Int(range.upperBound)).write(to: URL(fileURLWithPath: target))
    }

    deinit { for path in [journal, target] { try? FileManager.default.removeItem(atPath: path) } }

    func engine(
      memoryBytes: UInt64 = JournalGeometry.usualMemoryBytes,
      clock: @escaping () -> UInt64 = { 0 }
    ) throws -> JournalEngine<RingOrCallStorage> {
      let geometry = try #require(
        JournalGeometry(lengthBytes: UInt64(journalBytes), granuleBytes: 4096)
      )
      let log = try OwnedDescriptor(journal)
      let place = try OwnedDescriptor(target)
      descriptors += [log, place]
      return try JournalEngine(
        log: RingOrCallStorage(log.route, depth: 1),
        target: RingOrCallStorage(place.route, depth: 64),
        geometry,
        memoryBytes: memoryBytes,
        pace: JournalPace(clock: clock),
        writeTail: { bytes, _ in .bytes(bytes.count) }
      )
    }
  }

  private final class OwnedDescriptor {
    private let file: OwnedFileDescriptor
    init(_ path: String) throws {
      file = try OwnedFileDescriptor(opening: path, [.readWrite, .direct])
    }
    var route: OperationRoute { OperationRoute(descriptor: file.rawValue, writeFlags: []) }
  }

  private func records(_ journal: [UInt8]) -> [Int] {
    stride(from: 0, to: journal.count, by: 4096).filter {
      journal[$0..<$0 + 8].elementsEqual("NVMATREC".utf8)
    }
  }

  /// Its bytes could not be read to the end. Of the next transaction a power failure takes a record
  /// whose place has one of the abandoned transaction: that is no substitute.
  @Test func anAbandonedTransactionLeavesNothingToTheNextOne() throws {
    let files = try Files()
    var engine = try files.engine()
    try engine.format(engine.superblock)
    var (fills, isAbandoned) = (0, false)
    do throws(JournalProblem) {
      try engine.commit([Self.range]) { memory, _, _ throws(JournalProblem) in
        fills += 1
        if fills == 3 { throw .source }
        memory.initializeMemory(as: UInt8.self, repeating: 1)
      }
    } catch {
      isAbandoned = error == .source
    }
    #expect(isAbandoned)
    let abandoned = try HostRig.contents(files.journal)
    try engine.commit([Self.range]) { memory, _, _ in
      memory.initializeMemory(as: UInt8.self, repeating: 2)
    }
    try engine.settle()
    var journal = try HostRig.contents(files.journal)
    try engine.close()
    let places = records(journal)
    #expect(places.count == 3 && records(abandoned) == Array(places.prefix(2)))
    journal.replaceSubrange(places[1]..<places[2], with: abandoned[places[1]..<places[2]])
    try JournalledFile.overwrite(files.journal, journal)
    try JournalledFile.overwrite(files.target, [UInt8](repeating: 0, count: Self.range.count))
    var again = try files.engine()
    let found = try again.recover { _ throws(JournalProblem) in }
    #expect(found.transactions == 0, "\(found)")
    #expect(try HostRig.contents(files.target).allSatisfy { $0 == 0 })
  }

  /// Where the log has less room than memory, and where it has more.
  @Test(arguments: [true, false], [8 << 20, JournalGeometry.usualMemoryBytes])
  func theFasterWayOfPlacingIsFound(aloneIsFaster: Bool, memoryBytes: UInt64) throws {
    final class Clock { var now: UInt64 = 1 }
    let (files, clock) = (try Files(), Clock())
    var engine = try files.engine(memoryBytes: memoryBytes) { clock.now }
    try engine.format(engine.superblock)
    var ways: [Bool] = []
    // Six windows of a lap each, at most.
    for number in 0..<6 * 128 {
      let way = engine.pace.isAlone
      ways.append(way)
      let start = UInt64(number * 7 % 64) << 17
      try engine.commit([start..<start + (128 << 10)]) { memory, _, _ in
        memory.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: number))
        clock.now += way == aloneIsFaster ? 1000 : 2000
      }
    }
    #expect(ways.contains(true) && ways.contains(false))
    #expect(engine.pace.isAlone == aloneIsFaster && !engine.pace.mayChange)
    try engine.close()
    let target = try HostRig.contents(files.target)
    for place in 0..<64 {
      let newest = (0..<6 * 128).last { $0 * 7 % 64 == place } ?? 0
      let block = target[place << 17..<(place + 1) << 17]
      #expect(block.allSatisfy { $0 == UInt8(truncatingIfNeeded: newest) })
    }
  }
}
