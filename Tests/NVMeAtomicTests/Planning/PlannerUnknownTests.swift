import Testing

@testable import NVMeAtomic

/// A fact of a target, and how to forget it.
private struct Fact: Sendable {
  var name: String
  var forget: @Sendable (inout TargetLimits) -> Void

  init(_ name: String, _ forget: @escaping @Sendable (inout TargetLimits) -> Void) {
    (self.name, self.forget) = (name, forget)
  }

  /// Forgets something about the drive.
  static func drive(
    _ name: String,
    _ forget: @escaping @Sendable (inout DeviceLimits) -> Void
  ) -> Fact {
    Fact(name) { target in
      guard var limits = target.drive.limits else { return }
      forget(&limits)
      target.drive = .known(limits)
    }
  }

  /// What the kernel does not tell it does not offer; an unknown cache is taken to be there; lines
  /// that the kernel is not known to keep are taken to be crossed.
  static let mayMakeANo: Set = [
    "unit_max", "dio_offset_align", "cache", "atomic_write_boundary_bytes",
  ]

  static let all: [Fact] = [
    Fact("start") { $0.startBytes = nil },
    Fact("size") { $0.sizeBytes = nil },
    Fact("drive") { $0.drive = .unknown(.identify("it is asleep")) },
    Fact("statx") { $0.statx = nil },
    Fact("unit_min") { $0.statx?.atomicWriteUnitMin = nil },
    Fact("unit_max") { $0.statx?.atomicWriteUnitMax = nil },
    Fact("dio_offset_align") { $0.statx?.dioOffsetAlign = nil },
    Fact("filesystem") { $0.filesystem = nil },
    Fact("filesystem block") { $0.filesystem?.blockSize = nil },
    Fact("reflink") { $0.filesystem?.reflink = nil },
    Fact("realtime") { $0.filesystem?.realtime = nil },
    Fact("max_sectors_kb") { $0.queue.maxSectorsKB = nil },
    Fact("max_hw_sectors_kb") { $0.queue.maxHWSectorsKB = nil },
    Fact("max_segments") { $0.queue.maxSegments = nil },
    Fact("chunk_sectors") { $0.queue.chunkSectors = nil },
    Fact("physical_block_size") { $0.queue.physicalBlockSize = nil },
    Fact("nomerges") { $0.queue.nomerges = nil },
    Fact("write_cache") { $0.queue.writeBack = nil },
    Fact("atomic_write_unit_min_bytes") { $0.queue.atomicWriteUnitMinBytes = nil },
    Fact("atomic_write_unit_max_bytes") { $0.queue.atomicWriteUnitMaxBytes = nil },
    Fact("atomic_write_max_bytes") { $0.queue.atomicWriteMaxBytes = nil },
    Fact("atomic_write_boundary_bytes") { $0.queue.atomicWriteBoundaryBytes = nil },
    Fact("every limit of the queue") { $0.queue = QueueLimits() },
    .drive("DN") {
      ($0.normalAtomicityDisabled, $0.normalBytes, $0.normalSource) = (nil, nil, nil)
    },
    .drive("cache") { $0.volatileWriteCache = nil },
  ]
}

@Suite struct PlannerUnknownTests {
  /// The kernel's word alone is no yes: it is an assumption, and it is said to be one.
  private func isPlainYes(_ verdict: PathVerdict) -> Bool {
    guard let promise = verdict.promise else { return false }
    return !promise.assumptions.contains {
      if case .kernelWordOnly = $0 { true } else { false }
    }
  }

  @Test(arguments: Seed.some(3))
  func forgettingAFactNeverMakesAYes(seed: Seed) {
    var generator = WorldGenerator(seed)
    for index in 0..<100 {
      let world = index % 2 == 0 ? generator.device() : generator.file()
      let questions = generator.questions(in: world)
      let known = questions.map { world.verdict($0.path, $0.request) }
      for fact in Fact.all {
        var doubtful = world
        fact.forget(&doubtful.target)
        for (question, before) in zip(questions, known) {
          let after = doubtful.verdict(question.path, question.request)
          let isMistake: Bool =
            switch after {
            case .holds: isPlainYes(after) && !isPlainYes(before)
            case .fails: isPlainYes(before) && !Fact.mayMakeANo.contains(fact.name)
            case .unknown: false
            }
          guard isMistake else { continue }
          let text = "\(before) became \(after): \(question.path), \(question.request.text)"
          Issue.record("without \(fact.name): \(text), \(world). \(seed.replay)")
        }
      }
    }
  }

  /// Every fact counts somewhere, or it need not be asked for.
  @Test func everyFactCanBeMissed() {
    var generator = WorldGenerator(Seed(value: 1))
    var idle = Fact.all
    for index in 0..<400 where !idle.isEmpty {
      let world = index % 2 == 0 ? generator.device() : generator.file()
      for question in generator.questions(in: world) {
        let before = world.verdict(question.path, question.request)
        guard before.promise != nil else { continue }
        idle.removeAll { fact in
          var doubtful = world
          fact.forget(&doubtful.target)
          return doubtful.verdict(question.path, question.request).promise != before.promise
        }
      }
    }
    #expect(idle.map(\.name) == [])
  }

  @Test func aPathTrustsTheKernelOnlyWithoutADriveAndSaysSo() {
    let fact = MissingFact.identify("it is asleep")
    var world = World(Drive(awupf: 7))
    world.deriveQueue(.awupf)
    world.deriveDeviceStatx()
    world.target.drive = .unknown(fact)
    let range = WriteRequest.Range.everyPage(sizeBytes: 4096)
    let atomic = WriteRequest(range, writer: .rwfAtomic)
    #expect(world.verdict(.kernel, atomic).promise?.assumptions == [.kernelWordOnly(fact)])
    #expect(world.verdict(.passthrough, atomic) == .unknown(fact))
    #expect(world.verdict(.plain, WriteRequest(range, writer: .direct)) == .unknown(fact))
    let untorn = WriteRequest(range, promises: .untorn, writer: .rwfAtomic)
    #expect(world.verdict(.kernel, untorn) == .unknown(fact))
  }

  @Test func withoutADriveNothingHolds() {
    for kind in [TargetKind.namespace, .block, .file] {
      var world = World(Drive(awupf: 7), kind: kind)
      world.deriveQueue(.awupf)
      world.deriveDeviceStatx()
      if kind == .file { world.deriveExt4(block: 4096) }
      world.target.drive = .none
      for path in WritePath.planned {
        let request = WriteRequest(.everyPage(sizeBytes: 4096), writer: path.writer)
        #expect(world.verdict(path, request).promise == nil, "\(kind) \(path)")
      }
    }
  }
}
