import Testing

@testable import NVMeAtomic

/// The planner against brute force in whole families of small worlds.
@Suite struct PlannerExhaustiveTests {
  /// Every unit, boundary, offset and begin; every range of up to 9 blocks, and its edges.
  @Test(arguments: 1...8 as ClosedRange<UInt16>)
  func passthroughIsRightEverywhere(unit: UInt16) {
    var tally = Tally()
    for boundary in 0...8 as ClosedRange<UInt16> {
      for offset in 0...min(3, boundary) {
        for begin in 0...5 as ClosedRange<UInt64> {
          var drive = Drive(definesFields: true, nawupf: unit - 1, nabo: offset)
          drive.nabspf = boundary == 0 ? 0 : boundary - 1
          // A namespace unit of one block is not to be had: 0 means the controller's.
          if unit == 1 { drive.isControllerUnitInside = true }
          var world = World(drive, kind: .partition)
          world.target.startBytes = begin * 512
          world.target.sizeBytes = 16 * 512
          for first in 0...3 as ClosedRange<UInt64> {
            for count in 1...8 as ClosedRange<UInt64> {
              world.ask(.passthrough, first * 512, count * 512, &tally)
            }
          }
          for count in 0...8 as ClosedRange<UInt64> where begin == 1 {
            world.ask(.passthrough, (16 - count) * 512, count * 512, &tally)
            world.ask(.passthrough, (17 - count) * 512, count * 512, &tally)
            world.ask(.passthrough, 256, count * 512, &tally)
            world.ask(.passthrough, 512, count * 512 + 1, &tally)
          }
        }
      }
    }
    tally.expectSense()
    #expect(tally.cautions.isEmpty, "\(tally.cautions)")
  }

  @Test(arguments: 0...12 as ClosedRange<UInt8>)
  func passthroughEndsAtTheTransferLimits(limits: UInt8) {
    var tally = Tally()
    for kilobytes in [1, 2, 3, 8, 16, 64] as [UInt64] {
      var world = World(Drive(awupf: 63, mdts: limits % 4))
      world.target.queue.maxHWSectorsKB = kilobytes
      world.target.sizeBytes = 128 * 512
      for count in 1...66 as ClosedRange<UInt64> {
        world.ask(.passthrough, UInt64(limits) * 512, count * 512, &tally)
      }
    }
    tally.expectSense()
    #expect(tally.cautions.isEmpty, "\(tally.cautions)")
  }

  /// Limits as the kernel derives them, by either rule, with every merging mode.
  @Test(arguments: KernelRules.allCases, 1...8 as ClosedRange<UInt16>)
  func atomicWritesAreRightEverywhere(rules: KernelRules, unit: UInt16) {
    var tally = Tally()
    let lines: [(UInt16, UInt16)] = [(0, 0), (2, 0), (4, 0), (4, 1), (6, 0), (8, 0)]
    for (boundary, offset) in lines {
      for begin in 0...5 as ClosedRange<UInt64> {
        for nomerges in [0, 2] as [UInt64] {
          for definesFields in [false, true] {
            var drive = Drive(definesFields: definesFields, awupf: unit - 1, nabo: offset)
            drive.nawupf = unit - 1
            drive.nabspf = boundary == 0 ? 0 : boundary - 1
            var world = World(drive, kind: .partition)
            world.target.startBytes = begin * 512
            world.target.queue.nomerges = nomerges
            world.deriveQueue(rules)
            world.deriveDeviceStatx()
            for count in [1, 2, 3, 4, 8, 16] as [UInt64] {
              for first in 0...2 as ClosedRange<UInt64> {
                world.ask(.kernel, first * count * 512, count * 512, &tally)
              }
              world.ask(.kernel, 512, count * 512, &tally)
              world.askEveryPage(.kernel, count * 512, &tally)
            }
          }
        }
      }
    }
    tally.expectSense()
  }

  /// Everything that the block layer may do to an ordinary write.
  @Test(arguments: [512, 4096] as [UInt64], 1...8 as ClosedRange<UInt16>)
  func ordinaryWritesAreRightEverywhere(physical: UInt64, unit: UInt16) {
    var tally = Tally()
    let begins: [(UInt64, UInt64)] = [(0, 0), (0, 1), (0, 2), (1, 2), (3, 0), (3, 2)]
    for kilobytes in [1, 2, 3, 8] as [UInt64] {
      for (chunk, boundary) in [(0, 0), (8, 0), (16, 0), (24, 0), (0, 8)] as [(UInt64, UInt16)] {
        for (begin, nomerges) in begins {
          var drive = Drive(definesFields: true, awupf: unit - 1, nawupf: unit - 1)
          drive.nabspf = boundary == 0 ? 0 : boundary - 1
          var world = World(drive, kind: .partition)
          world.target.startBytes = begin * 512
          world.target.queue.maxSectorsKB = kilobytes
          world.target.queue.chunkSectors = chunk
          world.target.queue.nomerges = nomerges
          world.target.queue.physicalBlockSize = physical
          world.target.queue.maxSegments = unit < 4 ? 2 : 4
          for count in 1...8 as ClosedRange<UInt64> {
            for first in [0, 1] as [UInt64] {
              world.ask(.plain, first * 512, count * 512, &tally)
            }
            world.askEveryPage(.plain, count * 512, &tally)
          }
        }
      }
    }
    tally.expectSense()
  }
}

extension World {
  func ask(_ path: WritePath, _ offset: UInt64, _ length: UInt64, _ tally: inout Tally) {
    let range = WriteRequest.Range.one(offsetBytes: offset, lengthBytes: length)
    tally.check(WriteRequest(range, writer: path.writer), through: path, in: self)
  }

  func askEveryPage(_ path: WritePath, _ size: UInt64, _ tally: inout Tally) {
    let range = WriteRequest.Range.everyPage(sizeBytes: size)
    tally.check(WriteRequest(range, writer: path.writer), through: path, in: self)
  }
}

extension WritePath {
  /// Who uses it.
  var writer: Writer { self == .plain ? .direct : .rwfAtomic }
}
