import NVMeAtomic
import Testing

/// A client needs one import. What the README shows must compile here, and say no where it must.
@Suite struct OneImportTests {
  @Test func theReadmeExampleCompilesAndRefusesWhatIsNoTarget() {
    let report = Probe().report(on: "/dev/null")
    #expect(report.kernelPath.maximumBytes == nil)
    do throws(AtomicWriteError) {
      var writer = try AtomicWriter(opening: report)
      let page = AlignedBuffer(copying: [UInt8](repeating: 0xdb, count: 16384))
      let receipt = try writer.write(page, atBytes: 16384, durability: .onReturn)
      Issue.record("\(receipt)")
    } catch {
      guard case .target(let why) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(why.code == .unsupported)
      #expect(error.outcome == .notWritten)
    }
  }

  @Test func thePlannerNeedsNoMachine() {
    var target = TargetLimits(kind: .namespace, drive: .unknown(.statx))
    target.statx = StatxLimits()
    let plan = Planner(target).plan(
      WriteRequest(.everyPage(sizeBytes: 16384), promises: .powerFailAtomic, writer: .rwfAtomic)
    )
    #expect(plan.path == nil)
    #expect(plan.kernel == .fails(.kernelOffersNone))
  }
}
