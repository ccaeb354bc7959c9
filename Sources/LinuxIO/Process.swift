public import CNVMeAtomic
import Glibc
package import SystemPackage

/// Facts about the running kernel and this process.
public enum HostProcess {
  /// The corresponding system call is `uname(2)`.
  package static func kernelRelease() throws(Errno) -> String {
    var status: CInt = 0
    // SAFETY: the shim writes at most 256 bytes, the last of them NUL.
    let release = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      guard let base = buffer.baseAddress else { return "" }
      status = unsafe nvmeatomic_kernel_release(base, 256)
      guard status == 0 else { return "" }
      return unsafe String(cString: base)
    }
    _ = try kernelValue(status)
    return release
  }

  /// How long a file this process may make, in bytes. `RLIMIT_FSIZE` of `getrlimit(2)`.
  package static var fileSizeLimitBytes: UInt64 { nvmeatomic_file_size_limit() }

  /// Waits. The corresponding call is `usleep(3)`.
  package static func pause(milliseconds: UInt32) {
    usleep(milliseconds * 1000)
  }

  /// Time since some moment, in nanoseconds. `clock_gettime(2)` with `CLOCK_MONOTONIC`.
  @inlinable
  public static var monotonicNanoseconds: UInt64 { nvmeatomic_monotonic_nanoseconds() }

  /// Milliseconds since 1970, as far as the machine knows. `clock_gettime(2)`, `CLOCK_REALTIME`.
  package static var wallClockMilliseconds: UInt64 { nvmeatomic_wall_clock_milliseconds() }

  /// Time as of the last tick, for less. The corresponding clock is `CLOCK_MONOTONIC_COARSE`.
  package static var coarseNanoseconds: UInt64 { nvmeatomic_coarse_nanoseconds() }

  /// What this process has used so far. The corresponding system call is `getrusage(2)`.
  package static var processorNanoseconds: (user: UInt64, system: UInt64) {
    var (user, system): (UInt64, UInt64) = (0, 0)
    // SAFETY: the shim writes two 64-bit integers.
    unsafe nvmeatomic_processor_time(&user, &system)
    return (user, system)
  }

  /// From now on SIGINT, SIGTERM and SIGHUP end nothing and are noted: ``stopSignal``. SIGXFSZ and
  /// SIGPIPE are held back, so that a file size limit and a closed pipe are errors.
  package static func catchStopSignals() {
    _ = nvmeatomic_catch_stop_signals()
  }

  /// For the begin of a program: nothing that it opens becomes its standard output or error, where
  /// whoever started it had closed them, and a file size limit is an error, not a signal.
  package static func secureStandardDescriptors() throws(Errno) {
    nvmeatomic_ignore_file_size_signal()
    _ = try kernelValue(nvmeatomic_occupy_standard_descriptors())
  }

  /// What the program was called with, its own name first; what is not UTF-8 is replaced, and told.
  package static var arguments: (texts: [String], areUTF8: Bool) {
    var (texts, areUTF8): ([String], Bool) = ([], true)
    for place in 0..<nvmeatomic_argument_count() {
      // SAFETY: as many C strings as were counted, which last as long as the process.
      guard let argument = unsafe nvmeatomic_argument(place) else { break }
      areUTF8 = unsafe areUTF8 && String(validatingCString: argument) != nil
      unsafe texts.append(String(cString: argument))
    }
    return (texts, areUTF8)
  }

  /// Whether so much memory can be had, by address space and by what the machine has.
  ///
  /// The corresponding calls are `sysinfo(2)` and `mmap(2)`.
  package static func checkMemory(byteCount: UInt64) throws(Errno) {
    _ = try kernelValue(nvmeatomic_reserve_memory(byteCount))
  }

  /// Zeroed memory, which is taken from the machine page by page as it is touched.
  ///
  /// The corresponding call is `mmap(2)`.
  ///
  /// - Parameters:
  ///   - byteCount: A multiple of the alignment.
  ///   - alignmentBytes: Of where it begins: a power of two, and a multiple of the page.
  /// - Returns: Memory for ``unmapMemory(_:byteCount:)``.
  /// - Throws: `Errno.noMemory`, by address space; the machine's memory is not looked at.
  package static func mapMemory(
    byteCount: UInt64,
    alignmentBytes: UInt64
  ) throws(Errno) -> UnsafeMutableRawPointer {
    var memory: UnsafeMutableRawPointer?
    // SAFETY: the call stores a pointer where it succeeds.
    _ = unsafe try kernelValue(nvmeatomic_map_memory(byteCount, alignmentBytes, &memory))
    guard let memory = unsafe memory else { throw .noMemory }
    return unsafe memory
  }

  /// Gives it back.
  package static func unmapMemory(_ memory: UnsafeMutableRawPointer, byteCount: UInt64) {
    // SAFETY: the caller owns it.
    unsafe nvmeatomic_unmap_memory(memory, byteCount)
  }

  /// Whether so many descriptors, 32 at most, can be opened. The corresponding call is `fcntl(2)`.
  package static func checkDescriptors(count: Int32) throws(Errno) {
    _ = try kernelValue(nvmeatomic_has_descriptors(count))
  }

  /// The signal that asked for an end; 0 for none.
  package static var stopSignal: CInt { nvmeatomic_stop_signal() }

  /// Holds back SIGINT, SIGTERM, SIGHUP, SIGXFSZ and SIGPIPE until exit.
  package static func blockSignals() {
    _ = nvmeatomic_block_signals()
  }
}

/// What libblkid recognises on a block device.
package enum BlockSignature {
  /// The filesystem, RAID or partition-table signature, `nil` when there is none.
  ///
  /// The corresponding call is `blkid_do_safeprobe(3)`.
  package static func name(
    on descriptor: borrowing OwnedFileDescriptor
  ) throws(Errno) -> String? {
    var status: CInt = 0
    // SAFETY: the shim writes at most 128 bytes, the last of them NUL.
    let name = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
      guard let base = buffer.baseAddress else { return "" }
      status = unsafe nvmeatomic_signature(descriptor.rawValue, base, 128)
      guard status == 0 else { return "" }
      return unsafe String(cString: base)
    }
    _ = try kernelValue(status)
    return name.isEmpty ? nil : name
  }
}
