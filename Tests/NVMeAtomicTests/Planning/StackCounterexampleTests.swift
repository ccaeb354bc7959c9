import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// Stacks that were promised too much, or that made a probe trap, once.
@Suite struct StackCounterexampleTests {
  /// Nobody knows what caches writes below, and the kernel flushes nothing.
  @Test func unknownCacheBelowALayerIsNotDurable() throws {
    let target = try #require(FixtureTarget.named("dm-linear"))
    let call = FixtureCall(kind: .identifyController, argument: "")
    let machine = FixtureMachine(target.world, fault: .every(call, .ioError))
    let limits = TargetProbe.report(on: target.path, machine).limits
    let request = WriteRequest(
      .one(offsetBytes: 0, lengthBytes: 4096),
      promises: [.powerFailAtomic, .durable],
      writer: .rwfAtomic
    )
    let promise = try #require(Planner(limits).plan(request).kernel.promise)
    #expect(promise.keepsDurability == false)
  }

  @Test(
    arguments: [
      "9223372036854775807 8 8:0 0", "4611686018427387904 8 8:0 0", "-1 8 8:0 0", "2 8 8:0 0 8:16",
      "1 8 8:0 0 8:16", "1 0 8:0 0", "1 36028797018963968 8:0 0", "0 8", "",
    ]
  )
  func oddStripesAreNoTable(parameters: String) {
    #expect(DeviceMapperTable("0 8 striped \(parameters)\n", sectors: 8) == nil)
  }

  /// Each of two devices is made of the other, twice: no such machine, and no endless walk.
  @Test func ringEnds() {
    var world = FixtureWorld()
    let disk = world.addNamespace()
    let first = world.addMapper(over: [disk], queue: disk.queue)
    let second = world.addMapper(over: [first, first], queue: disk.queue, minor: 1)
    world.mapperTables[first.number] =
      "0 \(1 << 20) linear \(second.number) 0\n"
      + "\(1 << 20) \(1 << 20) linear \(second.number) 0\n"
    let machine = FixtureMachine(world)
    let limits = TargetProbe.report(on: first.node, machine).limits
    #expect(limits.tornFreeBytes == nil)
    #expect(limits.stack?.doubt != nil)
    #expect(machine.calls.count < 500_000)
  }
}
