import Testing

@testable import NVMeAtomic

/// Who writes decides, and what a yes rests on.
@Suite struct PlannerWriterTests {
  /// A drive and queue on which every path keeps 4096 bytes.
  private static func world(cache: Bool? = false, writeBack: Bool? = nil) -> World {
    var world = World(Drive(awun: 7, awupf: 7, cache: cache))
    world.target.queue.nomerges = 2
    if let writeBack { world.target.queue.writeBack = writeBack }
    world.deriveQueue(.awupf)
    world.deriveDeviceStatx()
    return world
  }

  private static func ask(
    _ world: World,
    _ path: WritePath,
    _ promises: Promises = .powerFailAtomic,
    writer: Writer? = nil
  ) -> PathVerdict {
    let range = WriteRequest.Range.everyPage(sizeBytes: 4096)
    let request = WriteRequest(range, promises: promises, writer: writer ?? path.writer)
    return world.verdict(path, request)
  }

  @Test(arguments: Writer.allCases, WritePath.planned)
  func eachPathServesItsOwnWriter(writer: Writer, path: WritePath) {
    let verdict = Self.ask(Self.world(), path, writer: writer)
    #expect((verdict.promise != nil) == (writer == path.writer))
  }

  @Test(arguments: Seed.some(2))
  func theWrongWriterIsNeverServed(seed: Seed) {
    var generator = WorldGenerator(seed)
    for index in 0..<200 {
      let world = index % 2 == 0 ? generator.device() : generator.file()
      for _ in 0..<4 {
        for writer in Writer.allCases {
          let request = generator.request(in: world, by: writer)
          let plan = Planner(world.target).plan(request)
          let served = [plan.kernel, plan.passthrough, plan.plain].map { $0.promise != nil }
          let text: Comment = "\(request.text), \(world). \(seed.replay)"
          switch writer {
          case .buffered: #expect(served == [false, false, false], text)
          case .direct: #expect(!served[0] && !served[1], text)
          case .rwfAtomic: #expect(!served[2], text)
          }
          #expect(plan.path == (served[0] ? .kernel : served[2] ? .plain : nil), text)
        }
      }
    }
  }

  @Test(arguments: WritePath.planned)
  func aVolatileCacheIsAnAssumptionUnlessDurable(path: WritePath) {
    for cache in [true, nil] as [Bool?] {
      let world = Self.world(cache: cache)
      let assumed = Self.ask(world, path).promise?.assumptions
      #expect(assumed == [.volatileCacheKeepsWritesWhole])
      let durable = Self.ask(world, path, [.powerFailAtomic, .durable]).promise?.assumptions
      #expect(durable == [])
    }
    #expect(Self.ask(Self.world(), path).promise?.assumptions == [])
    #expect(Self.ask(Self.world(), path, .durable).promise?.assumptions == [])
  }

  /// Commands carry FUA, or a Flush of their own follows, whatever the kernel was told.
  @Test func passthroughFlushesForItself() {
    let durable: Promises = [.powerFailAtomic, .durable]
    for cache in [true, nil] as [Bool?] {
      let world = Self.world(cache: cache, writeBack: false)
      #expect(Self.ask(world, .passthrough, durable).promise?.assumptions == [])
    }
  }

  @Test(arguments: [WritePath.kernel, .plain])
  func durableNeedsFlushesWhereThereIsACache(path: WritePath) {
    let durable: Promises = [.powerFailAtomic, .durable]
    let deaf = Self.world(cache: true, writeBack: false)
    #expect(Self.ask(deaf, path, durable) == .fails(.cacheNeverFlushed))
    #expect(Self.ask(deaf, path).promise?.assumptions == [.volatileCacheKeepsWritesWhole])
    #expect(Self.ask(Self.world(cache: nil, writeBack: false), path, durable).promise == nil)
    #expect(Self.ask(Self.world(cache: false, writeBack: false), path, durable).promise != nil)
    var doubtful = Self.world(cache: true)
    doubtful.target.queue.writeBack = nil
    #expect(Self.ask(doubtful, path, durable).promise == nil)
  }

  @Test(arguments: WritePath.planned)
  func aRemoteNamespaceIsNeverAPlainYes(path: WritePath) {
    var world = Self.world(cache: true)
    world.target.fabric = "tcp"
    let claim = Assumption.fabricsClaim(transport: "tcp")
    for promises in [.powerFailAtomic, .untorn, .durable] as [Promises] {
      let promise = Self.ask(world, path, promises).promise
      #expect(promise == nil || promise?.assumptions.contains(claim) == true)
    }
  }

  /// What others can write to is written to by who answers for them, and is never a plain yes.
  @Test func passthroughSharesOnlyWhenTold() {
    let sole = Assumption.soleUser("other hosts")
    for fabric in [nil, "tcp"] as [String?] {
      var world = Self.world()
      world.target.sharing = "other hosts"
      world.target.fabric = fabric
      var request = WriteRequest(.everyPage(sizeBytes: 4096), writer: .rwfAtomic)
      #expect(world.verdict(.passthrough, request).promise == nil)
      request.allowsShared = true
      let assumptions = world.verdict(.passthrough, request).promise?.assumptions
      #expect(assumptions == (fabric.map { [.fabricsClaim(transport: $0)] } ?? []) + [sole])
      #expect(assumptions?.allSatisfy(\.isDoubt) == true)
      // Other paths neither ask nor are told.
      #expect(world.verdict(.kernel, request) == Self.ask(world, .kernel))
      world.target.passthroughUser = "mounted"
      #expect(world.verdict(.passthrough, request) == .fails(.inUse("mounted")))
    }
  }

  /// NLB has 16 bits, whatever the drive and the kernel would carry.
  @Test func aCommandHasAtMost65536Blocks() {
    var world = Self.world()
    world.drive = Drive(awun: 0xffff, awupf: 0xffff, cache: false)
    world.target.drive = .known(world.drive.limits)
    world.target.queue.maxHWSectorsKB = 1 << 20
    world.target.sizeBytes = 1 << 40
    let limit = world.target.drive.limits.flatMap(world.target.transferLimitBytes)
    #expect(limit == 65536 * UInt64(world.drive.block))
  }

  @Test(arguments: WritePath.planned)
  func untornNeedsTheNormalLimitsAndDN(path: WritePath) {
    var world = Self.world()
    #expect(Self.ask(world, path, .untorn).promise != nil)
    for (disabled, verdict) in [
      (nil, .unknown(.writeAtomicityNormal)), (true, .fails(.normalAtomicityDisabled)),
    ] as [(Bool?, PathVerdict)] {
      world.drive.disabled = disabled
      world.target.drive = .known(world.drive.limits)
      #expect(Self.ask(world, path, .untorn) == verdict)
      #expect(Self.ask(world, path).promise != nil)
    }
  }

  @Test func whatIsNoTargetOfAPathIsNeverServed() {
    for kind in [TargetKind.generic, .controller] {
      var world = Self.world()
      world.target.kind = kind
      #expect(Self.ask(world, .kernel).promise == nil)
      #expect(Self.ask(world, .plain).promise == nil)
      #expect((Self.ask(world, .passthrough).promise != nil) == (kind == .generic))
    }
    for kind in [TargetKind.block, .file, .directory, .controller] {
      var world = Self.world()
      world.target.kind = kind
      #expect(Self.ask(world, .passthrough).promise == nil)
    }
  }

  @Test func anObstacleOrMetadataStopsPassthrough() {
    var world = Self.world()
    world.target.passthroughObstacle = "no node"
    #expect(Self.ask(world, .passthrough) == .fails(.obstacle("no node")))
    world = Self.world()
    world.target.passthroughUser = "mounted"
    #expect(Self.ask(world, .passthrough) == .fails(.inUse("mounted")))
    world = Self.world()
    world.drive.metadata = 8
    world.target.drive = .known(world.drive.limits)
    #expect(Self.ask(world, .passthrough) == .fails(.metadataFormat(bytes: 8)))
    #expect(Self.ask(world, .plain) == .unknown(.metadata))
  }
}
