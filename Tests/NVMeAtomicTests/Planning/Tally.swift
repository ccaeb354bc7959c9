import Testing

@testable import NVMeAtomic

/// Compares verdicts with the truth, and counts what was met: a test that meets nothing fails.
struct Tally {
  let seed: Seed?
  var asked = 0
  var held = 0
  var failures = 0
  var cautions = Set<Caution>()

  init(_ seed: Seed? = nil) {
    self.seed = seed
  }

  mutating func check(_ request: WriteRequest, through path: WritePath, in world: World) {
    asked += 1
    let verdict = world.verdict(path, request)
    let fate = Truth.fate(of: request, through: path, in: world)
    switch (verdict.promise, fate) {
    case (let promise?, .kept):
      held += 1
      if promise.backing != Self.backing(of: request, through: path, in: world) {
        fail("WRONG BACKING", "\(verdict)", request, path, world)
      }
      if promise.assumptions != Self.assumptions(of: promise, request, in: world) {
        fail("WRONG ASSUMPTIONS", "\(verdict)", request, path, world)
      }
    case (_?, _):
      fail("UNSOUND", "\(verdict), but \(fate)", request, path, world)
    case (nil, .kept):
      let reasons = Caution.allCases.filter { $0.applies(to: request, through: path, in: world) }
      cautions.formUnion(reasons)
      if reasons.isEmpty { fail("TOO CAREFUL", "\(verdict)", request, path, world) }
    case (nil, _):
      break
    }
  }

  mutating func check(
    _ questions: [(path: WritePath, request: WriteRequest)],
    in world: World
  ) {
    for question in questions { check(question.request, through: question.path, in: world) }
  }

  private mutating func fail(
    _ kind: String,
    _ what: String,
    _ request: WriteRequest,
    _ path: WritePath,
    _ world: World
  ) {
    failures += 1
    guard failures <= 3 else { return }
    Issue.record("\(kind): \(what): \(path), \(request.text), \(world). \(seed?.replay ?? "")")
  }

  /// At least one write in fifty must be kept.
  func expectSense() {
    #expect(failures == 0, "of \(asked); \(seed?.replay ?? "")")
    #expect(held * 50 > asked, "too few writes are kept; \(seed?.replay ?? "")")
  }

  /// XFS with reflink tries the drive up to the optimal length, and moves blocks beyond it.
  private static func backing(
    of request: WriteRequest,
    through path: WritePath,
    in world: World
  ) -> Backing {
    guard path == .kernel, world.target.kind.isFile, world.target.filesystem?.reflink == true else {
      return .hardware
    }
    let optimal = UInt64(world.target.statx?.atomicWriteUnitMaxOpt ?? 0)
    if optimal > 0 { return request.lengthBytes <= optimal ? .mixed : .software }
    let isOneBlock =
      world.target.statx?.atomicWriteUnitMax
      == world.target.filesystem?.blockSize.map(UInt32.init)
    return world.blockFitsTheDrive && isOneBlock ? .mixed : .software
  }

  /// What completed stays in a cache unless it was asked to be durable; software flushes itself.
  private static func assumptions(
    of promise: PathPromise,
    _ request: WriteRequest,
    in world: World
  ) -> [Assumption] {
    let isCached = world.drive.cache != false && !request.promises.contains(.durable)
    return isCached && promise.backing != .software ? [.volatileCacheKeepsWritesWhole] : []
  }
}

extension World {
  /// `fs/xfs/xfs_buf.c:xfs_configure_buftarg_atomic_writes`.
  var blockFitsTheDrive: Bool {
    let block = target.filesystem?.blockSize ?? 0
    let (shortest, longest) = usableUnits
    return longest > 0 && shortest <= block && block <= longest
  }
}
