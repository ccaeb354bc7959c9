import CNVMeAtomic
package import SystemPackage

/// Holds threads back until it is opened, once: a pipe that nobody writes to.
///
/// The corresponding system calls are `pipe2(2)` and `read(2)`.
package final class Gate: Sendable {
  private let readEnd: OwnedFileDescriptor
  private let writeEnd: Locked<OwnedFileDescriptor?>

  package init() throws(Errno) {
    var ends: (CInt, CInt) = (-1, -1)
    // SAFETY: the memory is lent for the call.
    let status = unsafe withUnsafeMutableBytes(of: &ends) { bytes in
      // SAFETY: two integers, which the shim fills.
      unsafe nvmeatomic_pipe(bytes.baseAddress?.assumingMemoryBound(to: CInt.self))
    }
    _ = try kernelValue(status)
    readEnd = OwnedFileDescriptor(adopting: ends.0)
    writeEnd = Locked(OwnedFileDescriptor(adopting: ends.1))
  }

  /// Lets everybody pass, from now on.
  package func open() {
    writeEnd.withLock { $0 = nil }
  }

  /// Returns when it is open.
  package func wait() {
    var byte: UInt8 = 0
    // SAFETY: one byte, which nothing is ever read into: the end of the pipe is waited for.
    _ = unsafe withUnsafeMutableBytes(of: &byte) { unsafe try? readEnd.read(into: $0) }
  }
}
