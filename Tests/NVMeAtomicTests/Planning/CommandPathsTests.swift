import TestSupport
import Testing

@testable import NVMeAtomic

/// Commands by several paths, of which the kernel chooses: what is promised, each path promises.
@Suite struct CommandPathsTests {
  /// One path as a target of its own, and the same behind a head with others.
  private struct Path {
    var drive: DriveKnowledge
    var transferKB: UInt64?

    var target: TargetLimits {
      var target = TargetLimits(kind: .namespace, drive: drive)
      target.queue.maxHWSectorsKB = transferKB
      (target.startBytes, target.sizeBytes) = (0, 1 << 20)
      return target
    }
  }

  private static func head(_ paths: [Path]) -> TargetLimits {
    var target = paths[0].target
    target.drive = .unknown(.paths)
    target.queue.maxHWSectorsKB = 1024
    var stack = StackLimits()
    stack.layers = [StackLayer(device: "/dev/nvme0n1", kind: "multipath", queue: QueueLimits())]
    stack.foundations = paths.map { path in
      Foundation(
        device: "/dev/nvme0n1",
        drive: path.drive,
        queue: path.target.queue,
        originBytes: 0
      )
    }
    target.stack = stack
    target.sharing = "several paths"
    return target
  }

  private static let paths: [Path] = {
    var paths: [Path] = [
      Path(drive: .unknown(.identify("no answer")), transferKB: 64),
      Path(drive: .unknown(.identifyInvalid), transferKB: nil),
    ]
    for change in [
      { _ in }, { $0.nawupf = 7 }, { $0.nawun = 3 }, { $0.mdts = 1 }, { $0.nabspf = 63 },
      { $0.nsfeat = 0 }, { $0.flbas = 0 },
    ] as [(inout FixtureDrive) -> Void] {
      for (dn, cache) in [(false, true), (true, false), (nil, nil)] as [(Bool?, Bool?)] {
        var drive = FixtureDrive(change)
        drive.vwc = 1
        paths.append(Path(drive: knowledge(drive, dn, cache), transferKB: 64))
      }
    }
    return paths
  }()

  private static func knowledge(_ drive: FixtureDrive, _ dn: Bool?, _ cache: Bool?)
    -> DriveKnowledge
  {
    guard let controller = IdentifyController(page: drive.controllerPage),
      let namespace = IdentifyNamespace(page: drive.namespacePage),
      let limits = DeviceLimits(
        controller: controller,
        namespace: namespace,
        writeAtomicityNormal: dn,
        writeCacheEnabled: cache
      )
    else { return .none }
    return .known(limits)
  }

  private static func holds(_ target: TargetLimits, _ request: WriteRequest) -> PathVerdict {
    Planner(target).plan(request).passthrough
  }

  /// Every pair of paths, and each request that one of them might keep.
  @Test func whatTheHeadPromisesEachPathPromises() throws {
    var kept = 0
    for one in Self.paths {
      for other in Self.paths {
        let head = Self.head([one, other])
        for length in [512, 4096, 8192, 16384, 32768, 65536] as [UInt64] {
          for promises in [.powerFailAtomic, [.powerFailAtomic, .untorn]] as [Promises] {
            var request = WriteRequest(
              .one(offsetBytes: 28672, lengthBytes: length),
              promises: promises,
              writer: .rwfAtomic
            )
            request.allowsShared = true
            let both = [one, other].map { Self.holds($0.target, request).promise != nil }
            let promise = Self.holds(head, request).promise
            guard let promise else { continue }
            kept += 1
            #expect(both == [true, true], "\(length) \(one) \(other)")
            #expect(promise.assumptions.contains(.soleUser("several paths")))
            let caches = [one, other].contains { $0.drive.limits?.volatileWriteCache != false }
            #expect(promise.assumptions.contains(.volatileCacheKeepsWritesWhole) == caches)
            #expect(head.flushServesAllCommands == !caches)
          }
        }
        let same = one.drive == other.drive && one.drive.limits != nil
        if same { #expect(head.commandDrive == one.drive) }
      }
    }
    #expect(kept > 200, "nothing was kept")
  }

  /// Without the caller's word none is: a path shows that others may have one.
  @Test func severalPathsAreShared() {
    for path in Self.paths {
      let request = WriteRequest(
        .one(offsetBytes: 0, lengthBytes: 512),
        promises: .powerFailAtomic,
        writer: .rwfAtomic
      )
      #expect(Self.holds(Self.head([path, path]), request).promise == nil)
    }
  }
}
