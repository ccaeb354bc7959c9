import CNVMeAtomic
package import SystemPackage

/// How two files' blocks are exchanged. The corresponding C constants are `XFS_EXCHANGE_RANGE_*`.
package struct ExchangeFlags: OptionSet, Sendable {
  package let rawValue: UInt64

  package init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  /// To the end of the longer file, and their sizes with it.
  package static let toEnd = ExchangeFlags(rawValue: NVMEATOMIC_EXCHANGE_TO_EOF)
  /// Durable when the call returns.
  package static let dataSync = ExchangeFlags(rawValue: NVMEATOMIC_EXCHANGE_DSYNC)
  /// Only blocks that the staging file has written.
  package static let writtenOnly = ExchangeFlags(rawValue: NVMEATOMIC_EXCHANGE_FILE1_WRITTEN)
}

extension OwnedFileDescriptor {
  /// Exchanges blocks of one range with those of another file of the same mount, all or none.
  ///
  /// The corresponding request is `XFS_IOC_EXCHANGE_RANGE` (Linux 6.10).
  package func exchange(
    with staging: borrowing OwnedFileDescriptor,
    offset: Int64,
    length: Int64,
    _ flags: ExchangeFlags
  ) throws(Errno) {
    _ = try kernelValue(
      nvmeatomic_exchange_range(rawValue, staging.rawValue, offset, length, flags.rawValue)
    )
  }

  /// Makes a file so long. The corresponding system call is `ftruncate(2)`.
  package func setSize(_ bytes: Int64) throws(Errno) {
    _ = try kernelValue(nvmeatomic_set_size(rawValue, bytes))
  }

  /// Reads up to `buffer.count` bytes from `offset` on; fewer at the end of the file only.
  ///
  /// The corresponding system call is `pread(2)`. Interrupted calls are repeated.
  package func readAll(
    into buffer: UnsafeMutableRawBufferPointer,
    atBytes offset: Int64
  ) throws(Errno) -> Int {
    guard let base = buffer.baseAddress else { return 0 }
    var done = 0
    while done < buffer.count {
      // SAFETY: within the buffer.
      let result = unsafe nvmeatomic_pread(
        rawValue,
        base + done,
        buffer.count - done,
        offset + Int64(done)
      )
      if result == -Int64(Errno.interrupted.rawValue) { continue }
      let got = Int(try kernelValue(result))
      if got == 0 { break }
      done += got
    }
    return done
  }

  /// Writes all of `bytes`, by as many calls as it takes.
  ///
  /// The corresponding system call is `pwritev2(2)`. Interrupted calls are repeated.
  package func writeAll(
    _ bytes: UnsafeRawBufferPointer,
    atBytes offset: Int64
  ) throws(Errno) {
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      // SAFETY: within the bytes, which the caller keeps alive.
      let result = unsafe nvmeatomic_pwritev2(
        rawValue,
        base + done,
        bytes.count - done,
        offset + Int64(done),
        0
      )
      if result == -Int64(Errno.interrupted.rawValue) { continue }
      let written = Int(try kernelValue(result))
      guard written > 0 else { throw .ioError }
      done += written
    }
  }

  /// Begins to write a range's dirty pages to the device, and does not wait for them.
  ///
  /// The corresponding system call is `sync_file_range(2)`.
  package func startWritingBack(offset: Int64, count: Int64) throws(Errno) {
    _ = try kernelValue(nvmeatomic_start_writing_back(rawValue, offset, count))
  }

  /// Writes all dirty pages to the device, whose cache is not flushed.
  ///
  /// The corresponding system call is `sync_file_range(2)`.
  package func writeBack() throws(Errno) {
    _ = try kernelValue(nvmeatomic_write_back(rawValue))
  }

  /// Has an empty file of XFS keep its data where another one does.
  ///
  /// The corresponding request is `FS_IOC_FSSETXATTR`.
  package func followRealtime(of other: borrowing OwnedFileDescriptor) throws(Errno) {
    _ = try kernelValue(nvmeatomic_follow_realtime(rawValue, other.rawValue))
  }

  /// Has XFS leave blocks that the file has behind its end, by allocating those of a range that are
  /// missing. Once is enough for a file.
  ///
  /// The corresponding calls are `FS_IOC_FSGETXATTR` and `fallocate(2)`.
  package func keepBlocksBehindEnd(allocating range: Range<Int64>) throws(Errno) {
    let length = range.upperBound - range.lowerBound
    _ = try kernelValue(nvmeatomic_keep_blocks_behind_end(rawValue, range.lowerBound, length))
  }

  /// Whether a write takes set-user-id, set-group-id or capabilities from the file.
  ///
  /// The corresponding system calls are `fstat(2)` and `fgetxattr(2)`.
  package func hasPrivileges() throws(Errno) -> Bool {
    try kernelValue(nvmeatomic_has_privileges(rawValue)) == 1
  }

  /// What the descriptor leads to, by its name of now. The corresponding call is `readlink(2)`.
  package func currentPath() throws(Errno) -> String {
    // SAFETY: pointer and capacity describe one buffer.
    let bytes = unsafe try Directory.filled(capacity: 4097) { pointer, capacity in
      unsafe nvmeatomic_readlink("/proc/self/fd/\(rawValue)", pointer, capacity)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
