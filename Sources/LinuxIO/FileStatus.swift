import CNVMeAtomic
package import SystemPackage

/// A device number. Linux `dev_t`, kept as the two numbers that sysfs spells `MAJOR:MINOR`.
package struct DeviceNumber: Hashable, Sendable, CustomStringConvertible {
  package let major: UInt32
  package let minor: UInt32

  package init(major: UInt32, minor: UInt32) {
    self.major = major
    self.minor = minor
  }

  package var description: String { "\(major):\(minor)" }
}

/// What `statx(2)` says of one path: identity, and the atomic write fields of Linux 6.11 to 6.16.
package struct FileStatus: Sendable, Equatable {
  package enum Kind: Sendable {
    case regular, directory, blockDevice, characterDevice, other
  }

  package var kind: Kind
  package var inode: UInt64
  /// `stx_btime`; `nil` where the filesystem does not keep it.
  package var birth: Time?
  package var sizeBytes: UInt64
  /// `stx_blocks`, which counts 512 bytes each: on XFS also blocks set aside for copies.
  package var allocatedBytes: UInt64?
  /// The device a file lies on.
  package var device: DeviceNumber
  /// The device a device node stands for.
  package var representedDevice: DeviceNumber
  /// `stx_mnt_id`, the first column of `/proc/self/mountinfo` (Linux 5.8).
  package var mountID: UInt64?
  /// `nil` when the kernel does not know `STATX_DIOALIGN` (before Linux 6.1) or the file has none.
  package var directIO: DirectIOAlignment?
  /// `nil` when the kernel does not report `STATX_WRITE_ATOMIC` for this file.
  package var atomicWrite: AtomicWriteFields?

  /// Seconds and nanoseconds.
  package struct Time: Sendable, Hashable {
    package var seconds: UInt64
    package var nanoseconds: UInt64
  }

  /// Alignment, in bytes, that `O_DIRECT` wants. `offsetBytes` is 0 where there is no direct I/O.
  package struct DirectIOAlignment: Sendable, Equatable {
    package var memoryBytes: UInt32
    package var offsetBytes: UInt32
    /// What reads want (Linux 6.14); `nil` where it is not told. On XFS it is less than writes want
    /// once the file has shared blocks.
    package var readOffsetBytes: UInt32?

    package init(memoryBytes: UInt32, offsetBytes: UInt32) {
      self.memoryBytes = memoryBytes
      self.offsetBytes = offsetBytes
    }
  }

  /// `stx_atomic_write_*`, bytes but for the segment count; all 0 where the attribute bit is unset.
  package struct AtomicWriteFields: Sendable, Equatable {
    package var unitMin: UInt32
    package var unitMax: UInt32
    package var unitMaxOpt: UInt32
    package var segmentsMax: UInt32

    package init(unitMin: UInt32, unitMax: UInt32, unitMaxOpt: UInt32, segmentsMax: UInt32) {
      self.unitMin = unitMin
      self.unitMax = unitMax
      self.unitMaxOpt = unitMaxOpt
      self.segmentsMax = segmentsMax
    }
  }

  package init(
    kind: Kind,
    inode: UInt64 = 0,
    sizeBytes: UInt64 = 0,
    device: DeviceNumber,
    representedDevice: DeviceNumber,
    mountID: UInt64? = nil,
    directIO: DirectIOAlignment? = nil,
    atomicWrite: AtomicWriteFields? = nil
  ) {
    self.kind = kind
    self.inode = inode
    self.sizeBytes = sizeBytes
    self.device = device
    self.representedDevice = representedDevice
    self.mountID = mountID
    self.directIO = directIO
    self.atomicWrite = atomicWrite
  }

  /// Follows symbolic links. The corresponding system call is `statx(2)`.
  package init(of path: String) throws(Errno) {
    var raw = nvmeatomic_statx()
    // SAFETY: the kernel fills one structure of the size pinned in statx.c.
    _ = try kernelValue(unsafe nvmeatomic_statx_path(path, &raw))
    self.init(raw)
  }

  /// The corresponding system call is `statx(2)` with `AT_EMPTY_PATH`.
  package init(of descriptor: borrowing OwnedFileDescriptor) throws(Errno) {
    var raw = nvmeatomic_statx()
    // SAFETY: the kernel fills one structure of the size pinned in statx.c.
    _ = try kernelValue(unsafe nvmeatomic_statx_descriptor(descriptor.rawValue, &raw))
    self.init(raw)
  }

  private init(_ raw: nvmeatomic_statx) {
    kind =
      switch raw.mode & 0xf000 {
      case 0x8000: .regular
      case 0x4000: .directory
      case 0x6000: .blockDevice
      case 0x2000: .characterDevice
      default: .other
      }
    inode = raw.ino
    if raw.mask & NVMEATOMIC_STATX_BTIME != 0 {
      birth = Time(seconds: raw.btime_seconds, nanoseconds: raw.btime_nanoseconds)
    }
    sizeBytes = raw.size
    if raw.mask & NVMEATOMIC_STATX_BLOCKS != 0 {
      let (bytes, overflow) = raw.blocks.multipliedReportingOverflow(by: 512)
      allocatedBytes = overflow ? nil : bytes
    }
    device = DeviceNumber(major: raw.dev_major, minor: raw.dev_minor)
    representedDevice = DeviceNumber(major: raw.rdev_major, minor: raw.rdev_minor)
    mountID = raw.mask & NVMEATOMIC_STATX_MNT_ID != 0 ? raw.mnt_id : nil
    if raw.mask & NVMEATOMIC_STATX_DIOALIGN != 0 {
      directIO = DirectIOAlignment(
        memoryBytes: raw.dio_mem_align,
        offsetBytes: raw.dio_offset_align
      )
      if raw.mask & NVMEATOMIC_STATX_DIO_READ_ALIGN != 0 {
        directIO?.readOffsetBytes = raw.dio_read_offset_align
      }
    }
    if raw.mask & NVMEATOMIC_STATX_WRITE_ATOMIC != 0 {
      let offered = raw.attributes & NVMEATOMIC_STATX_ATTR_WRITE_ATOMIC != 0
      atomicWrite = AtomicWriteFields(
        unitMin: offered ? raw.atomic_write_unit_min : 0,
        unitMax: offered ? raw.atomic_write_unit_max : 0,
        unitMaxOpt: offered ? raw.atomic_write_unit_max_opt : 0,
        segmentsMax: offered ? raw.atomic_write_segments_max : 0
      )
    }
  }
}
