import Foundation
import LinuxIO
import NVMeAtomic
import SystemPackage
import TestSupport
import Testing

/// What is left when the filesystem, the program or the space ends in the middle. Shutting XFS down
/// without writing its log is what a power failure does to it.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasExchange, "\(HostRig.noExchange)")
)
struct HostExchangeCrashTests {
  #if DEBUG
  static let rounds = 6
  #else
  static let rounds = 25
  #endif

  private func shell(_ script: String) throws {
    let tool = try Tool(program: "/bin/sh", ["-ec", script])
    try #require(tool.status == 0, "\(script): \(tool.errors)")
  }

  private func shutDown() throws {
    try shell("xfs_io -x -c shutdown '\(HostRig.path("crash"))'")
  }

  /// The log is recovered by the mount.
  private func mountAnew() throws {
    let mount = HostRig.path("crash")
    let again = "umount '\(mount)' && break; sleep 0.1"
    try shell(
      "for try in $(seq 100); do \(again); done; mount \(HostRig.device("crash")) '\(mount)'"
    )
  }

  @Test func onlyWhatWasCommittedIsThereAfterACrash() throws {
    let file = try ExchangeFile(300_001, on: "crash")
    try shell("sync -f '\(file.path)'")
    let old = try file.contents
    var new = old
    func inOneRun(commits: Bool) throws {
      var transaction = try file.transaction()
      for (index, offset) in [10, 100_000, 299_990, 400_000].enumerated() {
        let bytes = pattern(index, byteCount: 20_000)
        try transaction.write(bytes, atBytes: UInt64(offset))
        if commits {
          new += [UInt8](repeating: 0, count: max(0, offset + bytes.count - new.count))
          new.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
      }
      if commits { try transaction.commit() }
      #expect(try file.contents == new)
      try shutDown()
    }
    try inOneRun(commits: false)
    try mountAnew()
    #expect(try file.contents == old)
    try inOneRun(commits: true)
    try mountAnew()
    #expect(try file.contents == new)
  }

  /// A thread commits one version after the other until the filesystem goes; each version has
  /// another length, and other bytes in many places.
  @Test func aCrashInTheMiddleLeavesOneWholeVersion() throws {
    var (lost, unknown) = (0, 0)
    for round in 0..<Self.rounds {
      let file = try ExchangeFile(VersionWriter.baseBytes, fill: 0, on: "crash")
      try shell("sync -f '\(file.path)'")
      let writer = try VersionWriter(file, isDurable: round % 3 > 0)
      Thread { writer.run() }.start()
      usleep(UInt32.random(in: 5000...250_000))
      try shutDown()
      writer.ended.wait()
      writer.close()
      try mountAnew()
      let version = try VersionWriter.version(of: try file.contents)
      let newest = writer.acknowledged + (writer.outcome == .unknown ? 1 : 0)
      let oldest = round % 3 > 0 ? writer.acknowledged : 0
      let seen = try #require(version, "round \(round): a mix of versions")
      #expect((oldest...newest).contains(seen), "version \(seen), \(writer.acknowledged) committed")
      #expect(writer.outcome != nil)
      // Nothing is written before somebody has looked; many ranges close the target.
      if writer.outcome == .unknown {
        let refusals: [AtomicWriteError] =
          round % 3 > 0 ? [.handleFailed] : [.handleFailed, .rangeUnknown]
        #expect(writer.next.map(refusals.contains) == true, "\(writer.next as Any)")
      }
      lost += seen < writer.acknowledged ? 1 : 0
      unknown += writer.outcome == .unknown ? 1 : 0
    }
    print("\(Self.rounds) crashes: \(lost) lost commits that were not durable, \(unknown) unknown")
  }

  // MARK: Programs that are killed

  @Test func aKilledProgramLeavesAllOrNothing() throws {
    let file = try ExchangeFile(4 << 20, fill: 0, on: "crash")
    let inputs = HostRig.path("tmpfs/killed")
    defer { try? FileManager.default.removeItem(atPath: inputs) }
    var (killed, finished, current) = (0, 0, UInt8(0))
    for round in 1...4 * Self.rounds {
      try Data(repeating: UInt8(round), count: 300_000).write(to: URL(fileURLWithPath: inputs))
      let process = Process()
      process.executableURL = URL(fileURLWithPath: Tool.path)
      process.arguments = ["write", file.path, "--path", "exchange"]
      for offset in [0, 1_000_001, 2 << 20, 3_500_000] {
        process.arguments? += ["--at", "\(offset)", "--input", inputs]
      }
      process.standardOutput = FileHandle.nullDevice
      try process.run()
      usleep(UInt32.random(in: 0...120_000))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      let isWhole = process.terminationReason == .exit
      let contents = try file.contents
      let values = [0, 1_000_001, 2 << 20, 3_500_000].map { contents[$0..<$0 + 300_000] }
      let value = contents[0]
      let whole = [UInt8](repeating: value, count: 300_000)
      #expect(values.allSatisfy { $0 == whole[...] }, "round \(round): a mix")
      #expect(value == UInt8(round) || !isWhole && value == current)
      #expect(contents.count == 4 << 20)
      (killed, finished) = (killed + (isWhole ? 0 : 1), finished + (isWhole ? 1 : 0))
      current = value
      // Nobody holds a lock for it any more.
      var transaction = try file.transaction()
      #expect(try !transaction.conflicts(4 << 20, atBytes: 0))
    }
    print("\(killed) killed, \(finished) finished")
  }

  // MARK: Space

  /// Leaves no block free.
  private func fill(_ name: String) throws {
    let filler = try FileDescriptor.open(
      FilePath(name),
      .writeOnly,
      options: .create,
      permissions: .ownerReadWrite
    )
    for chunk in [1 << 20, 4096] {
      while (try? filler.writeAll([UInt8](repeating: 7, count: chunk))) != nil {}
    }
    try filler.close()
  }

  @Test func aFullFilesystemLosesNothingInStaging() throws {
    let file = try ExchangeFile(1 << 20, on: "crash")
    let filler = HostRig.path("crash/filler")
    defer { try? FileManager.default.removeItem(atPath: filler) }
    var transaction = try file.transaction()
    try transaction.write([9], atBytes: 70_000)
    try fill(filler)
    let error = #expect(throws: AtomicWriteError.self) {
      for index in 0..<64 {
        try transaction.write(pattern(index, byteCount: 1 << 20), atBytes: UInt64(index) << 20)
      }
    }
    #expect(error?.outcome == .notWritten)
    #expect("\(String(describing: error))".contains("No space"), "\(String(describing: error))")
    // Half of a write may be staged, also where there is space again.
    try FileManager.default.removeItem(atPath: filler)
    #expect(throws: AtomicWriteError.self) { try transaction.commit() }
    #expect(try file.contents.allSatisfy { $0 == 0x5a })
    transaction.rollback()
    try transaction.write([1], atBytes: 0)
    try transaction.commit()
    #expect(try file.contents.prefix(2) == [1, 0x5a])
  }

  @Test func aFullFilesystemLosesNothingAtTheCommit() throws {
    let count = 3000
    let file = try ExchangeFile(count * 8192 + 1, on: "crash")
    let filler = HostRig.path("crash/filler")
    defer { try? FileManager.default.removeItem(atPath: filler) }
    var transaction = try file.transaction()
    for index in 0..<count { try transaction.write([9, 9], atBytes: UInt64(index * 8192 + 4095)) }
    try transaction.write([9], atBytes: UInt64(count * 8192 + 100_000))
    try fill(filler)
    let before = try file.contents
    var failures = 0
    do throws(AtomicWriteError) {
      try transaction.commit()
    } catch {
      guard case .notWritten = error else { throw error }
      failures = 1
      #expect(try file.contents == before)
      // What is staged stays.
      try FileManager.default.removeItem(atPath: filler)
      try transaction.commit()
    }
    print("\(failures) commits failed for want of space")
    let contents = try file.contents
    #expect(contents.count == count * 8192 + 100_001)
    for index in 0..<count {
      #expect(
        contents[index * 8192 + 4094..<index * 8192 + 4098].elementsEqual([0x5a, 9, 9, 0x5a])
      )
    }
  }
}

/// Commits versions of a file until that fails. A version is a number; it decides how long the file
/// is, and the bytes of many places in it.
private final class VersionWriter: @unchecked Sendable {
  static let baseBytes = 2_000_003

  let ended = DispatchSemaphore(value: 0)
  private(set) var acknowledged = 0
  private(set) var outcome: AtomicWriteError.Outcome?
  /// What a write got after that.
  private(set) var next: AtomicWriteError?
  private var target: AtomicTarget?
  private let isDurable: Bool

  init(_ file: ExchangeFile, isDurable: Bool) throws {
    target = try file.target()
    self.isDurable = isDurable
  }

  func close() { target = nil }

  func run() {
    defer { ended.signal() }
    guard let target, var transaction = try? AtomicTransaction(on: target) else { return }
    do throws(AtomicWriteError) {
      while true {
        let version = acknowledged + 1
        for place in Self.places(version) {
          try transaction.write(Self.bytes(version, place.count), atBytes: UInt64(place.lowerBound))
        }
        try transaction.commit(durability: isDurable ? .onReturn : .none)
        acknowledged = version
      }
    } catch {
      outcome = error.outcome
    }
    do throws(AtomicWriteError) {
      try transaction.write([1], atBytes: 0)
    } catch {
      next = error
    }
  }

  private static func bytes(_ version: Int, _ count: Int) -> [UInt8] {
    [UInt8](repeating: UInt8(truncatingIfNeeded: version), count: count)
  }

  private static func size(_ version: Int) -> Int { baseBytes + 333 * version }

  /// Every other block, across blocks, and the end.
  private static func places(_ version: Int) -> [Range<Int>] {
    let blocks = (0..<100).map { $0 * 16_384..<$0 * 16_384 + 4096 }
    return blocks + [1_700_001..<1_705_000, size(version - 1)..<size(version)]
  }

  /// Which version a file holds; `nil` for a mix of several.
  static func version(of contents: [UInt8]) throws -> Int? {
    let version = (contents.count - baseBytes) / 333
    guard contents.count == size(version) else { return nil }
    var expected = [UInt8](repeating: 0, count: baseBytes)
    for earlier in 1...max(1, version) where earlier <= version {
      expected += bytes(earlier, 333)
    }
    for place in places(1).dropLast() {
      expected.replaceSubrange(place, with: bytes(version, place.count))
    }
    return contents == expected ? version : nil
  }
}
