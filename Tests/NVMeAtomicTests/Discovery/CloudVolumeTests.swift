import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

@Suite struct CloudVolumeTests {
  @Test(
    arguments: [
      ("Amazon Elastic Block Store", .amazonVolume),
      ("Amazon EC2 NVMe Instance Storage", .amazonInstanceStore),
      ("nvme_card-pd", .googleVolume),
      ("nvme_card", .googleLocal),
      ("nvme_card0", .googleLocal),
      ("nvme_card15", .googleLocal),
      ("MSFT NVMe Accelerator v1.0", .azureVolume),
      ("Microsoft NVMe Direct Disk", .azureLocal),
      ("Microsoft NVMe Direct Disk v2", .azureLocal2),
      ("nvme_card-p", nil), ("nvme_card-pd2", nil), ("nvme_card1x", nil), ("nvme_car", nil),
      ("nvme_card²", nil), ("Amazon", nil), ("amazon elastic block store", nil),
      ("MSFT NVMe Accelerator v2.0", nil), ("Microsoft NVMe Direct Disk v3", nil),
      ("QEMU NVMe Ctrl", nil), ("", nil),
    ] as [(String, CloudVolume?)]
  )
  func wholeModelNumbersAreRecognised(model: String, volume: CloudVolume?) {
    #expect(CloudVolume(model: model) == volume)
  }

  @Test(arguments: CloudVolume.allCases)
  func everyDocumentHasAnAddress(volume: CloudVolume) {
    let promise = volume.documented
    #expect(promise.source.hasPrefix("https://"))
    #expect(!promise.source.contains(" "))
    #expect(!promise.provider.isEmpty && !promise.product.isEmpty && !promise.conditions.isEmpty)
    #expect(promise.sizesBytes == promise.sizesBytes.sorted())
    #expect(promise.sizesBytes.allSatisfy { $0.isPowerOfTwo && (4096...16384).contains($0) })
  }

  @Test(
    arguments: [
      ("amazon-volume", .amazonVolume), ("amazon-instance-store", .amazonInstanceStore),
      ("amazon-partition", .amazonVolume), ("amazon-ext4", .amazonVolume),
      ("amazon-generic", .amazonVolume), ("google-volume", .googleVolume),
      ("google-local", .googleLocal), ("azure-volume", .azureVolume), ("azure-local", .azureLocal2),
      ("azure-name-over-tcp", nil), ("amazon-bytes-elsewhere", nil), ("namespace", nil),
    ] as [(String, CloudVolume?)]
  )
  func targetsCarryTheDocument(name: String, volume: CloudVolume?) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.documented == volume?.documented)
    #expect(report.findings.contains { $0.code == .cloudVolume } == (volume != nil))
  }

  /// Without the permission to ask the drive sysfs still tells its model.
  @Test func aModelThatOnlySysfsTellsIsRecognised() throws {
    let target = try #require(FixtureTarget.named("azure-volume"))
    let fault = FixtureFault.every(
      FixtureCall(kind: .open, argument: target.path),
      .noSuchAddressOrDevice
    )
    let report = TargetProbe.report(on: target.path, FixtureMachine(target.world, fault: fault))
    #expect(report.controller?.identify == nil)
    #expect(report.documented == CloudVolume.azureVolume.documented)
  }

  // MARK: A document is shown, not counted

  @Test(arguments: [
    "nvme_card-pd", "nvme_card", "MSFT NVMe Accelerator v1.0", "Microsoft NVMe Direct Disk",
  ])
  func noLimitAndNoAnswerDependsOnTheModel(model: String) {
    for nomerges in [0, 2] as [UInt64] {
      let reports = [model, "Fixture A"].map { name in
        FixtureTarget.namespace("", .linux7_3, .model(name)) { $0.nomerges = nomerges }.report()
      }
      #expect(reports[0].limits == reports[1].limits)
      #expect(Claims(reports[0].limits).excess(over: Claims(reports[1].limits)) == [])
      #expect(reports[0].limits.drive.limits?.powerFailBytes == 512)
      #expect(reports[0].documented != nil)
    }
  }

  /// Amazon's document does not count either, where the bytes are zero.
  @Test func anAmazonVolumeWithoutBytesIsAnyDrive() throws {
    let report = try #require(FixtureTarget.named("amazon-volume-zeroes")).report()
    #expect(report.limits.drive.limits?.powerFailBytes == 512)
    #expect(report.limits.drive.limits?.powerFailSource == .controller)
    #expect(report.namespace?.vendorTornWrite?.areZero == true)
    #expect(!report.findings.contains { $0.code == .vendorTornWriteFields })
    #expect(report.findings.contains { $0.code == .cloudVolume })
  }

  // MARK: Amazon's bytes

  @Test(
    arguments: [
      ("amazon-volume-nomerges", 16384, true), ("amazon-volume", 16384, false),
      ("amazon-instance-store", 8192, true), ("amazon-bytes-elsewhere", 4096, false),
      ("amazon-volume-contradiction", 4096, false), ("amazon-volume-zeroes", 4096, false),
      ("amazon-partition", 16384, true), ("amazon-partition-misaligned", 4096, true),
      ("amazon-partition-misaligned", 16384, false), ("amazon-ext4", 4096, true),
      ("amazon-ext4", 16384, false), ("amazon-xfs-16k", 16384, true),
      ("amazon-volume-nomerges", 32768, false), ("amazon-volume-nomerges", 512, true),
      ("amazon-volume-nomerges", 2048, false),
    ] as [(String, UInt64, Bool)]
  )
  func aDirectWriterMayRestOnThem(name: String, page: UInt64, isAtomic: Bool) throws {
    let question = Question(.everyPage(sizeBytes: page), writer: .direct, isStrict: true)
    let report = try #require(FixtureTarget.named(name)).report(answering: question)
    #expect(report.answer?.isAtomic == isAtomic, "\(report.answer?.because ?? "")")
    let atomic = Question(.everyPage(sizeBytes: page), writer: .rwfAtomic)
    #expect(Answer(atomic, about: report.limits).isAtomic != (page > 512))
  }

  @Test func theBytesAreReportedRaw() throws {
    let report = try #require(FixtureTarget.named("amazon-volume")).report()
    let fields = try #require(report.namespace?.vendorTornWrite)
    #expect((fields.ntwpu, fields.ntwpg, fields.ntwpb) == (31, 7, 31))
    let elsewhere = try #require(FixtureTarget.named("amazon-bytes-elsewhere")).report()
    #expect(elsewhere.namespace?.identify != nil)
    #expect(elsewhere.namespace?.vendorTornWrite == nil)
    #expect(elsewhere.limits.drive.limits?.vendorTornWrite == nil)
  }

  @Test(
    arguments: [
      (
        "amazon-volume", .info, "16 KiB in steps of 4 KiB, within every 16 KiB; the kernel does not"
      ),
      ("amazon-volume", .info, "of 4 KiB, 8 KiB and 16 KiB at a multiple of their size"),
      ("amazon-instance-store", .info, "say 16 KiB in steps of 4 KiB; the kernel"),
      ("amazon-volume-nawupf", .info, "own fields say as much"),
      ("amazon-volume-contradiction", .warning, "because the boundary is smaller than the unit"),
    ] as [(String, Finding.Severity, String)]
  )
  func theFindingSaysWhoCanUseThem(name: String, severity: Finding.Severity, says: String) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    let finding = try #require(report.findings.first { $0.code == .vendorTornWriteFields })
    #expect(finding.severity == severity)
    #expect(finding.message.contains(says), "\(finding.message)")
  }

  /// The kernel, which reads only the specification's fields, contradicts nothing.
  @Test func theKernelAndTheBytesDoNotDisagree() throws {
    for name in ["amazon-volume", "amazon-volume-nomerges", "amazon-volume-6.10"] {
      let codes = try #require(FixtureTarget.named(name)).report().findings.map(\.code)
      #expect(!codes.contains(.limitsDisagree))
      #expect(!codes.contains(.cappedByTransferLimit))
      #expect(!codes.contains(.awupfIgnoredByKernel))
    }
  }

  /// A queue that offers what only the bytes say contradicts the fields that it is made from.
  @Test func aQueueThatOffersMoreThanTheSpecifiedFieldsDisagrees() {
    let report = FixtureTarget.namespace("", .linux7_3, .amazonVolume) {
      ($0.atomicUnitMin, $0.atomicUnitMax, $0.atomicMax) = (512, 16384, 16384)
    }.report()
    let finding = report.findings.first { $0.code == .limitsDisagree && $0.severity == .blocking }
    #expect(finding?.message.contains("offers 16 KiB, the drive keeps only 512 B") == true)
  }
}
