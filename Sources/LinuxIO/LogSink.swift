import CNVMeAtomic
package import SystemPackage

/// Where a log goes that is to be read after this machine has lost its power: a file, or another
/// machine. Several threads may append; each text stays in one piece.
package final class LogSink: Sendable {
  private let descriptor: Locked<OwnedFileDescriptor>
  /// Whether it is sent rather than kept here.
  package let isSent: Bool

  private init(_ descriptor: consuming OwnedFileDescriptor, isSent: Bool) {
    self.descriptor = Locked(descriptor)
    self.isSent = isSent
  }

  /// A new file, whose name is on stable storage too, and each text when it was appended.
  ///
  /// The corresponding system call is `open(2)` with `O_EXCL` and `O_DSYNC`.
  package convenience init(makingFile path: FilePath) throws(Errno) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    let descriptor = OwnedFileDescriptor(
      adopting: try kernelValue(unsafe nvmeatomic_create_log(path.string))
    )
    let parent = path.removingLastComponent()
    try descriptor.synchronize()
    try OwnedFileDescriptor(opening: parent.isEmpty ? "." : parent.string, .readOnly).synchronize()
    self.init(descriptor, isSent: false)
  }

  /// Another machine that listens. Texts are sent at once; what was sent may not have arrived.
  ///
  /// The corresponding calls are `getaddrinfo(3)` and `connect(2)`; `ENOENT` where the host has no
  /// address.
  package convenience init(connectingTo host: String, port: UInt16) throws(Errno) {
    // SAFETY: the string is NUL-terminated and outlives the call.
    let descriptor = try kernelValue(unsafe nvmeatomic_connect(host, port))
    self.init(OwnedFileDescriptor(adopting: descriptor), isSent: true)
  }

  /// Whether it is sent to an address of this machine. The corresponding system calls are
  /// `getpeername(2)` and `bind(2)`.
  package var staysOnThisMachine: Bool {
    isSent && descriptor.withLock { nvmeatomic_is_own_peer($0.rawValue) == 1 }
  }

  /// Appends a text. The corresponding system calls are `write(2)` and `send(2)`.
  ///
  /// - Throws: `ETIMEDOUT` where the other machine takes nothing for ten seconds. Some of the text
  ///   may be there.
  package func append(_ text: String) throws(Errno) {
    try append(Array(text.utf8))
  }

  /// Appends bytes; see ``append(_:)-(String)``.
  package func append(_ bytes: [UInt8]) throws(Errno) {
    let status = descriptor.withLock { descriptor in
      // SAFETY: the bytes outlive the call.
      unsafe bytes.withUnsafeBytes { bytes in
        unsafe nvmeatomic_append(
          descriptor.rawValue,
          bytes.baseAddress,
          bytes.count,
          isSent ? 1 : 0
        )
      }
    }
    _ = try kernelValue(status)
  }
}

extension LogSink {
  /// Takes the name of a file away, if it is still that of this one.
  package func removeName(_ path: FilePath) throws(Errno) {
    guard let name = path.lastComponent else { return }
    let parent = path.removingLastComponent()
    let directory = try OwnedFileDescriptor(
      opening: parent.isEmpty ? "." : parent.string,
      .readOnly
    )
    var failure: Errno?
    descriptor.withLock { descriptor in
      do throws(Errno) {
        try descriptor.unlink(name.string, in: directory)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }
}

/// Takes connections of other machines, one after the other.
package struct LogListener: ~Copyable {
  private let descriptor: OwnedFileDescriptor

  /// The corresponding system call is `listen(2)`, on all addresses.
  package init(port: UInt16) throws(Errno) {
    descriptor = OwnedFileDescriptor(adopting: try kernelValue(nvmeatomic_listen(port)))
  }

  /// The next connection; `nil` where none has come within the time.
  package func accept(waitingMilliseconds time: Int32) throws(Errno) -> OwnedFileDescriptor? {
    guard try descriptor.isReadable(withinMilliseconds: time) else { return nil }
    return OwnedFileDescriptor(
      adopting: try kernelValue(nvmeatomic_accept(descriptor.rawValue))
    )
  }
}

extension OwnedFileDescriptor {
  /// Whether there is something to read, or the end of it. The system call is `poll(2)`.
  package func isReadable(withinMilliseconds time: Int32) throws(Errno) -> Bool {
    try kernelValue(nvmeatomic_wait_readable(rawValue, time)) == 1
  }
}
