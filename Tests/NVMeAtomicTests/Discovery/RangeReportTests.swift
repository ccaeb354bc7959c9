import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// One range of a file, from what the filesystem tells to the answer.
@Suite struct RangeReportTests {
  struct Row: Sendable, CustomStringConvertible {
    var description: String
    var layout: FixtureLayout
    var offset: UInt64
    var length: UInt64
    var backing: Backing
    /// Part of the reason.
    var says: String
    /// Part of the finding about this range.
    var finding: String?

    init(
      _ description: String,
      at offset: UInt64 = 16384,
      length: UInt64 = 16384,
      _ backing: Backing,
      _ says: String,
      finding: String? = nil,
      _ change: (inout FixtureLayout) -> Void = { _ in }
    ) {
      self.description = description
      (self.offset, self.length, self.backing) = (offset, length, backing)
      (self.says, self.finding) = (says, finding)
      layout = FixtureLayout(change)
    }
  }

  private static func extent(
    _ logical: UInt64,
    _ physical: UInt64,
    _ length: UInt64,
    _ flags: FileExtent.Flags = []
  ) -> ExtentMap.Extent {
    ExtentMap.Extent(
      logicalBytes: logical,
      physicalBytes: physical,
      lengthBytes: length,
      flags: flags.rawValue
    )
  }

  static let rows: [Row] = [
    Row("aligned", .hardware, "one extent at 67125248"),
    Row("unwritten", .hardware, "one extent at") { $0.extents[0].flags = 0x800 },
    Row(
      "longer",
      at: 32768,
      length: 32768,
      .software,
      "longer",
      finding: "longer than the drive's 16 KiB"
    ),
    Row("misaligned", .software, "not a multiple", finding: "begins at 67129344") {
      $0.extents[0].physicalBytes += 4096
    },
    Row("fragmented", .software, "in 2 extents", finding: "lies in 2 extents") {
      $0.extents = [extent(0, 64 << 20, 20480), extent(20480, 96 << 20, 1 << 20)]
    },
    Row("shared", .software, "shared", finding: "shared with another file") {
      $0.extents[0].flags = 0x2000
    },
    Row("hole", .software, "no blocks", finding: "no blocks are allocated") { $0.extents = [] },
    Row("hole of a block", at: 4096, length: 4096, .hardware, "allocated by the write") {
      $0.extents = []
    },
    Row("partly a hole", .software, "parts of it", finding: "parts of it have no blocks") {
      $0.extents = [extent(0, 64 << 20, 20480)]
    },
    Row("dirty", .unknown, "pages of it to write back") { $0.unwrittenPages = 1 },
    Row("not counted", .unknown, "is not told") { $0.unwrittenPages = nil },
    Row("delayed", .unknown, "delalloc") { $0.extents[0].flags = 0x6 },
    Row("encrypted", .unknown, "data_encrypted") { $0.extents[0].flags = 0x80 },
    // Reads and writes want the same, less than a block: nothing was ever shared.
    Row("others counted, never shared", .hardware, "one extent at") { $0.otherBytes = 4096 },
    Row("never told, others counted", .unknown, "set aside") {
      ($0.otherBytes, $0.readOffsetBytes) = (4096, nil)
    },
    Row("never told, all mapped", .hardware, "one extent at") { $0.readOffsetBytes = nil },
  ]

  private static func target(_ layout: FixtureLayout?) -> FixtureTarget {
    .file("") { disk in .xfs(on: disk).with { $0.layout = layout } }
  }

  private static func question(_ row: Row, _ writer: Writer = .rwfAtomic) -> Question {
    Question(.one(offsetBytes: row.offset, lengthBytes: row.length), writer: writer)
  }

  @Test(arguments: rows)
  func answerSaysWhoWritesTheRange(row: Row) throws {
    let report = Self.target(row.layout).report(answering: Self.question(row))
    let answer = try #require(report.answer)
    #expect(answer.isAtomic == true)
    #expect(answer.backing == row.backing)
    #expect(answer.because.contains(row.says), "\(answer.because)")
    let found = report.findings.filter { $0.code == .rangeFallsToSoftware }
    switch row.backing {
    case .hardware: #expect(found == [])
    case .software:
      #expect(found.count == 1)
      #expect(found.first?.message.contains(try #require(row.finding)) == true)
      #expect(found.first?.remedy != nil)
    case .mixed, .unknown:
      #expect(found.first?.message.contains("Up to 16 KiB") == true, "what holds of any range")
    }
  }

  @Test func theExtentsOfTheRangeAreReported() throws {
    let layout = FixtureLayout {
      $0.extents = [
        Self.extent(0, 64 << 20, 20480, .unwritten), Self.extent(20480, 96 << 20, 1 << 20, .shared),
      ]
    }
    let question = Question(.one(offsetBytes: 16384, lengthBytes: 16384), writer: .direct)
    let mapping = try #require(Self.target(layout).report(answering: question).answer?.mapping)
    #expect(
      mapping.extents == [
        FileExtent(
          logicalBytes: 16384,
          physicalBytes: (64 << 20) + 16384,
          lengthBytes: 4096,
          flags: .unwritten
        ),
        FileExtent(
          logicalBytes: 20480,
          physicalBytes: 96 << 20,
          lengthBytes: 12288,
          flags: .shared
        ),
      ]
    )
    #expect(mapping.isComplete)
  }

  @Test func onlyOneRangeOfAFileIsLookedUp() {
    for (path, range) in [
      (FixtureWorld.file, .everyPage(sizeBytes: 16384)), (FixtureWorld.file, nil),
      (FixtureWorld.directory, .one(offsetBytes: 0, lengthBytes: 4096)),
      ("/dev/nvme0n1", .one(offsetBytes: 0, lengthBytes: 4096)),
      (FixtureWorld.file, .one(offsetBytes: 0, lengthBytes: 0)),
    ] as [(String, WriteRequest.Range?)] {
      let machine = FixtureMachine(Self.target(FixtureLayout()).world)
      let question = range.map { Question($0, writer: .rwfAtomic) }
      let report = TargetProbe.report(on: path, answering: question, machine)
      #expect(!machine.calls.contains { $0.kind == .extents }, "\(path)")
      #expect(report.answer?.mapping == nil)
    }
  }

  @Test func aFilesystemThatDoesNotTellLeavesItOpen() throws {
    let report = Self.target(nil).report(answering: Self.question(Self.rows[0]))
    let answer = try #require(report.answer)
    #expect((answer.isAtomic, answer.backing) == (true, .unknown))
    #expect(answer.mapping == nil)
    #expect(answer.because.contains("could not be read"))
  }

  /// The name leads to another file by the time it is opened.
  @Test func extentsOfAnotherFileAreNotBelieved() throws {
    let target = Self.target(FixtureLayout())
    var other = target.world
    other.changeStatus(FixtureWorld.file) { $0.inode += 1 }
    let question = Self.question(Self.rows[0])
    let probe = FixtureMachine(target.world)
    _ = TargetProbe.report(on: target.path, answering: question, probe)
    let first = try #require(probe.calls.firstIndex { $0.kind == .status })
    let last = try #require(probe.calls.firstIndex { $0.kind == .extents })
    for call in first + 1...last {
      let machine = FixtureMachine(target.world, replacedBy: other, fromCall: call)
      let report = TargetProbe.report(on: target.path, answering: question, machine)
      #expect(report.answer?.backing != .hardware)
      #expect(report.answer?.mapping == nil)
    }
  }

  /// The name led elsewhere for just as long as the file was open.
  @Test func anotherFileForAMomentIsNoticed() throws {
    let layout = FixtureLayout { $0.inode = 77 }
    let report = Self.target(layout).report(answering: Self.question(Self.rows[0]))
    let answer = try #require(report.answer)
    #expect((answer.isAtomic, answer.backing) == (true, .unknown))
    #expect(answer.mapping == nil)
    #expect(answer.because.contains("another file"))
  }

  /// What is moved today may be the drive's tomorrow, so the drive's limits count all the same.
  @Test func softwareNowIsNoYesWhereTheDriveWouldNotKeepIt() throws {
    let layout = FixtureLayout { $0.extents[0].flags = 0x2000 }
    let target = FixtureTarget.file(
      "",
      device: { world in
        var queue = world.kernel.queue(of: FixtureDrive())
        (queue.atomicUnitMax, queue.atomicMax) = (65536, 65536)
        return world.addNamespace(queue: queue)
      },
      { disk in .xfs(on: disk).with { $0.layout = layout } }
    )
    let question = Question(.one(offsetBytes: 0, lengthBytes: 65536), writer: .rwfAtomic)
    #expect(target.report(answering: question).answer?.isAtomic == false)
  }

  // MARK: Ordinary direct writes

  /// Lines begin at 4 KiB and lie 12 KiB apart: every block of 8 KiB has its own answer.
  @Test(arguments: [0, 8192, 16384, 24576, 32768] as [UInt64], [true, false])
  func directWritersAreAnsweredByThePlace(block: UInt64, isKnown: Bool) throws {
    let place = (64 << 20) + block
    let drive = FixtureDrive { ($0.nawupf, $0.nabspf, $0.nabo) = (15, 23, 8) }
    var layout = FixtureLayout { $0.extents[0].physicalBytes = place }
    if !isKnown { layout.unwrittenPages = nil }
    let target = FixtureTarget.file(
      "",
      device: { world in
        var queue = world.kernel.queue(of: drive)
        queue.nomerges = 2
        return world.addPartition(of: world.addNamespace(drive, queue: queue))
      },
      { disk in .ext4(on: disk, block: 8192).with { $0.layout = layout } }
    )
    let question = Question(.one(offsetBytes: 0, lengthBytes: 8192), writer: .direct)
    let report = target.report(answering: question)
    let absolute = place + (report.limits.startBytes ?? 0)
    let isCut = (absolute + 1..<absolute + 8192).contains { ($0 - 4096) % 12288 == 0 }
    #expect(isCut == (block == 16384), "one of three crosses")
    #expect(report.answer?.isAtomic == (isKnown ? !isCut : nil))
    if isKnown, !isCut {
      #expect(report.answer?.because.contains("until they are moved") == true)
    }
  }

  @Test func directWritersHaveNoMoreThanABlock() throws {
    let target = FixtureTarget.file("", device: { $0.addNamespace() }) { .ext4(on: $0) }
    let question = Question(.one(offsetBytes: 0, lengthBytes: 8192), writer: .direct)
    #expect(target.report(answering: question).answer?.isAtomic == false)
  }

  // MARK: Faults

  /// No fault makes an answer stronger, or finds the drive where it was not found before.
  @Test(arguments: rows)
  func noFaultAddsAClaim(row: Row) {
    let target = Self.target(row.layout)
    for writer in [Writer.rwfAtomic, .direct] {
      let question = Self.question(row, writer)
      let machine = FixtureMachine(target.world)
      let truth = TargetProbe.report(on: target.path, answering: question, machine)
      let faults = machine.calls.indices.flatMap { index in
        FaultTests.errnos.flatMap { [FixtureFault.call(index, $0), .callsFrom(index, $0)] }
      }
      for fault in faults {
        let failing = FixtureMachine(target.world, fault: fault)
        let report = TargetProbe.report(on: target.path, answering: question, failing)
        if report.answer?.isAtomic == true {
          #expect(truth.answer?.isAtomic == true, "\(fault)")
          #expect(report.answer?.isAssumed == true || truth.answer?.isAssumed == false, "\(fault)")
        }
        for backing in [Backing.hardware, .software] where report.answer?.backing == backing {
          #expect(truth.answer?.backing == backing, "\(fault)")
        }
      }
    }
  }
}
