import Testing

@testable import NVMeAtomic
@testable import Simulation

/// The drive in memory is the one that the specification describes: what it keeps, what it may
/// lose, and no more. Every case of few blocks.
@Suite struct SimulatedDriveTests {
  private static func drive(_ change: (inout SimulatedDrive.Geometry) -> Void) -> SimulatedDrive {
    var geometry = SimulatedDrive.Geometry()
    geometry.blocks = 8
    change(&geometry)
    return SimulatedDrive(geometry)
  }

  /// So many blocks that hold this byte.
  private static func bytes(_ byte: UInt8, _ blocks: Int) -> [UInt8] {
    [UInt8](repeating: byte, count: blocks * 512)
  }

  /// The first byte of each block, for each way of a power failure.
  private static func images(_ drive: SimulatedDrive) -> Set<[UInt8]> {
    var cut = PowerCut(drive)
    guard let ways = cut.ways(upTo: 1 << 16) else { return [] }
    var images: Set<[UInt8]> = []
    for way in 0..<ways {
      cut.take(way: way)
      images.insert((0..<drive.geometry.blocks).map { cut.image[$0 * 512] })
    }
    return images
  }

  private static func image(_ bytes: [Int: UInt8]) -> [UInt8] { (0..<8).map { bytes[$0] ?? 0 } }

  @Test func whatIsOnItsWayIsThereOrNot() {
    let drive = Self.drive { $0.powerFailBlocks = 2 }
    _ = drive.begin(firstBlock: 1, bytes: Self.bytes(7, 2), isForced: false)
    #expect(Self.images(drive) == [Self.image([:]), Self.image([1: 7, 2: 7])])
    #expect(drive.visible(firstBlock: 1, count: 512) == Self.bytes(0, 1))
  }

  @Test func whatIsLongerIsTornBlockByBlock() {
    let drive = Self.drive { $0.powerFailBlocks = 1 }
    _ = drive.begin(firstBlock: 1, bytes: Self.bytes(7, 2), isForced: false)
    #expect(
      Self.images(drive) == [
        Self.image([:]), Self.image([1: 7]), Self.image([2: 7]), Self.image([1: 7, 2: 7]),
      ]
    )
  }

  /// Every write of up to four blocks, at every place, by every boundary: whole where no multiple
  /// of the boundary after the offset lies within it.
  @Test func boundariesAreWhereTheyAre() {
    for lines in 1...6 {
      for offset in 0..<lines {
        for first in 0..<8 {
          for blocks in 1...min(4, 8 - first) {
            let drive = Self.drive {
              $0.powerFailBlocks = 4
              ($0.boundaryBlocks, $0.boundaryOffsetBlocks) = (lines, offset)
            }
            _ = drive.begin(firstBlock: first, bytes: Self.bytes(1, blocks), isForced: false)
            let isCut = (first + 1..<first + blocks).contains { ($0 - offset) % lines == 0 }
            #expect(PowerCut(drive).ways(upTo: 1 << 16) == (isCut ? 1 << blocks : 2))
          }
        }
      }
    }
  }

  @Test func aFlushServesWhatHadEndedWhenItArrived() {
    let drive = Self.drive { _ in }
    let first = drive.begin(firstBlock: 0, bytes: Self.bytes(1, 1), isForced: false)
    let second = drive.begin(firstBlock: 2, bytes: Self.bytes(2, 1), isForced: false)
    drive.end(first)
    let ended = drive.ended
    drive.end(second)
    drive.flush(ended)
    #expect(Self.images(drive) == [Self.image([0: 1]), Self.image([0: 1, 2: 2])])
  }

  /// What lies under a stable write never comes back over it.
  @Test func whatEndedLaterLiesAbove() {
    for isForced in [false, true] {
      let drive = Self.drive { _ in }
      let older = drive.begin(firstBlock: 0, bytes: Self.bytes(1, 2), isForced: false)
      drive.end(older)
      let newer = drive.begin(firstBlock: 1, bytes: Self.bytes(2, 1), isForced: isForced)
      drive.end(newer)
      #expect(drive.visible(firstBlock: 0, count: 1024) == Self.bytes(1, 1) + Self.bytes(2, 1))
      let kept: Set<[UInt8]> = [Self.image([1: 2]), Self.image([0: 1, 1: 2])]
      let lost: Set<[UInt8]> = [Self.image([:]), Self.image([0: 1, 1: 1])]
      #expect(Self.images(drive) == (isForced ? kept : kept.union(lost)))
    }
  }

  @Test func withoutACacheWhatHasEndedIsThere() {
    let drive = Self.drive { $0.hasVolatileCache = false }
    drive.end(drive.begin(firstBlock: 3, bytes: Self.bytes(9, 1), isForced: false))
    #expect(Self.images(drive) == [Self.image([3: 9])])
  }

  @Test func aCacheMayTearWhatHasEnded() {
    let drive = Self.drive { $0.tearsCached = true }
    let number = drive.begin(firstBlock: 0, bytes: Self.bytes(1, 2), isForced: false)
    #expect(Self.images(drive).count == 2)
    drive.end(number)
    #expect(Self.images(drive).count == 4)
    drive.flush(drive.ended)
    #expect(Self.images(drive) == [Self.image([0: 1, 1: 1])])
  }

  @Test func aFailedCommandWasDoneOrNot() {
    for isDone in [false, true] {
      let drive = Self.drive { _ in }
      drive.fail(
        drive.begin(firstBlock: 0, bytes: Self.bytes(1, 2), isForced: true),
        isDone: isDone
      )
      let all: Set<[UInt8]> = [Self.image([:]), Self.image([0: 1, 1: 1])]
      #expect(Self.images(drive) == (isDone ? all : [Self.image([:])]))
    }
  }

  /// What the library reads from the drive's pages is what the drive keeps, by every field.
  @Test func itsPagesSayWhatItKeeps() throws {
    for blocks in 1...5 {
      for (lines, offset) in [(0, 0), (8, 0), (6, 1), (5, 4)] {
        for isOfNamespace in [true, false] {
          let drive = Self.drive {
            $0.powerFailBlocks = blocks
            ($0.boundaryBlocks, $0.boundaryOffsetBlocks) = (lines, offset)
            $0.isOfNamespace = isOfNamespace
          }
          let limits = try #require(drive.limits)
          #expect(limits.powerFailBytes == UInt64(blocks * 512))
          // NAWUPF of 0 is no value: the controller's stands in.
          let isValue = isOfNamespace && blocks > 1
          #expect(limits.powerFailSource == (isValue ? .namespace : .controller))
          #expect(limits.powerFailBoundary?.sizeBytes ?? 0 == UInt64(lines * 512))
          #expect(limits.boundaryOffsetBytes == UInt64(offset * 512))
          #expect(limits.volatileWriteCache == true)
        }
      }
    }
  }
}
