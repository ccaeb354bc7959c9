import LinuxIO
package import SystemPackage

/// A file with no name yet, which vanishes with its owner: nothing is left of what came to nothing,
/// not even where the process is ended, and nobody else's file can be mistaken for it.
package struct NewFile: ~Copyable {
  private let file: OwnedFileDescriptor
  private let folder: OwnedFileDescriptor

  /// Makes one in a folder, with all its blocks, on stable storage.
  ///
  /// - Throws: `EOPNOTSUPP` or `EISDIR` where the filesystem has no such files.
  package init(in folder: FilePath, sizeBytes: Int64) throws(Errno) {
    let path = folder.isEmpty ? "." : folder.string
    let folder = try OwnedFileDescriptor(opening: path, .readOnly)
    let file = try OwnedFileDescriptor(unnamedFileIn: path, permissions: 0o666)
    try file.allocate(byteCount: sizeBytes)
    try file.synchronize()
    self.folder = folder
    self.file = file
  }

  /// A path that leads to it as long as it lives, in this process.
  package var path: String { "/proc/self/fd/\(file.rawValue)" }

  /// Gives it a name, by which it stays.
  ///
  /// - Throws: `EEXIST` where something has that name; it has none then.
  package func giveName(_ path: String) throws(Errno) {
    try file.giveName(path)
  }

  /// Makes the name survive a power failure.
  package func synchronizeName() throws(Errno) {
    try folder.synchronize()
  }
}
