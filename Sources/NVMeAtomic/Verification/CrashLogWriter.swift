import LinuxIO
package import SystemPackage

/// Where the log of `verify crash` goes.
package enum CrashLogPlace: Hashable, Sendable {
  /// A file that is not there yet.
  case file(String)
  /// Another machine, which listens.
  case host(String, port: UInt16)
}

/// Writes the log of `verify crash`: on stable storage, or sent, when a call returns.
package final class CrashLogWriter: Sendable {
  private let sink: LogSink
  private let path: String?

  /// Makes the file, or connects.
  ///
  /// - Throws: What `open(2)` and `connect(2)` do; `EEXIST` for a file that is there, and `ENOENT`
  ///   where a host has no address.
  package init(_ place: CrashLogPlace) throws(Errno) {
    switch place {
    case .file(let path):
      sink = try LogSink(makingFile: FilePath(path))
      self.path = path
    case .host(let host, let port):
      sink = try LogSink(connectingTo: host, port: port)
      path = nil
    }
  }

  /// Whether it is sent, and to an address of this machine.
  package var isSentToThisMachine: Bool { sink.staysOnThisMachine }

  package func append(_ text: String) throws(Errno) { try sink.append(text) }

  package func append(_ bytes: [UInt8]) throws(Errno) { try sink.append(bytes) }

  /// Takes a file away that nothing was written to, as nothing was done.
  package func discard() {
    if let path { try? sink.removeName(FilePath(path)) }
  }
}
