import Foundation
import NVMeAtomic
import Testing

/// Random transactions of three handles on one file against what a few arrays say of them: every
/// byte, every size, and every conflict.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasExchange, "\(HostRig.noExchange)")
)
struct HostExchangeModelTests {
  #if DEBUG
  static let (seeds, steps) = (2 as UInt64, 600)
  #else
  static let (seeds, steps) = (30 as UInt64, 1000)
  #endif

  static var allSeeds: [UInt64] {
    let asked = ProcessInfo.processInfo.environment["NVME_ATOMIC_SEED"].flatMap { UInt64($0) }
    return asked.map { [$0] } ?? Array(1...seeds)
  }

  @Test(arguments: allSeeds)
  func everyStepIsAsTheModelSays(seed: UInt64) throws {
    var run = try ModelRun(seed: seed)
    for step in 0..<Self.steps {
      try run.step()
      if run.isWrong {
        Issue.record("step \(step); replay with NVME_ATOMIC_SEED=\(seed)")
        return
      }
    }
    #expect(run.commits > Self.steps / 20 && run.conflicts > 5)
  }
}

/// One handle and what the model knows of it.
private final class ModelHandle {
  var transaction: AtomicTransaction
  var staged: [(offset: Int, bytes: [UInt8])] = []
  /// Units that are locked, and the one from which on all are.
  var units: Set<Int> = []
  var allFrom = Int.max

  init(_ transaction: consuming AtomicTransaction) {
    self.transaction = transaction
  }

  func forget() {
    (staged, units, allFrom) = ([], [], .max)
  }

  func holdsAny(of asked: Range<Int>, orAllFrom from: Int) -> Bool {
    asked.contains { units.contains($0) || $0 >= allFrom }
      || from != .max && (allFrom != .max || units.contains { $0 >= from })
  }

  /// The file with what is staged.
  func over(_ file: [UInt8]) -> [UInt8] {
    var file = file
    for (offset, bytes) in staged {
      let end = offset + bytes.count
      if end > file.count { file += [UInt8](repeating: 0, count: end - file.count) }
      file.replaceSubrange(offset..<end, with: bytes)
    }
    return file
  }
}

private struct ModelRun {
  private static let mostBytes = 240_000

  private let file: ExchangeFile
  private let target: AtomicTarget
  private var model: [UInt8]
  private let handles: [ModelHandle]
  private var random: SplitMix64
  private(set) var isWrong = false
  private(set) var commits = 0
  private(set) var conflicts = 0

  init(seed: UInt64) throws {
    random = SplitMix64(seed)
    file = try ExchangeFile(1 + Int(random.below(60_000)), fill: UInt8(seed & 0xff))
    target = try file.target()
    model = try file.contents
    handles = [
      ModelHandle(try AtomicTransaction(on: target)),
      ModelHandle(try AtomicTransaction(on: target)),
      ModelHandle(try file.transaction()),
    ]
  }

  mutating func step() throws {
    let handle = handles[Int(random.below(3))]
    switch random.below(100) {
    case ..<45: try write(handle)
    case ..<65: try read(handle)
    case ..<90: try commit(handle)
    case ..<95:
      handle.transaction.rollback()
      handle.forget()
    default:
      handle.transaction = try AtomicTransaction(on: target)
      handle.forget()
    }
  }

  private mutating func check(_ isRight: Bool, _ what: String) {
    if isRight { return }
    isWrong = true
    Issue.record("\(what)")
  }

  /// Whole blocks, bytes of one, and anything else; mostly within the file.
  private mutating func range() -> Range<Int> {
    let most = UInt64(model.count) + (random.below(8) == 0 ? 40_000 : 0)
    var offset = min(Int(random.below(most)), Self.mostBytes - 1)
    var count: Int
    switch random.below(4) {
    case 0: count = 1 + Int(random.below(30))
    case 1:
      offset = offset / 4096 * 4096
      count = 4096 * (1 + Int(random.below(3)))
    default: count = 1 + Int(random.below(9000))
    }
    if random.below(3) > 0, offset < model.count { count = min(count, model.count - offset) }
    return offset..<min(offset + count, Self.mostBytes)
  }

  /// Locks as the model knows them; whether another handle is in the way.
  private mutating func lock(_ handle: ModelHandle, _ range: Range<Int>, writes: Bool) -> Bool {
    let units = range.lowerBound / 4096..<(range.upperBound + 4095) / 4096
    let extends = writes && range.upperBound > model.count
    let from = extends ? min(units.lowerBound, model.count / 4096) : .max
    let isHeld = handles.contains {
      $0 !== handle && $0.holdsAny(of: units, orAllFrom: from)
    }
    if isHeld {
      conflicts += 1
      return false
    }
    handle.units.formUnion(units)
    handle.allFrom = min(handle.allFrom, from)
    return true
  }

  private mutating func write(_ handle: ModelHandle) throws {
    let range = range()
    if range.isEmpty { return }
    let value = UInt8(truncatingIfNeeded: random.next())
    let bytes = [UInt8](repeating: value, count: range.count)
    let isFree = lock(handle, range, writes: true)
    do throws(AtomicWriteError) {
      try handle.transaction.write(bytes, atBytes: UInt64(range.lowerBound))
      check(isFree, "\(range) was staged in spite of a lock")
      handle.staged.append((range.lowerBound, bytes))
    } catch {
      guard case .conflict = error else { throw error }
      check(!isFree, "\(range) is locked by nobody")
    }
  }

  private mutating func read(_ handle: ModelHandle) throws {
    let range = range()
    if range.isEmpty { return }
    let isFree = lock(handle, range, writes: false)
    do throws(AtomicWriteError) {
      let got = try handle.transaction.bytes(range.count, atBytes: UInt64(range.lowerBound))
      check(isFree, "\(range) was read in spite of a lock")
      let whole = handle.over(model)
      let seen = range.clamped(to: 0..<max(whole.count, 0))
      let expected = range.lowerBound < whole.count ? Array(whole[seen]) : []
      check(got == expected, "\(range) reads as something else")
    } catch {
      guard case .conflict = error else { throw error }
      check(!isFree, "\(range) is locked by nobody")
    }
  }

  private mutating func commit(_ handle: ModelHandle) throws {
    let receipt = try handle.transaction.commit(
      durability: random.below(10) == 0 ? .onReturn : .none
    )
    model = handle.over(model)
    let bytes = Set(handle.staged.flatMap { $0.offset..<$0.offset + $0.bytes.count }).count
    check(receipt.bytes == UInt64(bytes), "\(receipt.bytes) bytes in place of \(bytes)")
    handle.forget()
    check(try file.contents == model, "the file holds something else")
    commits += 1
  }
}
