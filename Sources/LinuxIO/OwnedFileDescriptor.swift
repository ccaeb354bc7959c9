import CNVMeAtomic
package import SystemPackage

/// How a path is opened. `O_CLOEXEC` is always added.
package struct OpenMode: OptionSet, Sendable {
  package let rawValue: CInt

  package init(rawValue: CInt) {
    self.rawValue = rawValue
  }

  package static let readOnly = OpenMode(rawValue: nvmeatomic_O_RDONLY)
  package static let readWrite = OpenMode(rawValue: nvmeatomic_O_RDWR)
  /// Bypasses the page cache. The corresponding C constant is `O_DIRECT`.
  package static let direct = OpenMode(rawValue: nvmeatomic_O_DIRECT)
  /// On a block device: fails with `EBUSY` while it is mounted or held. The constant is `O_EXCL`.
  package static let exclusive = OpenMode(rawValue: nvmeatomic_O_EXCL)
  /// Keeps a FIFO or a serial line from blocking the opener. The constant is `O_NONBLOCK`.
  package static let nonBlocking = OpenMode(rawValue: nvmeatomic_O_NONBLOCK)
}

/// A file descriptor with one owner; it is closed when the owner goes.
package struct OwnedFileDescriptor: ~Copyable {
  package let rawValue: CInt

  /// The corresponding system call is `open(2)`.
  package init(opening path: String, _ mode: OpenMode) throws(Errno) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    rawValue = try kernelValue(unsafe nvmeatomic_open(path, mode.rawValue))
  }

  /// An unnamed regular file, which vanishes on close.
  ///
  /// The corresponding system call is `open(2)` with `O_TMPFILE`.
  package init(unnamedFileIn directory: String) throws(Errno) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    rawValue = try kernelValue(unsafe nvmeatomic_open_unnamed(directory))
  }

  /// The same in a directory that is open.
  package init(unnamedFileIn directory: borrowing OwnedFileDescriptor) throws(Errno) {
    rawValue = try kernelValue(nvmeatomic_open_unnamed_in(directory.rawValue))
  }

  /// Takes a descriptor over that nobody else closes.
  init(adopting rawValue: CInt) {
    self.rawValue = rawValue
  }

  /// Gives an unnamed file a name that nothing has yet, and the permissions of any new file.
  ///
  /// The corresponding system calls are `fchmod(2)` and `linkat(2)`.
  package func giveName(
    _ name: String,
    in directory: borrowing OwnedFileDescriptor
  ) throws(Errno) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    _ = try kernelValue(unsafe nvmeatomic_give_name(rawValue, directory.rawValue, name))
  }

  /// Makes a file so long, with all its blocks. The corresponding call is `posix_fallocate(3)`.
  package func allocate(byteCount: Int64) throws(Errno) {
    _ = try kernelValue(nvmeatomic_allocate(rawValue, byteCount))
  }

  deinit {
    _ = nvmeatomic_close(rawValue)
  }

  /// The disk's sequence number. The corresponding request is `BLKGETDISKSEQ` (Linux 5.15).
  package func diskSequence() throws(Errno) -> UInt64 {
    var sequence: UInt64 = 0
    // SAFETY: the kernel writes one 64-bit integer, and `sequence` is one.
    _ = try kernelValue(unsafe nvmeatomic_disk_sequence(rawValue, &sequence))
    return sequence
  }

  /// The namespace id that the driver uses for an NVMe node. The request is `NVME_IOCTL_ID`.
  package func namespaceID() throws(Errno) -> UInt32 {
    UInt32(try kernelValue(nvmeatomic_nsid(rawValue)))
  }

  /// Writes a block device's dirty pages back, and drops its pages but for mapped ones.
  ///
  /// The corresponding calls are `fsync(2)` and `BLKFLSBUF`.
  package func writeBackAndDropPages() throws(Errno) {
    try synchronize()
    _ = try kernelValue(nvmeatomic_flush_buffers(rawValue))
  }

  /// Drops clean pages of a range from the page cache; dirty and mapped ones stay.
  ///
  /// The corresponding call is `posix_fadvise(3)` with `POSIX_FADV_DONTNEED`.
  package func dropPages(offset: Int64, count: Int64) throws(Errno) {
    _ = try kernelValue(nvmeatomic_drop_pages(rawValue, offset, count))
  }

  /// Reads up to `buffer.count` bytes at the current position; 0 at the end.
  ///
  /// The corresponding system call is `read(2)`. Interrupted calls are repeated.
  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
    while true {
      // SAFETY: pointer and count come from one buffer.
      let result = unsafe nvmeatomic_read(rawValue, buffer.baseAddress, buffer.count)
      if result == -Int64(Errno.interrupted.rawValue) { continue }
      return Int(try kernelValue(result))
    }
  }

  /// Writes `bytes` with one call; returns what the kernel accepted. Never repeated.
  ///
  /// The corresponding system call is `pwritev2(2)` with one segment.
  package func write(
    _ bytes: UnsafeRawBufferPointer,
    atBytes offset: Int64,
    _ flags: WriteFlags
  ) throws(Errno) -> Int {
    // SAFETY: pointer and count come from one buffer, which the caller keeps alive.
    let result = unsafe nvmeatomic_pwritev2(
      rawValue,
      bytes.baseAddress,
      bytes.count,
      offset,
      flags.rawValue
    )
    return Int(try kernelValue(result))
  }

  /// Reads from `offset` on by one call; returns what the kernel gave.
  ///
  /// The corresponding system call is `pread(2)`. Interrupted calls are repeated.
  package func readOnce(
    into buffer: UnsafeMutableRawBufferPointer,
    atBytes offset: Int64
  ) throws(Errno) -> Int {
    while true {
      // SAFETY: pointer and count come from one buffer.
      let result = unsafe nvmeatomic_pread(rawValue, buffer.baseAddress, buffer.count, offset)
      if result == -Int64(Errno.interrupted.rawValue) { continue }
      return Int(try kernelValue(result))
    }
  }

  /// Whether reads and writes take `RWF_NOWAIT`. The corresponding system call is `preadv2(2)`.
  package func takesNoWait() throws(Errno) -> Bool {
    try kernelValue(nvmeatomic_takes_nowait(rawValue)) == 1
  }

  /// Has the whole filesystem written out. The corresponding system call is `syncfs(2)`.
  package func synchronizeFileSystem() throws(Errno) {
    _ = try kernelValue(nvmeatomic_syncfs(rawValue))
  }

  /// The corresponding system call is `fsync(2)`.
  package func synchronize() throws(Errno) {
    _ = try kernelValue(nvmeatomic_fsync(rawValue))
  }
}

/// Flags of one write. The corresponding C constants are `RWF_*`.
package struct WriteFlags: OptionSet, Sendable {
  package let rawValue: CInt

  package init(rawValue: CInt) {
    self.rawValue = rawValue
  }

  /// `RWF_NOWAIT` (Linux 4.13): fails with `EAGAIN` instead of waiting.
  package static let noWait = WriteFlags(rawValue: NVMEATOMIC_RWF_NOWAIT)
  /// `RWF_DSYNC` (Linux 4.7): durable when the call returns.
  package static let dataSync = WriteFlags(rawValue: NVMEATOMIC_RWF_DSYNC)
  /// `RWF_ATOMIC` (Linux 6.11): all of it or nothing survives a power failure.
  package static let atomic = WriteFlags(rawValue: NVMEATOMIC_RWF_ATOMIC)
}
