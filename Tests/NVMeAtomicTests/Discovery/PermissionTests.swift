import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// What a process without root learns through which node.
@Suite struct PermissionTests {
  private static let block = "/dev/nvme0n1"
  private static let generic = "/dev/ng0n1"

  /// Nodes that may not be opened, and commands that are refused, whatever is asked for.
  private static func report(
    _ name: String,
    closed: [String],
    refused: [String] = ["a", "6"],
    _ change: (inout FixtureWorld) -> Void = { _ in }
  ) throws -> (report: TargetReport, machine: FixtureMachine) {
    var target = try #require(FixtureTarget.named(name))
    change(&target.world)
    let machine = FixtureMachine(
      target.world,
      fault: .denied(nodes: Set(closed), features: Set(refused))
    )
    return (TargetProbe.report(on: target.path, machine), machine)
  }

  private static func opened(_ machine: FixtureMachine) -> [String] {
    machine.calls.filter { $0.kind == .open }.map(\.argument)
  }

  @Test(
    arguments: [
      ("namespace-4k-cached", block, generic), ("partition-4k", block, generic),
      ("xfs-cached", block, generic), ("link-to-namespace", "/dev/disk/by-id/fixture", generic),
      ("namespace-one-path", block, generic), ("generic", generic, block),
      ("generic-boundary-offset", generic, block),
    ] as [(String, String, String)]
  )
  func theOtherNodeIsAskedWhereOneCannotBeOpened(name: String, closed: String, open: String) throws
  {
    let (report, machine) = try Self.report(name, closed: [closed])
    let asRoot = try #require(FixtureTarget.named(name)).report()
    #expect(Self.opened(machine) == [closed, open])
    #expect(report.controller?.identify == asRoot.controller?.identify)
    #expect(report.namespace == asRoot.namespace)
    let device = try #require(report.limits.drive.limits)
    let known = try #require(asRoot.limits.drive.limits)
    #expect(device.powerFailBytes == known.powerFailBytes)
    #expect(device.powerFailBoundary == known.powerFailBoundary)
    #expect(report.limits.tornFreeBytes == asRoot.limits.tornFreeBytes)
    // Of what Get Features tells nothing is known, and the cache counts as in use.
    #expect(report.writeAtomicityNormalDisabled == nil)
    #expect(device.normalBytes == nil && device.normalSource == nil)
    let hasCache = asRoot.controller?.identify?.hasVolatileWriteCache == true
    #expect(device.volatileWriteCache == (hasCache ? nil : false))
    #expect(Claims(report.limits).excess(over: Claims(asRoot.limits)) == [])
  }

  @Test func whatIsKnownThroughTheGenericNodeDecidesTheAnswers() throws {
    let (report, _) = try Self.report("namespace-4k-cached", closed: [Self.block])
    func answer(_ writer: Writer, isStrict: Bool = false) -> Answer {
      Answer(
        Question(.everyPage(sizeBytes: 16384), writer: writer, isStrict: isStrict),
        about: report.limits
      )
    }
    for writer in [Writer.rwfAtomic, .direct] {
      #expect(answer(writer).isAtomic == true)
      #expect(answer(writer).isAssumed)
      #expect(answer(writer, isStrict: true).isAtomic == false)
    }
    let range = WriteRequest.Range.one(offsetBytes: 0, lengthBytes: 4096)
    let untorn = WriteRequest(range, promises: .untorn, writer: .rwfAtomic)
    #expect(Planner(report.limits).plan(untorn).kernel == .unknown(.writeAtomicityNormal))
  }

  @Test func withoutACacheNothingIsAssumed() throws {
    let (report, _) = try Self.report("namespace-nomerges", closed: [Self.block])
    let question = Question(.everyPage(sizeBytes: 16384), writer: .direct, isStrict: true)
    #expect(Answer(question, about: report.limits).isAtomic == true)
    let finding = try #require(report.findings.first { $0.code == .noPermission })
    #expect(!finding.message.contains("cache"))
  }

  /// No twin is tried where the node opens, where it fails otherwise, or for a controller.
  @Test(
    arguments: [
      ("namespace-4k-cached", [], [block]), ("controller-cached", ["/dev/nvme0"], ["/dev/nvme0"]),
      ("generic", [], [generic]), ("xfs-on-loop", [block, generic], []),
    ] as [(String, [String], [String])]
  )
  func noOtherNodeIsOpenedWithoutNeed(name: String, closed: [String], opened: [String]) throws {
    #expect(Self.opened(try Self.report(name, closed: closed).machine) == opened)
  }

  @Test func aNodeThatFailsOtherwiseIsNotReplaced() throws {
    let target = try #require(FixtureTarget.named("namespace"))
    for errno in [Errno.ioError, .noSuchFileOrDirectory, .noSuchAddressOrDevice, .resourceBusy] {
      let open = FixtureCall(kind: .open, argument: Self.block)
      let machine = FixtureMachine(target.world, fault: .every(open, errno))
      let report = TargetProbe.report(on: target.path, machine)
      #expect(Self.opened(machine) == [Self.block])
      #expect(report.limits.drive.limits == nil)
    }
  }

  /// Names come back: what sysfs says of the twin must hold for what was opened.
  @Test func anotherNamespaceBehindTheTwinIsNotBelieved() throws {
    let other = FixtureDrive { ($0.nsid, $0.nawupf) = (2, 127) }
    let swaps: [(inout FixtureWorld) -> Void] = [
      // Another device than the number in sysfs.
      { $0.swap(Self.generic, with: DeviceNumber(major: 238, minor: 9), other) },
      // The same number, another namespace.
      { $0.swap(Self.generic, with: DeviceNumber(major: 238, minor: 0), other) },
      { $0.tree.remove("/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1/nsid") },
      { $0.tree.remove("/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/ng0n1/dev") },
      { $0.nodes["/dev/ng0n1"] = nil },
    ]
    for swap in swaps {
      let (report, _) = try Self.report("namespace", closed: [Self.block], swap)
      #expect(report.limits.drive.limits == nil)
      #expect(report.namespace?.identify == nil)
      #expect(report.findings.contains { $0.code == .noPermission })
    }
  }

  // MARK: The finding

  @Test func whatIsMissingOfBothNodesIsNamedWithTheRuleThatGivesIt() throws {
    let (report, machine) = try Self.report("namespace", closed: [Self.block, Self.generic])
    #expect(Self.opened(machine) == [Self.block, Self.generic])
    let finding = try #require(report.findings.first { $0.code == .noPermission })
    #expect(finding.message.hasPrefix("/dev/nvme0n1 and /dev/ng0n1 may not be opened"))
    #expect(finding.message.contains("read access to /dev/ng0n1 gives Identify"))
    let remedy = try #require(finding.remedy)
    for part in [
      "'SUBSYSTEM==\"nvme-generic\", GROUP=\"nvme-read\", MODE=\"0440\"'",
      "/etc/udev/rules.d/60-nvme-atomic.rules", "udevadm control --reload",
      "can then read all data",
    ] {
      #expect(remedy.contains(part), "\(part)")
    }
    #expect(report.findings.count { $0.layer == .permission } == 1)
    #expect(!report.findings.contains { $0.code == .identifyFailed })
  }

  @Test(
    arguments: [
      ("namespace-4k-cached", "Get Features 0Ah takes CAP_SYS_ADMIN through /dev/ng0n1", true),
      ("namespace", "Get Features 0Ah takes CAP_SYS_ADMIN through /dev/ng0n1", false),
    ] as [(String, String, Bool)]
  )
  func whatNoGroupGivesIsNamedToo(name: String, says: String, hasCache: Bool) throws {
    let (report, _) = try Self.report(name, closed: [Self.block])
    let finding = try #require(report.findings.first { $0.code == .noPermission })
    #expect(finding.message.hasPrefix(says), "\(finding.message)")
    #expect(finding.message.contains("(DN) is unknown"))
    #expect(finding.message.contains("a volatile cache counts as in use") == hasCache)
    #expect(finding.remedy == "sudo nvme-atomic probe /dev/nvme0n1")
  }

  @Test func ofSeveralDrivesEachNodeIsNamedOnce() throws {
    let nodes = ["/dev/nvme0n1", "/dev/nvme1n1"]
    let closed = try Self.report("md", closed: nodes + ["/dev/ng0n1", "/dev/ng1n1"]).report
    let finding = try #require(closed.findings.first { $0.code == .noPermission })
    #expect(
      finding.message.hasPrefix(
        "/dev/nvme0n1, /dev/ng0n1, /dev/nvme1n1 and /dev/ng1n1 may not be opened"
      )
    )
    #expect(closed.findings.count { $0.code == .noPermission } == 1)
    let (open, machine) = try Self.report("md", closed: nodes)
    #expect(Self.opened(machine).count == 4)
    #expect(open.namespaces.allSatisfy { $0.namespace.identify != nil })
    let refused = try #require(open.findings.first { $0.code == .noPermission })
    #expect(refused.message.contains("through /dev/ng0n1 and /dev/ng1n1"))
  }

  @Test func aTableIsRootsAlone() throws {
    let report = try #require(FixtureTarget.named("dm-no-permission")).report()
    let findings = report.findings.filter { $0.code == .noPermission }
    #expect(
      findings.map(\.message).first?.contains("table of /dev/dm-0 takes CAP_SYS_ADMIN") == true
    )
    #expect(findings.map(\.remedy) == ["sudo nvme-atomic probe /dev/dm-0"])
    #expect(!report.findings.contains { $0.code == .identifyFailed })
  }

  @Test func aControllerHasNoRule() throws {
    let (report, _) = try Self.report("controller", closed: ["/dev/nvme0"])
    let finding = try #require(report.findings.first { $0.code == .noPermission })
    #expect(finding.message.hasPrefix("/dev/nvme0 may not be opened"))
    #expect(finding.remedy == "sudo nvme-atomic probe /dev/nvme0")
  }

  @Test func rootMissesNothing() throws {
    for target in FixtureTarget.all where target.name != "dm-no-permission" {
      #expect(!target.report().findings.contains { $0.code == .noPermission })
    }
  }
}
