import LinuxIO
package import SystemPackage

/// A file with no name yet, which vanishes with its owner: nothing is left of what came to nothing,
/// not even where the process is ended, and nobody else's file can be mistaken for it.
package struct NewFile: ~Copyable {
  private let file: OwnedFileDescriptor
  /// That the name will be in, whatever the path to it leads to by then.
  private let folder: OwnedFileDescriptor
  private let name: String

  /// Makes one in a folder, with all its blocks, on stable storage.
  ///
  /// - Throws: `EOPNOTSUPP` or `EISDIR` where the filesystem has no such files.
  package init(_ path: FilePath, sizeBytes: Int64) throws(Errno) {
    guard let name = path.lastComponent, name.kind == .regular else { throw .isDirectory }
    let parent = path.removingLastComponent()
    let folder = try OwnedFileDescriptor(
      opening: parent.isEmpty ? "." : parent.string,
      .readOnly
    )
    let file = try OwnedFileDescriptor(unnamedFileIn: folder)
    try file.allocate(byteCount: sizeBytes)
    try file.synchronize()
    self.name = name.string
    self.folder = folder
    self.file = file
  }

  /// A path that leads to it as long as it lives, in this process.
  package var path: String { "/proc/self/fd/\(file.rawValue)" }

  /// Gives it its name, by which it stays.
  ///
  /// - Throws: `EEXIST` where something has that name; it has none then.
  package func giveName() throws(Errno) {
    try file.giveName(name, in: folder)
  }

  /// Makes the name survive a power failure.
  package func synchronizeName() throws(Errno) {
    try file.synchronize()
    try folder.synchronize()
  }
}
