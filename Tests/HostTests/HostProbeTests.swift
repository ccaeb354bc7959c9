import Foundation
import NVMeAtomic
import Testing

/// The probe on the running kernel, against filesystems on loop devices.
@Suite(.enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostProbeTests {
  private func codes(_ report: TargetReport) -> Set<FindingCode> {
    Set(report.findings.map(\.code))
  }

  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func xfsOnALoopDeviceIsSoftwareBacked() throws {
    let file = try HostRig.makeFile("xfs/probe", byteCount: 1 << 20)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let report = Probe().report(on: file)
    #expect(report.kind == .file)
    #expect(report.limits.filesystem?.type == "xfs")
    #expect(report.limits.filesystem?.reflink == true)
    #expect(report.kernelPath.available == true)
    #expect(report.kernelPath.backing == .software)
    #expect(report.kernelPath.hardwareMaximumBytes == 0)
    #expect(report.kernelPath.minimumBytes == 4096)
    #expect(report.limits.tornFreeBytes == 0)
    #expect(
      codes(report) == [.softwareBacked, .stackedDeviceDropsAtomics, .notNVMe]
    )
    // And what the loop device's own file lies on, which is another matter.
    #expect(report.stack.map(\.kind).prefix(3) == ["file", "loop", "file"])
  }

  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func aDirectoryStandsForANewFileInIt() throws {
    // Of its own, as other tests come and go beside it.
    let path = HostRig.path("xfs/quiet")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let file = try HostRig.makeFile("xfs/quiet/sibling", byteCount: 4096)
    let directory = Probe().report(on: path)
    #expect(directory.kind == .directory)
    #expect(directory.kernelPath == Probe().report(on: file).kernelPath)
    #expect(directory.limits.statx == Probe().report(on: file).limits.statx)
    #expect(try FileManager.default.contentsOfDirectory(atPath: path) == ["sibling"])
  }

  @Test func ext4WithoutHardwareHasNone() throws {
    let file = try HostRig.makeFile("ext4/probe", byteCount: 4096)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let report = Probe().report(on: file)
    #expect(report.limits.filesystem?.type == "ext4")
    #expect(report.kernelPath.available == false)
    #expect(report.kernelPath.maximumBytes == 0)
    #expect(report.limits.tornFreeBytes == 0)
    #expect(codes(report) == [.stackedDeviceDropsAtomics, .notNVMe])
  }

  @Test func tmpfsHasNone() throws {
    let file = try HostRig.makeFile("tmpfs/probe", byteCount: 4096)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let report = Probe().report(on: file)
    #expect(report.limits.filesystem?.type == "tmpfs")
    #expect(report.kernelPath.available == false)
    #expect(codes(report) == [.filesystemWithoutAtomics])
  }

  @Test func aLinkIsFollowed() throws {
    let file = try HostRig.makeFile("xfs/linked", byteCount: 4096)
    let link = HostRig.path("xfs/link")
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
    defer {
      try? FileManager.default.removeItem(atPath: file)
      try? FileManager.default.removeItem(atPath: link)
    }
    #expect(Probe().report(on: link).kernelPath == Probe().report(on: file).kernelPath)
  }

  @Test(arguments: [
    ("/nonexistent/x", ErrorCode.notFound), ("/dev/null", .unsupported),
    ("/dev/null/x", .notFound), ("", .notFound),
  ])
  func whatIsNoTargetSaysSo(path: String, code: ErrorCode) {
    let report = Probe().report(on: path)
    #expect(report.error?.code == code)
    #expect(report.findings.isEmpty)
  }
}
