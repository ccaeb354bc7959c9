import LinuxIO
import TestSupport
import Testing

@testable import NVMeAtomic

/// Each way in which Identify, queue and statx can contradict each other, or the specification.
@Suite struct LimitsDisagreeTests {
  struct Row: Sendable, CustomStringConvertible {
    var description: String
    var target: FixtureTarget
    var severity: Finding.Severity
    var says: String

    init(
      _ description: String,
      _ severity: Finding.Severity,
      _ says: String,
      drive: FixtureDrive = FixtureDrive(),
      queue change: (inout FixtureQueue) -> Void = { _ in },
      statx: ((inout FileStatus) -> Void)? = nil
    ) {
      self.description = description
      self.severity = severity
      self.says = says
      target = .namespace(description, .linux7_3, drive, queue: change)
      if let statx { target.world.changeStatus(target.path, statx) }
    }
  }

  static let rows = [
    Row(
      "block sizes",
      .blocking,
      "the kernel works with 4 KiB blocks and the drive with 512 B",
      queue: { $0.logicalBlockSize = 4096 }
    ),
    Row(
      "unit",
      .blocking,
      "The kernel offers 64 KiB, the drive keeps only 16 KiB",
      queue: { ($0.atomicUnitMax, $0.atomicMax) = (65536, 65536) }
    ),
    Row(
      "unit within the boundary",
      .blocking,
      "the drive keeps only 8 KiB",
      drive: FixtureDrive { $0.nabspf = 15 },
      queue: { ($0.atomicUnitMin, $0.atomicUnitMax, $0.atomicBoundary) = (512, 16384, 8192) }
    ),
    Row(
      "boundary offset",
      .blocking,
      "boundaries are offset (NABO)",
      drive: .withBoundaryOffset,
      queue: { ($0.atomicUnitMin, $0.atomicUnitMax, $0.atomicBoundary) = (512, 16384, 32768) }
    ),
    Row(
      "boundary",
      .blocking,
      "The drive's boundary is 16 KiB, the kernel's 32 KiB",
      drive: .withBoundary,
      queue: { $0.atomicBoundary = 32768 }
    ),
    Row(
      "boundary that the kernel lacks",
      .blocking,
      "16 KiB, the kernel's 0 B",
      drive: .withBoundary,
      queue: { $0.atomicBoundary = 0 }
    ),
    Row(
      "boundary that the drive lacks",
      .blocking,
      "the kernel's 8 KiB",
      queue: { $0.atomicBoundary = 8192 }
    ),
    Row(
      "statx below the queue",
      .warning,
      "statx reports 8 KiB, the queue 16 KiB",
      statx: { $0.atomicWrite?.unitMax = 8192 }
    ),
    Row(
      "statx above the queue",
      .warning,
      "statx reports 32 KiB, the queue 16 KiB",
      statx: { $0.atomicWrite?.unitMax = 32768 }
    ),
    Row(
      "statx without the queue",
      .warning,
      "statx reports 16 KiB, the queue 0 B",
      queue: { ($0.atomicUnitMin, $0.atomicUnitMax, $0.atomicMax) = (0, 0, 0) },
      statx: {
        $0.atomicWrite = .init(unitMin: 512, unitMax: 16384, unitMaxOpt: 0, segmentsMax: 1)
      }
    ),
    Row(
      "queue without statx",
      .warning,
      "statx reports 0 B, the queue 16 KiB",
      statx: { $0.atomicWrite = nil }
    ),
  ]

  /// NVM Command Set Specification, section 2.1.4.
  static let identifyRows = [
    Row("AWUPF", .warning, "AWUPF > AWUN", drive: FixtureDrive { $0.awupf = 16 }),
    Row("NAWUN", .warning, "NAWUN < AWUN", drive: FixtureDrive { $0.awun = 128 }),
    Row("NAWUPF", .warning, "NAWUPF < AWUPF", drive: FixtureDrive { $0.nawupf = 6 }),
    Row("units", .warning, "NAWUPF > NAWUN", drive: FixtureDrive { $0.nawupf = 128 }),
    Row("NABSN", .warning, "NABSN < NAWUN", drive: FixtureDrive { $0.nabsn = 126 }),
    Row("NABSPF", .warning, "NABSPF < NAWUPF", drive: FixtureDrive { $0.nabspf = 30 }),
  ]

  @Test(arguments: rows)
  func contradictionIsFound(row: Row) throws {
    let findings = row.target.report().findings.filter { $0.code == .limitsDisagree }
    let finding = try #require(findings.first { $0.message.contains(row.says) })
    #expect(finding.severity == row.severity)
    #expect(finding.layer == .kernel)
  }

  @Test(arguments: identifyRows)
  func contradictionOfTheSpecificationIsFound(row: Row) throws {
    let findings = row.target.report().findings.filter { $0.code == .limitsDisagree }
    let finding = try #require(findings.first { $0.layer == .device })
    #expect(finding.message == "Identify contradicts the specification: \(row.says).")
    #expect(finding.severity == .warning)
  }

  /// One step to the good side of each line.
  @Test(arguments: [
    FixtureDrive { $0.awupf = 15 }, FixtureDrive { $0.awun = 127 }, FixtureDrive { $0.nawupf = 7 },
    FixtureDrive { $0.nawupf = 127 }, FixtureDrive { $0.nabsn = 127 },
    FixtureDrive { $0.nabspf = 31 }, FixtureDrive { ($0.nawun, $0.nawupf) = (0, 0) },
    .controllerWide, .withBoundary, .withBoundaryOffset, .cached4K, FixtureDrive(),
  ])
  func consistentDriveIsFoundConsistent(drive: FixtureDrive) {
    for kernel in [FixtureKernel.linux6_10, .linux6_12, .linux7_3] {
      let report = FixtureTarget.namespace("", kernel, drive).report()
      #expect(!report.findings.contains { $0.code == .limitsDisagree })
    }
  }

  /// Whatever is contradicted, no more is promised than the least of all.
  @Test(arguments: rows)
  func contradictionNeverEnlargesALimit(row: Row) {
    let report = row.target.report()
    let device = report.limits.drive.limits?.powerFailBytesWithinBoundary ?? 0
    let statx = UInt64(report.limits.statx?.atomicWriteUnitMax ?? 0)
    let maximum = report.kernelPath.maximumBytes ?? 0
    #expect(maximum <= device)
    #expect(maximum <= statx)
    if let lines = report.limits.queue.atomicWriteBoundaryBytes, lines > 0 {
      #expect(maximum <= lines)
    }
  }
}
