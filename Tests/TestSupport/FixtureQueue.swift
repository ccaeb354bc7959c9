/// The attributes below `queue/` of a disk; `nil` is an attribute that does not exist.
package struct FixtureQueue: Sendable {
  package var atomicUnitMin: UInt64?
  package var atomicUnitMax: UInt64?
  package var atomicMax: UInt64?
  package var atomicBoundary: UInt64?
  package var logicalBlockSize: UInt64? = 512
  package var physicalBlockSize: UInt64? = 512
  package var maxSectorsKB: UInt64? = 1280
  package var maxHWSectorsKB: UInt64? = 1280
  package var maxSegments: UInt64? = 128
  package var chunkSectors: UInt64? = 0
  package var nomerges: UInt64? = 0
  package var writeCache: String? = "write through"

  package init(_ change: (inout FixtureQueue) -> Void = { _ in }) {
    change(&self)
  }

  /// A disk without atomic writes, on a kernel that knows them.
  package static var withoutAtomicWrites: FixtureQueue {
    FixtureQueue {
      ($0.atomicUnitMin, $0.atomicUnitMax, $0.atomicMax, $0.atomicBoundary) = (0, 0, 0, 0)
    }
  }

  var texts: [(name: String, text: String)] {
    let numbers: [(String, UInt64?)] = [
      ("atomic_write_unit_min_bytes", atomicUnitMin),
      ("atomic_write_unit_max_bytes", atomicUnitMax),
      ("atomic_write_max_bytes", atomicMax),
      ("atomic_write_boundary_bytes", atomicBoundary),
      ("logical_block_size", logicalBlockSize),
      ("physical_block_size", physicalBlockSize),
      ("max_sectors_kb", maxSectorsKB),
      ("max_hw_sectors_kb", maxHWSectorsKB),
      ("max_segments", maxSegments),
      ("chunk_sectors", chunkSectors),
      ("nomerges", nomerges),
    ]
    let present = numbers.compactMap { name, value in value.map { (name, "\($0)\n") } }
    return present + (writeCache.map { [("write_cache", "\($0)\n")] } ?? [])
  }
}

/// What a kernel release makes of a drive: `nvme_configure_atomic_write` and
/// `blk_atomic_writes_update_limits`, written down once more.
package struct FixtureKernel: Sendable {
  package var release: String
  var knowsAtomicWrites = true
  /// Linux 6.11 to 6.19 fall back to AWUPF; 7.0 and newer take one block.
  var trustsControllerField = false
  var segmentCap: UInt64 = 256
  var maxSectorsCapKB: UInt64 = 4096

  package static let linux6_10 = FixtureKernel(
    release: "6.10.14-amd64",
    knowsAtomicWrites: false,
    segmentCap: 128,
    maxSectorsCapKB: 1280
  )
  package static let linux6_12 = FixtureKernel(
    release: "6.12.107+deb13-amd64",
    trustsControllerField: true,
    segmentCap: 128,
    maxSectorsCapKB: 1280
  )
  /// The first releases with atomic writes on files.
  package static let linux6_14 = FixtureKernel(
    release: "6.14.11-amd64",
    trustsControllerField: true,
    segmentCap: 128,
    maxSectorsCapKB: 1280
  )
  package static let linux7_3 = FixtureKernel(release: "7.3.4+deb14-amd64")

  /// The queue of a namespace's disk.
  package func queue(of drive: FixtureDrive) -> FixtureQueue {
    let mdtsBytes: UInt64 = drive.mdts == 0 ? .max : 4096 << UInt64(drive.mdts)
    let transferBytes = min(mdtsBytes, 8 << 20)
    let segments = min(segmentCap, transferBytes / 4096 + 1)
    var queue = FixtureQueue {
      $0.logicalBlockSize = drive.lbaBytes
      $0.physicalBlockSize = drive.lbaBytes
      $0.maxHWSectorsKB = transferBytes / 1024
      $0.maxSectorsKB = min(transferBytes / 1024, maxSectorsCapKB)
      $0.maxSegments = segments
      $0.writeCache = drive.vwc & 1 != 0 ? "write back" : "write through"
    }
    guard knowsAtomicWrites else { return queue }
    let (unit, boundary) = driverLimits(drive)
    // The block layer refuses lines that are no power of two, or closer than the unit.
    let isUsable = unit > 0 && (boundary == 0 || isPowerOfTwo(boundary) && unit <= boundary)
    let guaranteed = min(segments, 2) * drive.lbaBytes + (max(segments, 2) - 2) * 4096
    let limit = powerOfTwoFloor(min(transferBytes, guaranteed))
    queue.atomicUnitMin = isUsable ? min(drive.lbaBytes, limit) : 0
    queue.atomicUnitMax = isUsable ? min(powerOfTwoFloor(unit), limit) : 0
    queue.atomicMax = isUsable ? min(unit, transferBytes) : 0
    queue.atomicBoundary = isUsable ? boundary : 0
    return queue
  }

  private func driverLimits(_ drive: FixtureDrive) -> (unit: UInt64, boundary: UInt64) {
    if drive.nabo != 0 { return (0, 0) }
    if drive.definesAtomicFields, drive.nawupf != 0 {
      let boundary = drive.nabspf == 0 ? 0 : (UInt64(drive.nabspf) + 1) * drive.lbaBytes
      return ((UInt64(drive.nawupf) + 1) * drive.lbaBytes, boundary)
    }
    return (trustsControllerField ? (UInt64(drive.awupf) + 1) * drive.lbaBytes : drive.lbaBytes, 0)
  }
}

func isPowerOfTwo(_ value: UInt64) -> Bool {
  value > 0 && value & (value - 1) == 0
}

func powerOfTwoFloor(_ value: UInt64) -> UInt64 {
  var power: UInt64 = 1
  while power <= value / 2 { power *= 2 }
  return value == 0 ? 0 : power
}
