import Testing

@testable import NVMeAtomic

/// A limit, and how to make it worse.
private struct Limit: Sendable {
  var name: String
  /// Whether the limit is worse for every write, not only for some kinds.
  var applies: @Sendable (World) -> Bool
  var worsen: @Sendable (inout TargetLimits) -> Void

  init(
    _ name: String,
    where applies: @escaping @Sendable (World) -> Bool = { _ in true },
    _ worsen: @escaping @Sendable (inout TargetLimits) -> Void
  ) {
    (self.name, self.applies, self.worsen) = (name, applies, worsen)
  }

  static func drive(
    _ name: String,
    where applies: @escaping @Sendable (World) -> Bool = { _ in true },
    _ worsen: @escaping @Sendable (inout DeviceLimits) -> Void
  ) -> Limit {
    Limit(name, where: applies) { target in
      guard var limits = target.drive.limits else { return }
      worsen(&limits)
      target.drive = .known(limits)
    }
  }

  /// XFS falls back to software where the drive offers less, and keeps more then.
  private static let isNotXFS: @Sendable (World) -> Bool = { $0.target.filesystem?.type != "xfs" }
  /// A boundary that comes to be the kernel's own is kept by the kernel.
  private static let isPlainDevice: @Sendable (World) -> Bool = {
    $0.target.queue.nomerges == 2 && !$0.target.kind.isFile
  }
  /// A lower split limit also ends merging earlier.
  private static let neverMerges: @Sendable (World) -> Bool = { $0.target.queue.nomerges == 2 }

  private static func halved(_ boundary: AtomicBoundary?, _ limits: DeviceLimits) -> AtomicBoundary?
  {
    let block = UInt64(limits.logicalBlockSize.bytes)
    guard let boundary else {
      return AtomicBoundary(sizeBytes: 4 * block, offsetBytes: limits.boundaryOffsetBytes)
    }
    guard boundary.sizeBytes % (2 * block) == 0 else { return boundary }
    return AtomicBoundary(
      sizeBytes: boundary.sizeBytes / 2,
      offsetBytes: boundary.offsetBytes % (boundary.sizeBytes / 2)
    )
  }

  static let all: [Limit] = [
    .drive("power-fail limit") { $0.powerFailBytes -= UInt64($0.logicalBlockSize.bytes) },
    .drive("normal limit") { limits in
      let block = UInt64(limits.logicalBlockSize.bytes)
      limits.normalBytes = limits.normalBytes.map { $0 - block }
    },
    .drive("power-fail boundary", where: isPlainDevice) {
      $0.powerFailBoundary = halved($0.powerFailBoundary, $0)
    },
    .drive("normal boundary", where: isPlainDevice) {
      $0.normalBoundary = halved($0.normalBoundary, $0)
    },
    .drive("MDTS") { $0.maximumTransferBytes = ($0.maximumTransferBytes ?? 16_384) / 2 },
    .drive("DN") { $0.normalAtomicityDisabled = $0.normalAtomicityDisabled.map { _ in true } },
    .drive("cache") { $0.volatileWriteCache = true },
    .drive("metadata") { $0.metadataBytes = 8 },
    Limit("max_hw_sectors_kb") { $0.queue.maxHWSectorsKB = $0.queue.maxHWSectorsKB.map { $0 / 2 } },
    Limit("unit_max", where: isNotXFS) { target in
      guard let longest = target.statx?.atomicWriteUnitMax else { return }
      target.statx?.atomicWriteUnitMax = longest / 2
    },
    Limit("unit_min") { target in
      guard let shortest = target.statx?.atomicWriteUnitMin else { return }
      target.statx?.atomicWriteUnitMin = shortest * 2
    },
    Limit("dio_offset_align") { target in
      guard let alignment = target.statx?.dioOffsetAlign else { return }
      target.statx?.dioOffsetAlign = alignment * 2
    },
    Limit("no direct I/O") { $0.statx?.dioOffsetAlign = 0 },
    Limit("size") { $0.sizeBytes = $0.sizeBytes.map { $0 / 2 } },
    Limit("max_segments") { $0.queue.maxSegments = $0.queue.maxSegments.map { $0 - 1 } },
    Limit("max_sectors_kb", where: neverMerges) {
      $0.queue.maxSectorsKB = $0.queue.maxSectorsKB.map { $0 / 2 }
    },
    Limit("chunk_sectors", where: neverMerges) {
      $0.queue.chunkSectors = ($0.queue.logicalBlockSize ?? 512) / 512
    },
    Limit("nomerges") { $0.queue.nomerges = 0 },
    Limit("simple merges") { $0.queue.nomerges = 1 },
    Limit("write through") { $0.queue.writeBack = false },
    Limit("an obstacle") { $0.passthroughObstacle = "no character device" },
    Limit("a user") { $0.passthroughUser = "somebody else uses it" },
    Limit("sharing") { $0.sharing = "other hosts" },
    Limit("real-time") { target in
      guard target.filesystem?.type == "xfs" else { return }
      target.filesystem?.realtime = true
    },
  ]
}

@Suite struct PlannerMonotonyTests {
  @Test(arguments: Seed.some(3))
  func aWorseLimitNeverMakesAYes(seed: Seed) {
    var generator = WorldGenerator(seed)
    for index in 0..<120 {
      let world = index % 2 == 0 ? generator.device() : generator.file()
      let questions = generator.questions(in: world)
      let known = questions.map { world.verdict($0.path, $0.request) }
      for limit in Limit.all where limit.applies(world) {
        var worse = world
        limit.worsen(&worse.target)
        for (question, before) in zip(questions, known) where before.promise == nil {
          let after = worse.verdict(question.path, question.request)
          guard after.promise != nil else { continue }
          let text = "\(before) became \(after): \(question.path), \(question.request.text)"
          Issue.record("worse \(limit.name): \(text), \(world). \(seed.replay)")
        }
      }
    }
  }

  /// A limit that decides nothing is not looked at.
  @Test func everyLimitDecidesSomething() {
    var generator = WorldGenerator(Seed(value: 1))
    var idle = Limit.all
    for index in 0..<400 where !idle.isEmpty {
      let world = index % 2 == 0 ? generator.device() : generator.file()
      for question in generator.questions(in: world) {
        guard world.verdict(question.path, question.request).promise != nil else { continue }
        idle.removeAll { limit in
          var worse = world
          limit.worsen(&worse.target)
          return worse.verdict(question.path, question.request).promise == nil
        }
      }
    }
    #expect(idle.map(\.name) == [])
  }
}
