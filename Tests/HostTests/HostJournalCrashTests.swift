import Foundation
import NVMeAtomic
import Testing

/// Filesystems that are shut down in the middle of it, which is what a power failure does to them:
/// after the next mount all of what was acknowledged is there, and no part of anything else.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalCrashTests {
  #if DEBUG
  static let rounds = 3
  #else
  static let rounds = 8
  #endif

  @Test(arguments: ["xfs", "ext4"])
  func whatWasCommittedOutlivesAShutdown(on filesystem: String) throws {
    let scratch = try ScratchFilesystem(filesystem)
    try crash(scratch, filesystem) { writer in
      try scratch.shutDown()
      writer.stop()
      // The last one that was acknowledged.
      writer.noteCrash()
      try scratch.mountAnew()
    } again: {
      try scratch.shutDown()
      try scratch.mountAnew()
    }
  }

  @Test(arguments: ["btrfs", "ext4", "xfs"])
  func whatWasCommittedOutlivesTheCache(on filesystem: String) throws {
    let holder = try ScratchFilesystem("xfs", megabytes: 1000)
    let scratch = try ScratchFilesystem(filesystem, on: holder)
    try crash(scratch, filesystem) { writer in
      writer.noteCrash()
      try scratch.loseWhatIsCached { writer.stop() }
    } again: {
      try scratch.loseWhatIsCached {}
    }
  }

  private func crash(
    _ scratch: ScratchFilesystem,
    _ filesystem: String,
    _ body: (JournalVersions) throws -> Void,
    again: () throws -> Void
  ) throws {
    var (replayed, acknowledged) = (0, 0)
    for round in 0..<Self.rounds {
      // Every other file has no journal before the first transaction.
      let file = try JournalledFile(
        JournalVersions.baseBytes,
        fill: 0,
        in: scratch.mount,
        journalBytes: round % 2 == 0 ? 2 << 20 : nil
      )
      try shell("sync -f '\(file.path)'")
      let writer = try JournalVersions(file)
      Thread { writer.run() }.start()
      writer.waitForFirst()
      usleep(UInt32.random(in: 0...150_000))
      try body(writer)
      if round % 3 == 0 {
        let tool = try Tool("recover", file.path, "--json")
        #expect(tool.status == 0, "\(tool.errors)")
        replayed += try tool.json()["transactions"] as? Int ?? 0
      } else {
        replayed += Int(try file.recover()?.transactions ?? 0)
      }
      // What recovery says is in place stays there.
      try again()
      let version = try JournalVersions.version(of: try file.contents)
      let seen = try #require(version, "round \(round): a mix of versions")
      #expect(
        seen >= writer.atCrash && seen <= writer.begun,
        "round \(round): version \(seen), \(writer.atCrash) acknowledged"
      )
      acknowledged += writer.atCrash
    }
    #expect(replayed > 0 && acknowledged > 0)
    print("\(filesystem): \(acknowledged) versions, \(replayed) transactions replayed")
  }
}

/// Commits versions of a file until that fails, or until it is told to stop. A version is a number;
/// it decides how long the file is, and the bytes of many places in it.
private final class JournalVersions: @unchecked Sendable {
  static let baseBytes = 400_003

  private let ended = DispatchSemaphore(value: 0)
  private let first = DispatchSemaphore(value: 0)
  private let lock = NSLock()
  private var isStopping = false
  private var acknowledged = 0
  private(set) var atCrash = 0
  private(set) var begun = 0
  private var target: AtomicTarget?

  init(_ file: JournalledFile) throws { target = try file.target() }

  func run() {
    defer {
      target = nil
      first.signal()
      ended.signal()
    }
    guard let target, var transaction = try? AtomicTransaction(on: target) else { return }
    do throws(AtomicWriteError) {
      while !lock.withLock({ isStopping }) {
        let version = acknowledged + 1
        begun = version
        for place in Self.places(version) {
          try transaction.write(
            [UInt8](repeating: UInt8(truncatingIfNeeded: version), count: place.count),
            atBytes: UInt64(place.lowerBound)
          )
        }
        try transaction.commit()
        lock.withLock { acknowledged = version }
        if version == 1 { first.signal() }
      }
    } catch {}
  }

  func waitForFirst() { first.wait() }

  func noteCrash() { atCrash = lock.withLock { acknowledged } }

  func stop() {
    lock.withLock { isStopping = true }
    ended.wait()
  }

  private static func size(_ version: Int) -> Int { baseBytes + 333 * version }

  /// Every other block, across blocks, and the end.
  private static func places(_ version: Int) -> [Range<Int>] {
    let blocks = (0..<20).map { $0 * 16_384..<$0 * 16_384 + 4096 }
    return blocks + [350_001..<355_000, size(version - 1)..<size(version)]
  }

  /// Which version a file holds; `nil` for a mix of several.
  static func version(of contents: [UInt8]) throws -> Int? {
    let version = (contents.count - baseBytes) / 333
    guard contents.count == size(version) else { return nil }
    var expected = [UInt8](repeating: 0, count: baseBytes)
    for earlier in 1...max(1, version) where earlier <= version {
      expected += [UInt8](repeating: UInt8(truncatingIfNeeded: earlier), count: 333)
    }
    for place in places(1).dropLast() where version > 0 {
      expected.replaceSubrange(
        place,
        with: [UInt8](repeating: UInt8(truncatingIfNeeded: version), count: place.count)
      )
    }
    return contents == expected ? version : nil
  }
}
