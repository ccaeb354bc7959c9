import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

@Suite struct FileReportTests {
  @Test func fileLiesOnFilesystemPartitionAndNamespace() throws {
    let report = try #require(FixtureTarget.named("ext4-partition")).report()
    #expect(report.kind == .file)
    #expect(
      report.stack == [
        StackEntry(id: 0, parents: [], device: "/mnt/file", kind: "file", startBytes: nil),
        StackEntry(
          id: 1,
          parents: [0],
          device: "/dev/nvme0n1p1",
          kind: "partition",
          startBytes: 1 << 20
        ),
        StackEntry(
          id: 2,
          parents: [1],
          device: "/dev/nvme0n1",
          kind: "namespace",
          startBytes: 0,
          atomicWriteUnitMaxBytes: 16384
        ),
        StackEntry(id: 3, parents: [2], device: "/dev/nvme0", kind: "controller", startBytes: nil),
      ]
    )
    #expect(report.limits.startBytes == 1 << 20)
    #expect(report.limits.sizeBytes == nil)
    #expect(report.controller?.name == "nvme0")
    #expect(report.limits.queue.atomicWriteUnitMaxBytes == 16384)
    #expect(report.limits.drive.limits?.powerFailBytes == 16384)
  }

  @Test func ext4IsReported() throws {
    let limits = try #require(FixtureTarget.named("ext4-bigalloc")).report().limits
    var filesystem = FileSystemReport(type: "ext4")
    filesystem.blockSize = 4096
    filesystem.journal = true
    filesystem.externalJournal = false
    filesystem.barriers = true
    filesystem.extents = true
    #expect(limits.filesystem == filesystem)
    #expect(limits.statx?.atomicWriteUnitMin == 4096)
    #expect(limits.statx?.atomicWriteUnitMax == 16384)
    #expect(limits.statx?.dioOffsetAlign == 512)
    #expect(limits.tornFreeBytes == 16384)
    #expect(KernelPathLimits(limits).backing == .hardware)
  }

  /// `fs/jbd2/journal.c`: `DEVICE-INODE` is a journal in a file of that device's filesystem.
  @Test(
    arguments: [
      (["nvme0n1-8"], false), (["nvme1n1", "nvme0n1-8"], false), (["nvme0n1-4294967295"], false),
      (["nvme1n1"], true), (["nvme0n1"], true), (["nvme0n1-"], true), (["nvme0n1-x"], true),
      (["nvme0n1p1-8"], true), (["nvme0n10-8"], true), (["nvme1n1-8"], true), ([], true),
      (nil, nil),
    ] as [([String]?, Bool?)]
  )
  func ext4JournalIsFound(journals: [String]?, isElsewhere: Bool?) {
    let filesystem = FixtureTarget.file("") {
      .ext4(on: $0, cluster: 16384).with { $0.journals = journals }
    }.report().limits.filesystem
    #expect(filesystem?.journal == true)
    #expect(filesystem?.externalJournal == isElsewhere)
  }

  @Test(arguments: [false, true], [false, true])
  func xfsIsReported(reflink: Bool, exchangeRange: Bool) {
    let report = FixtureTarget.file("") {
      .xfs(on: $0, reflink: reflink, exchangeRange: exchangeRange)
    }.report()
    var filesystem = FileSystemReport(type: "xfs")
    filesystem.blockSize = 4096
    filesystem.reflink = reflink
    filesystem.exchangeRange = exchangeRange
    filesystem.realtime = false
    filesystem.externalLog = false
    filesystem.barriers = true
    #expect(report.limits.filesystem == filesystem)
    #expect(report.limits.statx?.atomicWriteUnitMaxOpt == (reflink ? 16384 : 0))
  }

  /// Hardware, software, either, and unknown: what a report may say of an XFS file.
  @Test(
    arguments: [
      ("xfs", true, .mixed, nil, 2 << 20, 16384),
      ("xfs-software", true, .software, 0, 2 << 20, 0),
      ("xfs-on-loop", true, .software, 0, 2 << 20, 0),
      ("xfs-no-reflink", true, .hardware, 4096, 4096, 4096),
      ("xfs-6.14", true, .mixed, nil, 4096, 4096),
      ("xfs-realtime", nil, .unknown, nil, nil, nil),
    ] as [(String, Bool?, Backing, UInt64?, UInt64?, UInt64?)]
  )
  func xfsSaysWhoKeepsTheWriteWhole(
    name: String,
    available: Bool?,
    backing: Backing,
    tornFree: UInt64?,
    maximum: UInt64?,
    hardware: UInt64?
  ) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.kernelPath.available == available)
    #expect(report.kernelPath.backing == backing)
    #expect(report.limits.tornFreeBytes == tornFree)
    #expect(report.kernelPath.maximumBytes == maximum)
    #expect(report.kernelPath.hardwareMaximumBytes == hardware)
  }

  @Test(
    arguments: [
      ("btrfs", "btrfs", nil), ("tmpfs", "tmpfs", DriveKnowledge.none), ("f2fs", "f2fs", nil),
      ("ext4-on-loop", "ext4", nil),
    ] as [(String, String, DriveKnowledge?)]
  )
  func filesystemWithoutAtomicWritesOffersNothing(
    name: String,
    type: String,
    drive: DriveKnowledge?
  ) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.error == nil)
    #expect(report.limits.filesystem?.type == type)
    #expect(report.kernelPath.available == false)
    #expect(report.limits.tornFreeBytes == 0)
    if let drive { #expect(report.limits.drive == drive) }
  }

  @Test func loopIsTheEndOfTheStack() throws {
    let report = try #require(FixtureTarget.named("xfs-on-loop")).report()
    #expect(report.stack.map(\.device) == ["/mnt/file", "/dev/loop0", "/images/loop"])
    #expect(report.stack.map(\.kind) == ["file", "loop", "file"])
    #expect(report.controller == nil)
    #expect(report.limits.queue.atomicWriteUnitMaxBytes == 0)
  }

  @Test func fileOverSeveralDevicesHasNoDevice() throws {
    let report = try #require(FixtureTarget.named("btrfs")).report()
    #expect(report.stack.map(\.device) == ["/mnt/file"])
    #expect(report.limits.queue == QueueLimits())
    #expect(report.controller == nil)
  }

  // MARK: Directories

  /// The directory's own status says nothing of a file in it: a new file's does.
  @Test func directoryIsReportedAsANewFileInIt() throws {
    let report = try #require(FixtureTarget.named("directory-ext4")).report()
    #expect(report.kind == .directory)
    #expect(report.limits.statx?.atomicWriteUnitMax == 4096)
    #expect(report.limits.filesystem?.type == "ext4")
    #expect(report.stack.map(\.kind) == ["directory", "namespace", "controller"])
    #expect(report.limits.tornFreeBytes == 4096)
  }

  @Test(arguments: ["directory-no-unnamed-files", "directory-read-only"])
  func directoryWithoutNewFilesIsStillDescribed(name: String) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.error == nil)
    #expect(report.limits.filesystem?.type == "vfat")
    #expect(report.limits.statx == nil)
    #expect(report.kernelPath.maximumBytes == nil)
    #expect(report.stack.map(\.kind) == ["directory", "namespace", "controller"])
    #expect(report.findings.contains { $0.code == .filesystemWithoutAtomics })
  }

  @Test func directoryWithoutPermissionFails() throws {
    let report = try #require(FixtureTarget.named("directory-no-permission")).report()
    #expect(report.kind == .directory)
    #expect(report.error?.code == .permission)
    #expect(report.findings.isEmpty)
  }
}
