import CNVMeAtomic
package import SystemPackage

/// What a filesystem says of itself through an open descriptor.
package struct FileSystemFacts: Sendable, Equatable {
  /// `f_type` of `statfs(2)`.
  package var magic: Int64
  /// `f_bsize` of `statfs(2)`, bytes.
  package var blockSizeBytes: UInt32
  /// XFS only: made with reflink; `nil` elsewhere.
  package var reflink: Bool?
  /// XFS only: made with `exchange=1`; `nil` elsewhere.
  package var exchangeRange: Bool?
  /// XFS only: the log lies on another device.
  package var externalLog: Bool?
  /// ext4 only: the file maps by extents.
  package var extents: Bool?
  /// XFS only: bytes of what a file's blocks are exchanged by, a real-time extent where its data
  /// lie on the real-time device.
  package var exchangeUnitBytes: UInt64?
  /// The file's data lie on XFS's real-time device. `nil` where the question has no answer.
  package var realtime: Bool?

  package static let xfsMagic: Int64 = 0x5846_5342
  package static let ext4Magic: Int64 = 0xef53

  package init(
    magic: Int64,
    blockSizeBytes: UInt32,
    reflink: Bool? = nil,
    exchangeRange: Bool? = nil,
    realtime: Bool? = nil
  ) {
    self.magic = magic
    self.blockSizeBytes = blockSizeBytes
    self.reflink = reflink
    self.exchangeRange = exchangeRange
    self.realtime = realtime
  }

  /// The corresponding calls are `fstatfs(2)`, `XFS_IOC_FSGEOMETRY` and `FS_IOC_FSGETXATTR`.
  package init(of descriptor: borrowing OwnedFileDescriptor) throws(Errno) {
    var raw = nvmeatomic_filesystem()
    // SAFETY: the shim fills one structure.
    _ = try kernelValue(unsafe nvmeatomic_statfs(descriptor.rawValue, &raw))
    self.init(magic: raw.magic, blockSizeBytes: raw.block_size)
    if magic == Self.ext4Magic {
      var flags: UInt32 = 0
      // SAFETY: the shim fills one integer.
      _ = try kernelValue(unsafe nvmeatomic_inode_flags(descriptor.rawValue, &flags))
      extents = flags & 0x80000 != 0
    }
    guard magic == Self.xfsMagic else { return }
    var geometry = nvmeatomic_xfs_geometry()
    // SAFETY: the shim fills one structure, and one integer.
    _ = try kernelValue(unsafe nvmeatomic_xfs_geometry(descriptor.rawValue, &geometry))
    blockSizeBytes = geometry.block_size
    reflink = geometry.flags & NVMEATOMIC_XFS_GEOM_REFLINK != 0
    externalLog = geometry.log_start == 0
    exchangeRange = geometry.flags & NVMEATOMIC_XFS_GEOM_EXCHANGE_RANGE != 0
    var flags: UInt32 = 0
    // SAFETY: as above.
    _ = try kernelValue(unsafe nvmeatomic_extended_flags(descriptor.rawValue, &flags))
    realtime = flags & 1 != 0
    let blocks = realtime == true ? max(geometry.realtime_extent, 1) : 1
    exchangeUnitBytes = UInt64(blocks) * UInt64(geometry.block_size)
  }
}
