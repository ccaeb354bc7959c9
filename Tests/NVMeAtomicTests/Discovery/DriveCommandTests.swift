import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// Which commands reach a drive, and what is left when it does not answer.
@Suite struct DriveCommandTests {
  private static let controller = "identifyController"
  private static let namespace = "identifyNamespace 1"
  private static let dn = "feature a"
  private static let cache = "feature 6"

  @Test(
    arguments: [
      ("namespace", [controller, namespace, dn]),
      ("namespace-4k-cached", [controller, namespace, dn, cache]),
      ("namespace-one-path", [controller, namespace, dn]),
      ("namespace-two-paths", [controller, namespace, dn, controller, namespace, dn]),
      ("partition", [controller, namespace, dn]),
      ("partition-4k", [controller, namespace, dn, cache]),
      ("generic", [controller, namespace, dn]),
      ("controller", [controller, dn]),
      ("controller-cached", [controller, dn, cache]),
      ("ext4-partition", [controller, namespace, dn]),
      ("xfs-cached", [controller, namespace, dn, cache]),
      ("directory-xfs", [controller, namespace, dn]),
      ("link-to-namespace", [controller, namespace, dn]),
      ("xfs-on-loop", []), ("ext4-on-dm", [controller, namespace, dn, controller, namespace, dn]),
      ("btrfs", []), ("tmpfs", []), ("loop", []),
      ("dm", [controller, namespace, dn, controller, namespace, dn]), ("sd", []),
      ("loop-on-missing", []), ("missing", []), ("null", []),
      ("directory-no-permission", []),
    ] as [(String, [String])]
  )
  func exactlyTheseCommandsAreSent(name: String, commands: [String]) throws {
    let target = try #require(FixtureTarget.named(name))
    let machine = FixtureMachine(target.world)
    _ = TargetProbe.report(on: target.path, machine)
    #expect(machine.commands == commands)
  }

  @Test(arguments: FixtureTarget.all)
  func neverMoreThanFourCommandsToADriveByAPath(target: FixtureTarget) {
    let machine = FixtureMachine(target.world)
    let report = TargetProbe.report(on: target.path, machine)
    let ways = max(1, report.namespaces.count)
    #expect(machine.commands.count <= 4 * ways)
    #expect(machine.calls.filter { $0.kind == .open }.count <= ways)
  }

  /// Y of nvmeXnY is not the namespace id: the driver is asked.
  @Test(arguments: [1, 3, 0xffff_fffe] as [UInt32])
  func namespaceIDComesFromTheDriver(nsid: UInt32) {
    let target = FixtureTarget.namespace("", .linux7_3, FixtureDrive { $0.nsid = nsid })
    let machine = FixtureMachine(target.world)
    let report = TargetProbe.report(on: target.path, machine)
    #expect(machine.commands.contains("identifyNamespace \(nsid)"))
    #expect(report.namespace?.nsid == nsid)
    #expect(report.limits.tornFreeBytes == 16384)
  }

  // MARK: Refusals

  private static func report(_ fault: FixtureFault) throws -> TargetReport {
    let target = try #require(FixtureTarget.named("namespace-4k-cached"))
    return TargetProbe.report(on: target.path, FixtureMachine(target.world, fault: fault))
  }

  private static func every(_ kind: FixtureCall.Kind, _ argument: String, _ errno: Errno)
    -> FixtureFault
  {
    .every(FixtureCall(kind: kind, argument: argument), errno)
  }

  private func expectIdentifyUnknown(_ report: TargetReport) {
    #expect(report.error == nil)
    #expect(report.kind == .namespace)
    #expect(report.limits.drive.limits == nil)
    #expect(report.limits.tornFreeBytes == nil)
    #expect(report.kernelPath.maximumBytes == nil)
    #expect(report.passthroughPath.maximumBytes == nil)
    #expect(report.writeAtomicityNormalDisabled == nil)
    // What needs no drive is still there.
    #expect(report.limits.queue.atomicWriteUnitMaxBytes == 65536)
    #expect(report.limits.statx?.atomicWriteUnitMax == 65536)
    #expect(report.limits.sizeBytes == 1 << 30)
    #expect(report.controller?.model == "Fixture A")
    #expect(report.stack.count == 2)
  }

  @Test(arguments: [.permissionDenied, .notPermitted] as [Errno])
  func withoutPermissionToOpenTheRestIsReported(errno: Errno) throws {
    let target = try #require(FixtureTarget.named("namespace-4k-cached"))
    let machine = FixtureMachine(
      target.world,
      fault: .everyOpen(errno)
    )
    let report = TargetProbe.report(on: target.path, machine)
    expectIdentifyUnknown(report)
    let finding = try #require(report.findings.first { $0.code == .noPermission })
    #expect(finding.remedy != nil)
    #expect(finding.layer == .permission)
    #expect(!report.findings.contains { $0.code == .identifyFailed })
  }

  @Test(arguments: [.permissionDenied, .notPermitted] as [Errno])
  func withoutPermissionForCommandsTheRestIsReported(errno: Errno) throws {
    let report = try Self.report(Self.every(.identifyController, "", errno))
    expectIdentifyUnknown(report)
    #expect(report.findings.contains { $0.code == .noPermission && $0.remedy != nil })
  }

  /// Identify is allowed to whoever holds the node, Get Features is not.
  @Test func withoutPermissionForFeaturesThePowerFailLimitIsKnown() throws {
    let report = try Self.report(Self.every(.feature, "a", .permissionDenied))
    let device = try #require(report.limits.drive.limits)
    #expect(device.normalBytes == nil)
    #expect(device.powerFailBytes == 65536)
    #expect(report.limits.tornFreeBytes == 65536)
    #expect(report.findings.contains { $0.code == .noPermission && $0.remedy != nil })
  }

  @Test(arguments: FaultTests.statuses)
  func refusedFeature0ALeavesOnlyTheNormalLimitUnknown(status: UInt16) throws {
    let report = try Self.report(.command(2, status: status))
    let device = try #require(report.limits.drive.limits)
    #expect(report.writeAtomicityNormalDisabled == nil)
    #expect(device.normalBytes == nil)
    #expect(device.normalSource == nil)
    #expect(device.normalAtomicityDisabled == nil)
    #expect(device.powerFailBytes == 65536)
    #expect(device.volatileWriteCache == true)
    #expect(report.limits.tornFreeBytes == 65536)
    #expect(report.passthroughPath.maximumBytes == 65536)
    let finding = try #require(report.findings.first { $0.code == .identifyFailed })
    #expect(finding.message.contains("0x" + String(status, radix: 16)))
  }

  /// The cache may be on: a write is whole only by expectation.
  @Test func refusedFeature06IsReadAsACacheInUse() throws {
    let report = try Self.report(.command(3, status: 0x002))
    #expect(report.limits.drive.limits?.volatileWriteCache == nil)
    #expect(report.limits.drive.limits?.normalBytes == 65536)
    #expect(report.findings.contains { $0.code == .volatileWriteCache })
    let question = Question(.everyPage(sizeBytes: 4096), writer: .rwfAtomic)
    #expect(Answer(question, about: report.limits).isAssumed)
  }

  @Test(arguments: [0, 1], FaultTests.statuses)
  func refusedIdentifyLeavesTheDriveUnknown(command: Int, status: UInt16) throws {
    let report = try Self.report(.command(command, status: status))
    expectIdentifyUnknown(report)
    let finding = try #require(report.findings.first { $0.code == .identifyFailed })
    #expect(finding.message.contains("0x" + String(status, radix: 16)))
    #expect(!report.findings.contains { $0.code == .noPermission })
  }

  /// A node that takes no NVMe requests answers ENOTTY.
  @Test func nodeThatIsNotNVMeLeavesTheDriveUnknown() throws {
    let errno = Errno.inappropriateIOCTLForDevice
    for fault in [
      Self.every(.namespaceID, "/dev/nvme0n1", errno), Self.every(.identifyController, "", errno),
    ] {
      expectIdentifyUnknown(try Self.report(fault))
    }
  }

  /// A failed Identify is not followed by commands whose answers would stand alone.
  @Test func nothingIsAskedAfterIdentifyFailed() throws {
    for (fault, commands) in [
      (FixtureFault.command(0, status: 0x006), [Self.controller]),
      (.command(1, status: 0x006), [Self.controller, Self.namespace]),
      (.everyOpen(.permissionDenied), []),
    ] {
      let target = try #require(FixtureTarget.named("namespace-4k-cached"))
      let machine = FixtureMachine(target.world, fault: fault)
      _ = TargetProbe.report(on: target.path, machine)
      #expect(machine.commands == commands)
    }
  }
}
