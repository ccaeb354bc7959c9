import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// No fault makes a probe trap, or promise what it would not promise without the fault.
@Suite struct FaultTests {
  static let errnos: [Errno] = [
    .noSuchFileOrDirectory, .permissionDenied, .ioError, .operationNotSupportedByDevice,
    .noSuchAddressOrDevice,
  ]

  /// Invalid Field, Invalid Namespace or Format, Namespace Not Ready, Internal Error, and a
  /// vendor's.
  static let statuses: [UInt16] = [0x002, 0x00b, 0x082, 0x006, 0x7c1]

  /// A name that is not there, and one that is and cannot be read, take different turns.
  @Test(arguments: FixtureTarget.variants + FixtureTarget.stacks)
  func oneFailingCallAddsNoClaim(target: FixtureTarget) {
    let comparison = FaultComparison(target)
    let faults = comparison.calls.indices.flatMap { index in
      [FixtureFault.call(index, .noSuchFileOrDirectory), .call(index, .ioError)]
    }
    #expect(comparison.excess(faults) == [])
  }

  /// Layers ask sysfs and drives by the same few functions as a single drive.
  @Test(arguments: FixtureTarget.singles)
  func noErrorNumberOfAnyCallAddsAClaim(target: FixtureTarget) {
    let comparison = FaultComparison(target)
    let faults = comparison.calls.indices.flatMap { index in
      Self.errnos.map { FixtureFault.call(index, $0) }
    }
    #expect(comparison.excess(faults) == [])
  }

  /// What is asked more than once may fail every time.
  @Test(arguments: FixtureTarget.all)
  func whatAlwaysFailsAddsNoClaim(target: FixtureTarget) {
    let comparison = FaultComparison(target)
    let repeated = Dictionary(grouping: comparison.calls) { $0 }.filter { $0.value.count > 1 }.keys
    let faults = repeated.sorted { $0.description < $1.description }.flatMap { call in
      [FixtureFault.every(call, .noSuchFileOrDirectory), .every(call, .ioError)]
    }
    #expect(comparison.excess(faults) == [])
  }

  @Test(arguments: FixtureTarget.kinds)
  func removalOfTheDeviceAddsNoClaim(target: FixtureTarget) {
    let comparison = FaultComparison(target)
    let faults = comparison.calls.indices.map {
      FixtureFault.callsFrom($0, .operationNotSupportedByDevice)
    }
    #expect(comparison.excess(faults) == [])
  }

  @Test(arguments: FixtureTarget.kinds)
  func refusedCommandAddsNoClaim(target: FixtureTarget) {
    let comparison = FaultComparison(target)
    let count = comparison.calls.filter(\.isDeviceCommand).count
    let faults = (0..<count).flatMap { index in
      Self.statuses.map { FixtureFault.command(index, status: $0) }
    }
    #expect(comparison.excess(faults) == [])
  }

  @Test(arguments: FixtureTarget.kinds + FixtureTarget.users)
  func textCutShortAddsNoClaimAndIsNoticed(target: FixtureTarget) {
    let comparison = FaultComparison(target)
    var added: [String] = []
    var unnoticed: [FixtureFault] = []
    for cut in comparison.cuts {
      let report = comparison.report(cut)
      added += comparison.excess(report.limits).prefix(1).map { "\(cut): \($0)" }
      let isNoticed = report.findings.contains { $0.code == .unreadableAttribute }
      if !isNoticed, !Self.isEqual(report, comparison.report) { unnoticed.append(cut) }
    }
    #expect(added.prefix(4) == [])
    #expect(unnoticed.prefix(4) == [])
  }

  private static func isEqual(_ left: TargetReport, _ right: TargetReport) -> Bool {
    left.limits == right.limits && left.controller == right.controller
      && left.namespace == right.namespace && left.stack == right.stack
      && left.findings == right.findings && left.error == right.error
  }
}
