/// The block layer's limits of the disk that backs a target: `/sys/block/DISK/queue/`.
///
/// Names are the kernel's; an attribute that could not be read, or that this kernel lacks, is
/// `nil`. `Documentation/ABI/stable/sysfs-block`.
public struct QueueLimits: Hashable, Sendable {
  /// `atomic_write_unit_min_bytes` (Linux 6.11).
  public var atomicWriteUnitMinBytes: UInt64?
  /// `atomic_write_unit_max_bytes` (Linux 6.11).
  public var atomicWriteUnitMaxBytes: UInt64?
  /// `atomic_write_max_bytes` (Linux 6.11): what merging may build.
  public var atomicWriteMaxBytes: UInt64?
  /// `atomic_write_boundary_bytes` (Linux 6.11); 0 is none.
  public var atomicWriteBoundaryBytes: UInt64?
  /// `logical_block_size`, bytes.
  public var logicalBlockSize: UInt64?
  /// `physical_block_size`, bytes.
  public var physicalBlockSize: UInt64?
  /// `max_sectors_kb`, KiB: where the block layer splits ordinary requests. Writable.
  public var maxSectorsKB: UInt64?
  /// `max_hw_sectors_kb`, KiB: what the driver takes in one command.
  public var maxHWSectorsKB: UInt64?
  /// `max_segments`: scattered pages in one command.
  public var maxSegments: UInt64?
  /// `chunk_sectors`, 512-byte sectors: lines that ordinary requests are split at; 0 is none.
  public var chunkSectors: UInt64?
  /// `nomerges`: 0 merges neighbours, 1 only simple ones, 2 never. Writable.
  public var nomerges: UInt64?
  /// `write_cache` says `write back`: the kernel sends flushes.
  public var writeBack: Bool?

  /// Nothing known.
  public init() {}

  /// Only what another queue that the same requests pass through says too.
  public func agreeing(with other: QueueLimits) -> QueueLimits {
    var both = self
    func keep<Value: Equatable>(_ field: WritableKeyPath<QueueLimits, Value?>) {
      if self[keyPath: field] != other[keyPath: field] { both[keyPath: field] = nil }
    }
    keep(\.atomicWriteUnitMinBytes)
    keep(\.atomicWriteUnitMaxBytes)
    keep(\.atomicWriteMaxBytes)
    keep(\.atomicWriteBoundaryBytes)
    keep(\.logicalBlockSize)
    keep(\.physicalBlockSize)
    keep(\.maxSectorsKB)
    keep(\.maxHWSectorsKB)
    keep(\.maxSegments)
    keep(\.chunkSectors)
    keep(\.nomerges)
    keep(\.writeBack)
    return both
  }
}

/// What `statx(2)` reports for the target itself.
///
/// Names are the kernel's without `stx_`; `nil` where the kernel does not report the field.
public struct StatxLimits: Hashable, Sendable {
  /// `stx_atomic_write_unit_min`, bytes (Linux 6.11).
  public var atomicWriteUnitMin: UInt32?
  /// `stx_atomic_write_unit_max`, bytes (Linux 6.11).
  public var atomicWriteUnitMax: UInt32?
  /// `stx_atomic_write_unit_max_opt`, bytes (Linux 6.16): above it XFS works in software.
  public var atomicWriteUnitMaxOpt: UInt32?
  /// `stx_atomic_write_segments_max`.
  public var atomicWriteSegmentsMax: UInt32?
  /// `stx_dio_mem_align`, bytes.
  public var dioMemAlign: UInt32?
  /// `stx_dio_offset_align`, bytes; 0 where the file takes no direct I/O.
  public var dioOffsetAlign: UInt32?

  /// Nothing known.
  public init() {}

  /// Whether the kernel accepts `RWF_ATOMIC` for this target at all.
  ///
  /// Direct I/O counts: ext4 with journalled data advertises atomic writes, takes them, and does
  /// not keep them; `stx_dio_offset_align` is 0 exactly there.
  public var acceptsAtomicWrites: Bool {
    (atomicWriteUnitMax ?? 0) > 0 && (dioOffsetAlign ?? 0) > 0
  }
}
