package import LinuxIO
package import SystemPackage

/// The machine as a probe sees it: every question that discovery asks the kernel or a drive.
///
/// Tests replace it; the code above it never knows.
package protocol Machine {
  associatedtype Node: NVMeAdminNode

  /// `uname(2)`.
  func kernelRelease() throws(Errno) -> String
  /// `statx(2)`, symbolic links followed.
  func status(of path: String) throws(Errno) -> FileStatus
  /// What a file made in this directory now would be, and its filesystem. Leaves nothing behind.
  func newFile(in directory: String) throws(Errno) -> (FileStatus, FileSystemFacts)
  /// The filesystem below an existing file.
  func fileSystem(of path: String) throws(Errno) -> FileSystemFacts
  /// Where a range of a file lies; with `countsWholeFile` also what all of it takes.
  func extents(
    of path: String,
    offsetBytes: UInt64,
    lengthBytes: UInt64,
    countsWholeFile: Bool
  ) throws(Errno) -> ExtentMap
  /// A whole attribute of sysfs or table of procfs.
  func text(of path: String) throws(Errno) -> String
  /// The names in a directory, sorted.
  func names(in path: String) throws(Errno) -> [String]
  /// `realpath(3)`.
  func canonicalPath(of path: String) throws(Errno) -> String
  /// The live table of a device-mapper device.
  func deviceMapperTable(of device: DeviceNumber) throws(Errno) -> String
  /// Opens an NVMe node for admin commands.
  func openNode(_ path: String) throws(Errno) -> Node
}

/// An open NVMe node.
package protocol NVMeAdminNode {
  /// What the open descriptor stands for.
  func status() throws(Errno) -> FileStatus
  /// `NVME_IOCTL_ID`.
  func namespaceID() throws(Errno) -> UInt32
  /// `BLKGETDISKSEQ`; fails on a character device.
  func diskSequence() throws(Errno) -> UInt64
  /// Identify with CNS 01h.
  func identifyController() throws(PassthroughError) -> [UInt8]
  /// Identify with CNS 00h.
  func identifyNamespace(_ nsid: UInt32) throws(PassthroughError) -> [UInt8]
  /// Get Features, current value.
  func feature(_ identifier: UInt8, nsid: UInt32) throws(PassthroughError) -> UInt32
}

extension NVMeNode: NVMeAdminNode {}

/// The running kernel.
package struct LiveMachine: Machine {
  package init() {}

  package func kernelRelease() throws(Errno) -> String {
    try HostProcess.kernelRelease()
  }

  package func status(of path: String) throws(Errno) -> FileStatus {
    try FileStatus(of: path)
  }

  package func newFile(in directory: String) throws(Errno) -> (FileStatus, FileSystemFacts) {
    let file = try OwnedFileDescriptor(unnamedFileIn: directory)
    return (try FileStatus(of: file), try FileSystemFacts(of: file))
  }

  package func fileSystem(of path: String) throws(Errno) -> FileSystemFacts {
    let file = try OwnedFileDescriptor(opening: path, [.readOnly, .nonBlocking])
    return try FileSystemFacts(of: file)
  }

  package func extents(
    of path: String,
    offsetBytes: UInt64,
    lengthBytes: UInt64,
    countsWholeFile: Bool
  ) throws(Errno) -> ExtentMap {
    let file = try OwnedFileDescriptor(opening: path, [.readOnly, .nonBlocking])
    return try ExtentMap(
      of: file,
      offsetBytes: offsetBytes,
      lengthBytes: lengthBytes,
      countsWholeFile: countsWholeFile
    )
  }

  package func text(of path: String) throws(Errno) -> String {
    try SmallFile.read(path)
  }

  package func names(in path: String) throws(Errno) -> [String] {
    try Directory.names(in: path)
  }

  package func canonicalPath(of path: String) throws(Errno) -> String {
    try Directory.canonicalPath(of: path)
  }

  package func deviceMapperTable(of device: DeviceNumber) throws(Errno) -> String {
    try DeviceMapper.table(of: device)
  }

  package func openNode(_ path: String) throws(Errno) -> NVMeNode {
    try NVMeNode(opening: path)
  }
}
