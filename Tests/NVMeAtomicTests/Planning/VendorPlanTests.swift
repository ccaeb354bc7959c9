import Testing

@testable import NVMeAtomic

/// Amazon's torn-write bytes through the planner: every small request against the words of
/// AWS's two pages, stated once more.
@Suite struct VendorPlanTests {
  /// A volume with 512-byte blocks whose specified unit is one block.
  private struct Volume {
    var ntwpu: UInt64 = 31
    var ntwpg: UInt64 = 7
    var ntwpb: UInt64 = 31
    var awupf: UInt16 = 0

    var specifiedBytes: UInt64 { (UInt64(awupf) + 1) * 512 }

    /// What both pages allow of a command at an absolute place.
    func keeps(_ start: UInt64, _ length: UInt64) -> Bool {
      if length <= specifiedBytes { return true }
      let isSupported = [4096, 8192, 16384].contains(length) && start % length == 0
      let granule = (ntwpg + 1) * 512
      let isDeclared =
        length <= (ntwpu + 1) * 512 && length % granule == 0 && start % granule == 0
      let lines = (ntwpb + 1) * 512
      let isInside = ntwpb == 0 || start / lines == (start + length - 1) / lines
      return isSupported && isDeclared && isInside
    }

    var limits: DeviceLimits {
      var controller = IdentifyFixture.controller()
      controller.awupf = awupf
      let fields = VendorTornWriteLimitsTests.fields(UInt16(ntwpu), UInt16(ntwpg), UInt32(ntwpb))
      let decoded = DeviceLimits(
        controller: controller,
        namespace: IdentifyFixture.namespace([130: 9]),
        writeAtomicityNormal: false,
        vendorTornWrite: fields
      )
      guard let decoded else { fatalError("LBADS 9 is valid") }
      return decoded
    }

    /// The queue of a kernel that knows the specification's fields only.
    func target(_ kind: TargetKind = .namespace, start: UInt64 = 0) -> TargetLimits {
      var target = TargetLimits(kind: kind, drive: .known(limits))
      (target.startBytes, target.sizeBytes) = (start, 1 << 30)
      target.queue.maxSectorsKB = 256
      target.queue.maxHWSectorsKB = 256
      target.queue.maxSegments = 64
      target.queue.chunkSectors = 0
      target.queue.nomerges = 2
      target.queue.logicalBlockSize = 512
      target.queue.physicalBlockSize = 512
      target.queue.writeBack = false
      target.queue.atomicWriteUnitMinBytes = 512
      target.queue.atomicWriteUnitMaxBytes = specifiedBytes.powerOfTwoFloor
      target.queue.atomicWriteMaxBytes = specifiedBytes.powerOfTwoFloor
      target.queue.atomicWriteBoundaryBytes = 0
      target.statx = .some(
        unitMin: 512,
        unitMax: specifiedBytes.powerOfTwoFloor,
        optimal: 0,
        offsetAlign: 512
      )
      return target
    }
  }

  private static let volumes: [Volume] = [
    Volume(), Volume(ntwpb: 0), Volume(ntwpg: 0, ntwpb: 0), Volume(ntwpg: 31, ntwpb: 0),
    Volume(ntwpu: 15, ntwpb: 15), Volume(ntwpu: 23, ntwpb: 0), Volume(ntwpb: 47),
    Volume(ntwpu: 63, ntwpb: 0), Volume(awupf: 7), Volume(awupf: 11), Volume(awupf: 15),
  ]

  private static let lengths: [UInt64] = [512, 1024, 2048, 3584, 4096, 8192, 12288, 16384, 32768]

  @Test func everySmallWriteIsJudgedAsTheTwoPagesSay() {
    var yes = 0
    for volume in Self.volumes {
      for start in [0, 4096, 8192, 512, 65536] as [UInt64] {
        let planner = Planner(volume.target(start == 0 ? .namespace : .partition, start: start))
        for length in Self.lengths {
          for offset in stride(from: UInt64(0), to: 65536, by: 512) {
            let range = WriteRequest.Range.one(offsetBytes: offset, lengthBytes: length)
            let isKept = volume.keeps(start + offset, length)
            let direct = planner.plan(WriteRequest(range, writer: .direct)).plain
            let plan = planner.plan(WriteRequest(range, writer: .rwfAtomic))
            // The kernel knows nothing of them: no more than its own unit.
            let isOffered =
              length <= volume.specifiedBytes.powerOfTwoFloor && length.isPowerOfTwo
              && offset % length == 0
            for (name, verdict, truth) in [
              ("direct", direct, isKept), ("passthrough", plan.passthrough, isKept),
              ("kernel", plan.kernel, isOffered),
            ] where (verdict.promise != nil) != truth {
              Issue.record("\(name): \(volume) from \(start): \(length) at \(offset): \(verdict)")
            }
            yes += isKept ? 1 : 0
          }
        }
      }
    }
    #expect(yes > 10_000)
  }

  /// A merged command has any length and place: only where none can be built is a page whole.
  @Test func neighboursThatMayMergeTakeTheVendorsPromiseAway() {
    for length in VendorTornWriteLimits.documentedBytes {
      for (nomerges, kilobytes, isKept) in [
        (2, 256, true), (0, 256, false), (1, 256, false), (0, length / 1024, true),
        (0, 2 * length / 1024, false),
      ] as [(UInt64, UInt64, Bool)] {
        var target = Volume().target()
        (target.queue.nomerges, target.queue.maxSectorsKB) = (nomerges, kilobytes)
        let request = WriteRequest(.everyPage(sizeBytes: length), writer: .direct)
        #expect((Planner(target).plan(request).plain.promise != nil) == isKept)
      }
    }
  }

  /// Two pages that make up one supported length may still lie across its place.
  @Test func aMergedCommandOfASupportedLengthIsNotTrusted() {
    for length in [512, 4096, 8192, 16384] as [UInt64] {
      var target = Volume(ntwpb: 0).target()
      (target.queue.nomerges, target.queue.maxSectorsKB) = (0, 16)
      let request = WriteRequest(.everyPage(sizeBytes: length), writer: .direct)
      // Only a write that fills a command has no room for a neighbour.
      #expect((Planner(target).plan(request).plain.promise != nil) == (length == 16384))
    }
  }

  /// The rule for one filesystem block stands before it, and it stands alone too.
  @Test func aFilesRangeBeyondOneBlockLiesNobodyKnowsWhere() throws {
    var target = Volume().target(.file)
    var filesystem = FileSystemReport(type: "ext4")
    for (block, isKnown) in [(4096, false), (8192, true), (12288, false)] as [(UInt64, Bool)] {
      filesystem.blockSize = block
      target.filesystem = filesystem
      let planner = Planner(target)
      let device = try #require(target.drive.limits)
      let request = WriteRequest(.everyPage(sizeBytes: 8192), writer: .direct)
      do throws(Planner.Objection) {
        try planner.checkVendorPowerFail(request, device)
        #expect(isKnown)
      } catch {
        guard case .missing(.placement) = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(!isKnown)
      }
    }
  }

  /// Even where the queue offers more than the specification's fields say.
  @Test func rwfAtomicNeverRestsOnTheVendor() {
    var target = Volume().target()
    target.queue.atomicWriteUnitMaxBytes = 16384
    target.queue.atomicWriteMaxBytes = 16384
    target.statx = .some(unitMin: 512, unitMax: 16384, optimal: 0, offsetAlign: 512)
    for length in VendorTornWriteLimits.documentedBytes {
      let request = WriteRequest(.everyPage(sizeBytes: length), writer: .rwfAtomic)
      #expect(Planner(target).plan(request).kernel.promise == nil)
    }
    target.queue.nomerges = 2
    #expect(KernelPathLimits(target).maximumBytes == 512)
    #expect(target.tornFreeBytes == 512)
  }

  @Test func passthroughOffersOneLengthAtMultiplesOfItself() {
    for (kilobytes, longest, granule) in [
      (256, 16384, 16384), (16, 16384, 16384), (12, 8192, 8192), (4, 4096, 4096), (3, 512, 512),
    ] as [(UInt64, UInt64, UInt64)] {
      var target = Volume().target()
      target.queue.maxHWSectorsKB = kilobytes
      let limits = PassthroughPathLimits(target)
      #expect(limits.available == true)
      #expect(limits.maximumBytes == longest)
      #expect(limits.granuleBytes == granule)
      #expect(limits.boundaryBytes == 16384)
      #expect(limits.boundaryOffsetBytes == 0)
    }
  }

  @Test func nothingIsUntornByTheVendor() {
    let target = Volume().target()
    for (length, isUntorn) in [(512, true), (4096, false), (16384, false)] as [(UInt64, Bool)] {
      let range = WriteRequest.Range.one(offsetBytes: 0, lengthBytes: length)
      let request = WriteRequest(range, promises: [.untorn, .powerFailAtomic], writer: .direct)
      #expect((Planner(target).plan(request).plain.promise != nil) == isUntorn)
    }
  }

  /// Blocks of a file lie anywhere, at multiples of their own size from the begin of the partition.
  @Test(
    arguments: [
      (4096, 0, 4096, true), (4096, 0, 8192, false), (16384, 0, 16384, true),
      (16384, 0, 8192, true),
      (16384, 0, 32768, false), (16384, 1 << 20, 16384, true), (16384, 4096, 16384, false),
      (16384, 8192, 8192, true), (16384, 8192, 16384, false), (4096, 512, 4096, false),
    ] as [(UInt64, UInt64, UInt64, Bool)]
  )
  func filesNeedBlocksThatLieWhole(block: UInt64, start: UInt64, length: UInt64, isKept: Bool) {
    var target = Volume().target(.file, start: start)
    target.sizeBytes = nil
    var filesystem = FileSystemReport(type: "xfs")
    (filesystem.blockSize, filesystem.reflink) = (block, false)
    (filesystem.realtime, filesystem.externalLog) = (false, false)
    target.filesystem = filesystem
    for range in [
      WriteRequest.Range.everyPage(sizeBytes: length),
      .one(offsetBytes: 3 * length, lengthBytes: length),
    ] {
      let plan = Planner(target).plan(WriteRequest(range, writer: .direct))
      #expect((plan.plain.promise != nil) == isKept, "\(plan.plain)")
    }
  }

  @Test func whereThePartitionBeginsMustBeKnown() {
    var target = Volume().target(.partition)
    target.startBytes = nil
    let request = WriteRequest(.everyPage(sizeBytes: 4096), writer: .direct)
    #expect(Planner(target).plan(request).plain == .unknown(.start))
  }
}
