import TestSupport
import Testing

@testable import NVMeAtomic

/// Whether writes of the control are one command each: only then a torn one shows something.
@Suite struct CrashControlTests {
  /// Two places of 64 KiB behind so many bytes.
  private static func plan(_ bytesBefore: UInt64) -> CrashPlan {
    CrashPlan(
      run: 1,
      path: .kernel,
      isDurable: true,
      offsetBytes: 0,
      slotBytes: 4096,
      slots: bytesBefore / 4096,
      stampBytes: 4096,
      ranges: 1,
      threads: 1,
      seed: 1,
      controlBytes: 64 << 10,
      controls: 2
    )
  }

  private static func limits(
    _ change: (inout TargetLimits) -> Void = { _ in }
  ) throws -> TargetLimits {
    var limits = try #require(FixtureTarget.named("namespace")).report().limits
    (limits.queue.maxSectorsKB, limits.queue.maxSegments) = (128, 128)
    (limits.queue.chunkSectors, limits.queue.physicalBlockSize) = (0, 4096)
    limits.startBytes = 0
    change(&limits)
    return limits
  }

  @Test func whatNothingCutsIsOneCommand() throws {
    #expect(Self.plan(1 << 20).controlIsOneCommand(try Self.limits()))
  }

  @Test func linesThatItCrossesMakeItSeveral() throws {
    // 128 KiB: each place lies between two lines, unless it begins elsewhere.
    let lines = try Self.limits { $0.queue.chunkSectors = 256 }
    #expect(Self.plan(1 << 20).controlIsOneCommand(lines))
    #expect(!Self.plan((1 << 20) + (96 << 10)).controlIsOneCommand(lines))
    let moved = try Self.limits { ($0.queue.chunkSectors, $0.startBytes) = (256, 96 << 10) }
    #expect(!Self.plan(1 << 20).controlIsOneCommand(moved))
    let short = try Self.limits { $0.queue.chunkSectors = 64 }
    #expect(!Self.plan(1 << 20).controlIsOneCommand(short))
  }

  /// As long as a command can be, it is cut at the edge of a physical block.
  @Test func edgesOfPhysicalBlocksMakeItSeveral() throws {
    let full = try Self.limits { ($0.queue.maxSectorsKB, $0.queue.physicalBlockSize) = (64, 16384) }
    #expect(Self.plan(1 << 20).controlIsOneCommand(full))
    #expect(!Self.plan((1 << 20) + 4096).controlIsOneCommand(full))
  }

  @Test func whatIsNotKnownMakesItSeveral() throws {
    let changes: [(inout TargetLimits) -> Void] = [
      { $0.queue.maxSectorsKB = nil }, { $0.queue.maxSegments = nil },
      { $0.queue.chunkSectors = nil }, { $0.queue.physicalBlockSize = nil },
      { $0.startBytes = nil },
    ]
    for change in changes {
      #expect(!Self.plan(1 << 20).controlIsOneCommand(try Self.limits(change)))
    }
  }
}
