import TestSupport
import Testing

@testable import NVMeAtomic

@Suite struct CharacterDeviceReportTests {
  @Test func genericNodeIsItsNamespace() throws {
    let report = try #require(FixtureTarget.named("generic")).report()
    #expect(report.kind == .generic)
    #expect(report.error == nil)
    #expect(report.controller?.name == "nvme0")
    #expect(report.controller?.transport == "pcie")
    #expect(report.namespace?.nsid == 1)
    #expect(report.namespace?.paths == 1)
    #expect(report.writeAtomicityNormalDisabled == false)
    #expect(report.limits.startBytes == 0)
    #expect(report.limits.sizeBytes == 1 << 30)
    #expect(report.limits.statx == nil)
    #expect(
      report.stack == [
        StackEntry(id: 0, parents: [], device: "/dev/ng0n1", kind: "generic", startBytes: 0),
        StackEntry(id: 1, parents: [0], device: "/dev/nvme0", kind: "controller", startBytes: nil),
      ]
    )
  }

  /// Passthrough's transfer limit comes from the sibling block device.
  @Test func genericNodeHasTheQueueOfItsBlockDevice() throws {
    let report = try #require(FixtureTarget.named("generic")).report()
    #expect(report.limits.queue.maxHWSectorsKB == 128)
    #expect(report.limits.queue.atomicWriteUnitMaxBytes == 16384)
    #expect(report.kernelPath.available == false)
    #expect(report.limits.tornFreeBytes == 0)
    #expect(report.passthroughPath.available == true)
    #expect(report.passthroughPath.maximumBytes == 16384)
  }

  @Test func genericNodeWithoutBlockDeviceHasNoTransferLimit() {
    var target = FixtureTarget("", "/dev/ng0n1", FixtureTarget.namespace("").world)
    target.world.tree.remove("/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1")
    target.world.tree.remove("/sys/block/nvme0n1")
    let report = target.report()
    #expect(report.limits.drive.limits?.powerFailBytes == 16384)
    #expect(report.passthroughPath.available == nil)
    #expect(report.passthroughPath.maximumBytes == nil)
  }

  @Test func controllerHasNoNamespace() throws {
    let report = try #require(FixtureTarget.named("controller-cached")).report()
    #expect(report.kind == .controller)
    #expect(report.error == nil)
    #expect(report.controller?.name == "nvme0")
    #expect(report.controller?.identify?.awupf == 7)
    #expect(report.controller?.identify?.vwc == 1)
    #expect(report.namespace == nil)
    #expect(report.writeAtomicityNormalDisabled == false)
    #expect(report.limits.drive.limits == nil)
    #expect(report.limits.queue == QueueLimits())
    #expect(report.limits.statx == nil)
    #expect(report.kernelPath.available == false)
    #expect(report.passthroughPath.available == false)
    #expect(report.stack.map(\.device) == ["/dev/nvme0"])
    #expect(report.stack.map(\.kind) == ["controller"])
  }

  @Test func otherCharacterDeviceIsRefused() throws {
    let target = try #require(FixtureTarget.named("null"))
    let machine = FixtureMachine(target.world)
    let report = TargetProbe.report(on: target.path, machine)
    #expect(report.error?.code == .unsupported)
    #expect(report.findings.isEmpty)
    #expect(!machine.calls.contains { $0.kind == .open })
  }
}
