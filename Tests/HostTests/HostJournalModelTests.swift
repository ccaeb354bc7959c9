import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// Random transactions against what an array says of them, on each filesystem; the target is
/// closed, dropped, or cut off by a power failure now and then.
@Suite(.enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalModelTests {
  #if DEBUG
  static let (seeds, steps) = (1 as UInt64, 1200)
  #else
  static let (seeds, steps) = (4 as UInt64, 3600)
  #endif

  static var allSeeds: [UInt64] {
    let asked = ProcessInfo.processInfo.environment["NVME_ATOMIC_SEED"].flatMap { UInt64($0) }
    return asked.map { [$0] } ?? Array(1...seeds)
  }

  @Test(arguments: JournalledFile.filesystems, allSeeds)
  func everyStepIsAsTheModelSays(on filesystem: String, seed: UInt64) throws {
    let run = try JournalModelRun(seed: seed, on: filesystem)
    for step in 0..<Self.steps {
      do {
        try run.step()
      } catch {
        Issue.record("\(error)")
      }
      guard run.isWrong else { continue }
      Issue.record("\(filesystem), step \(step); replay with NVME_ATOMIC_SEED=\(seed)")
      return
    }
    print(
      "\(filesystem) seed \(seed): \(run.commits) commits, \(run.replayed) of them replayed, "
        + "\(run.crashes) crashes"
    )
    #expect(run.commits > Self.steps / 6 && run.replayed > run.crashes && run.crashes > 5)
  }
}

/// One file and what the model knows of it.
private final class JournalModelRun {
  private let file: JournalledFile
  /// What was committed.
  private var model: [UInt8]
  private var staged: [(offset: Int, bytes: [UInt8])] = []
  /// What surely is on stable storage of the target: as it was when the lap began.
  private var base: [UInt8]
  private var lap: [UInt8] = []
  private var target: AtomicTarget?
  private var transaction: Transaction?
  private var random: SplitMix64
  private(set) var isWrong = false
  private(set) var commits = 0
  private(set) var crashes = 0
  private(set) var replayed: UInt64 = 0

  private final class Transaction {
    var value: AtomicTransaction
    init(_ target: AtomicTarget) throws { value = try AtomicTransaction(on: target) }
  }

  init(seed: UInt64, on filesystem: String) throws {
    random = SplitMix64(seed)
    file = try JournalledFile(1 + Int(random.below(16_000)), on: filesystem)
    model = try file.contents
    base = model
    try open()
  }

  private func open() throws {
    let target = try file.target()
    (self.target, transaction) = (target, try Transaction(target))
    (base, staged) = (model, [])
  }

  private func check(_ isRight: Bool, _ what: String) {
    if isRight { return }
    isWrong = true
    Issue.record("\(what)")
  }

  func step() throws {
    switch random.below(1000) {
    case ..<470: try write()
    case ..<570: try read()
    case ..<950: try commit()
    case ..<970:
      transaction?.value.rollback()
      staged = []
    case ..<975:
      transaction = nil
      try target?.close()
      try reopen()
    case ..<980: try reopen()
    default: try crash()
    }
  }

  /// Whole blocks, bytes of one, and anything else; mostly within the file.
  private func range() -> Range<Int> {
    let most = UInt64(model.count) + (random.below(8) == 0 ? 9000 : 0)
    var offset = Int(random.below(most))
    var count: Int
    switch random.below(4) {
    case 0: count = 1 + Int(random.below(30))
    case 1:
      offset = offset / 4096 * 4096
      count = 4096 * (1 + Int(random.below(2)))
    default: count = 1 + Int(random.below(6000))
    }
    if random.below(3) > 0 { count = min(count, max(1, model.count - offset)) }
    return offset..<max(offset, min(offset + count, 64_000))
  }

  private func write() throws {
    let range = range()
    if range.isEmpty { return }
    let bytes = pattern(Int(random.below(1000)), byteCount: range.count)
    try transaction?.value.write(bytes, atBytes: UInt64(range.lowerBound))
    staged.append((range.lowerBound, bytes))
  }

  private func read() throws {
    let range = range()
    let got = try transaction?.value.bytes(range.count, atBytes: UInt64(range.lowerBound))
    let whole = replacing(model, staged)
    let seen = range.clamped(to: 0..<whole.count)
    let expected = range.lowerBound < whole.count ? Array(whole[seen]) : []
    check(got == expected, "\(range) reads as something else")
  }

  private func commit() throws {
    guard let receipt = try transaction?.value.commit() else { return }
    let bytes = ByteRangesOfModel.count(staged)
    check(receipt.bytes == UInt64(bytes), "\(receipt.bytes) bytes in place of \(bytes)")
    let now = try lapNow()
    if now != lap { (lap, base) = (now, model) }
    model = replacing(model, staged)
    if !staged.isEmpty { commits += 1 }
    staged = []
    // It may still be on its way in place when the next one comes.
    if random.below(2) == 0 { return }
    let got = try transaction?.value.bytes(model.count + 1, atBytes: 0)
    check(got == model, "the target holds something else")
    if random.below(8) == 0 { check(try file.contents == model, "the file holds something else") }
  }

  /// Which lap the log is in, as the first superblock says.
  private func lapNow() throws -> [UInt8] {
    let journal = try FileHandle(forReadingFrom: URL(fileURLWithPath: file.journal))
    defer { try? journal.close() }
    return [UInt8](try #require(try journal.read(upToCount: 4096))[56..<64])
  }

  /// What is staged is lost, whether or not somebody has said so.
  private func reopen() throws {
    (transaction, target) = (nil, nil)
    check(try file.contents == model, "something else was left behind")
    check(try file.recover()?.wasInUse == false, "it was not closed")
    try open()
  }

  /// The journal as it is now, and of the target any mix of what was and is there.
  private func crash() throws {
    var image = try file.image()
    (transaction, target) = (nil, nil)
    let now = model
    var old = base + [UInt8](repeating: 0, count: max(0, now.count - base.count))
    for sector in stride(from: 0, to: now.count, by: 512) where random.below(2) == 0 {
      let place = sector..<min(sector + 512, now.count)
      old.replaceSubrange(place, with: now[place])
    }
    image.target = random.below(2) == 0 ? old : Array(old.prefix(base.count))
    try file.restore(image)
    crashes += 1
    if random.below(3) == 0 {
      replayed += try file.recover()?.transactions ?? 0
      check(try file.contents == model, "recovery has left something else")
    } else {
      replayed += try file.recover(dryRun: true)?.transactions ?? 0
    }
    try open()
    check(try file.contents == model, "opening has recovered something else")
  }
}

/// How many bytes there are in ranges that may lie over one another.
private enum ByteRangesOfModel {
  static func count(_ pieces: [(offset: Int, bytes: [UInt8])]) -> Int {
    var (count, end) = (0, 0)
    for piece in pieces.sorted(by: { $0.offset < $1.offset }) {
      let last = piece.offset + piece.bytes.count
      count += max(0, last - max(end, piece.offset))
      end = max(end, last)
    }
    return count
  }
}
