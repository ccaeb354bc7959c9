import CNVMeAtomic
package import SystemPackage

/// The extended attribute `user.nvme-atomic`, by which a file names its journal.
extension OwnedFileDescriptor {
  /// What the attribute says; `nil` for a file without it.
  ///
  /// The corresponding system call is `fgetxattr(2)`; `ENOTSUP` where the filesystem has none.
  package func mark() throws(Errno) -> String? {
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try markBytes()
    } catch .noData {
      return nil
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func markBytes() throws(Errno) -> [UInt8] {
    var status: Int64 = 0
    // SAFETY: the shim stores at most so many bytes, and says how many.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
      status = unsafe nvmeatomic_mark(rawValue, buffer.baseAddress, buffer.count)
      count = max(0, Int(status))
    }
    _ = try kernelValue(status)
    return bytes
  }

  /// Sets it. The corresponding system call is `fsetxattr(2)`.
  package func setMark(_ value: String) throws(Errno) {
    let bytes = Array(value.utf8)
    // SAFETY: the bytes outlive the call.
    let status = unsafe bytes.withUnsafeBytes {
      unsafe nvmeatomic_set_mark(rawValue, $0.baseAddress, $0.count)
    }
    _ = try kernelValue(status)
  }

  /// Removes it. The corresponding system call is `fremovexattr(2)`.
  package func removeMark() throws(Errno) {
    _ = try kernelValue(nvmeatomic_remove_mark(rawValue))
  }
}

/// What tells a file from every other one, also from a copy of it and from what gets its inode
/// number after it.
package struct FileIdentity: Sendable {
  /// XFS's UUID, or `f_fsid` of `statfs(2)`; `nil` where neither says anything.
  package var filesystem: String?
  /// `FS_IOC_GETVERSION`; `nil` where the filesystem has none.
  package var generation: UInt32?

  /// The corresponding calls are `XFS_IOC_FSGEOMETRY`, `fstatfs(2)` and `FS_IOC_GETVERSION`.
  package init(of descriptor: borrowing OwnedFileDescriptor) throws(Errno) {
    var raw = nvmeatomic_filesystem()
    // SAFETY: the shim fills one structure.
    _ = try kernelValue(unsafe nvmeatomic_statfs(descriptor.rawValue, &raw))
    if raw.magic == FileSystemFacts.xfsMagic {
      // Its f_fsid is a device number.
      var geometry = nvmeatomic_xfs_geometry()
      // SAFETY: as above.
      _ = try kernelValue(unsafe nvmeatomic_xfs_geometry(descriptor.rawValue, &geometry))
      filesystem = Self.hex(geometry.uuid.0.byteSwapped) + Self.hex(geometry.uuid.1.byteSwapped)
    } else {
      var id: UInt64 = 0
      // SAFETY: the shim fills one integer.
      _ = try kernelValue(unsafe nvmeatomic_filesystem_id(descriptor.rawValue, &id))
      // That of ext2, 3 and 4 and of btrfs is of their UUID; others have a device number there.
      let isOfUUID = [FileSystemFacts.ext4Magic, 0x9123_683e].contains(raw.magic)
      filesystem = id == 0 || !isOfUUID ? nil : Self.hex(id)
    }
    var number: UInt32 = 0
    // SAFETY: as above.
    if unsafe nvmeatomic_inode_generation(descriptor.rawValue, &number) >= 0 { generation = number }
  }

  private static func hex(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// What a file that belongs to another one is made by.
extension OwnedFileDescriptor {
  /// Gives an empty file the owner, where this process may, and the permissions of another.
  ///
  /// The corresponding system calls are `fchown(2)` and `fchmod(2)`.
  package func copyOwner(of other: borrowing OwnedFileDescriptor) throws(Errno) {
    _ = try kernelValue(nvmeatomic_copy_owner(rawValue, other.rawValue))
  }

  /// Sets blocks of a range aside that are shared with no other file, so that writes there need no
  /// more space; the size stays.
  ///
  /// The corresponding system call is `fallocate(2)` with `FALLOC_FL_KEEP_SIZE` and, where the
  /// filesystem takes it, `FALLOC_FL_UNSHARE_RANGE`.
  package func reserve(_ range: Range<UInt64>) throws(Errno) {
    _ = try kernelValue(
      nvmeatomic_reserve(rawValue, Int64(range.lowerBound), Int64(range.count))
    )
  }

  /// Whether all of a file's blocks up to a size are its own and no other file's.
  ///
  /// The corresponding request is `FS_IOC_FIEMAP`; what is dirty is written first.
  package func isAllocated(byteCount: UInt64) throws(Errno) -> Bool {
    try kernelValue(nvmeatomic_is_allocated(rawValue, byteCount)) == 1
  }

  /// Has an empty file overwrite its blocks where its filesystem would write elsewhere: advice,
  /// whose failure changes nothing. The corresponding request is `FS_IOC_SETFLAGS`.
  package func overwriteInPlace() {
    _ = nvmeatomic_write_in_place(rawValue)
  }

  /// Opens a journal for direct reads and writes; a symbolic link is none.
  ///
  /// The corresponding system call is `open(2)` with `O_NOFOLLOW`.
  package init(openingJournal path: String, onlyReads: Bool) throws(Errno) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    self.init(adopting: try kernelValue(unsafe nvmeatomic_open_journal(path, onlyReads)))
  }

  /// Holds a name, which no other process can hold meanwhile, as long as the descriptor is open.
  ///
  /// The corresponding system calls are `socket(2)` and `bind(2)`, in the abstract namespace.
  package init(claiming name: String) throws(Errno) {
    let bytes = Array(name.utf8)
    // SAFETY: the bytes outlive the call.
    let status = unsafe bytes.withUnsafeBytes { bytes in
      unsafe nvmeatomic_claim_name(bytes.baseAddress, bytes.count)
    }
    self.init(adopting: try kernelValue(status))
  }

  /// Whether a file belongs to the owner of another, to root or to this process, and gives nobody
  /// more than that does. The corresponding system call is `fstat(2)`.
  package func isAsPrivate(as other: borrowing OwnedFileDescriptor) throws(Errno) -> Bool {
    try kernelValue(nvmeatomic_is_as_private(rawValue, other.rawValue)) == 1
  }

  /// Takes a name away if it is this file's; `ESTALE` if it is another's.
  ///
  /// The corresponding system call is `unlinkat(2)`.
  package func unlink(_ name: String, in directory: borrowing OwnedFileDescriptor) throws(Errno) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    _ = try kernelValue(unsafe nvmeatomic_unlink_same(directory.rawValue, name, rawValue))
  }

  /// Gives an unnamed file a name that nothing has yet. The corresponding call is `linkat(2)`.
  package func link(_ name: String, in directory: borrowing OwnedFileDescriptor) throws(Errno) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    _ = try kernelValue(unsafe nvmeatomic_link(rawValue, directory.rawValue, name))
  }

  /// Writes zeros from the begin on, by way of the page cache.
  package func writeZeros(byteCount: UInt64) throws(Errno) {
    let zeros = [UInt8](repeating: 0, count: 1 << 20)
    var done: UInt64 = 0
    while done < byteCount {
      let count = Int(min(byteCount - done, UInt64(zeros.count)))
      var failure: Errno?
      // SAFETY: the array outlives the call.
      unsafe zeros.withUnsafeBytes { bytes in
        do throws(Errno) {
          let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<count])
          done += UInt64(unsafe try write(piece, atBytes: Int64(done), []))
        } catch {
          failure = error
        }
      }
      if let failure { throw failure }
    }
  }
}
