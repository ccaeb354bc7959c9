package import LinuxIO
package import SystemPackage

/// A machine that is asked once per run for what several targets have in common: the release, the
/// tables of mounts and swaps, the queue of a disk, the answers of a drive.
///
/// What tells one device from another is never remembered: `statx(2)`, links, and `diskseq`, which
/// no two disks share between boots. A disk's facts count for a target only after that target has
/// itself read the same `diskseq`, and a drive's answers only for a descriptor with the same one;
/// where the kernel has no `diskseq` (before Linux 5.15), nothing of a disk is remembered.
package final class SharedMachine<Base: Machine>: Machine {
  private let base: Base
  private var release: String?
  private var tables: [String: String] = [:]
  private var disks: [String: Disk] = [:]
  fileprivate var answers: [DriveQuestion: DriveAnswer] = [:]

  private struct Disk {
    /// The content of `diskseq` that ``texts`` belong to.
    var sequence: String
    /// Whether the target that is being probed has read it.
    var isConfirmed = true
    var texts: [String: String] = [:]
  }

  package init(_ base: Base) {
    self.base = base
  }

  /// To be called before each target: it has confirmed nothing yet.
  package func startTarget() {
    for disk in disks.keys { disks[disk]?.isConfirmed = false }
  }

  // MARK: Remembered

  package func kernelRelease() throws(Errno) -> String {
    if let release { return release }
    let text = try base.kernelRelease()
    release = text
    return text
  }

  package func text(of path: String) throws(Errno) -> String {
    switch path.lastComponent {
    case "mountinfo", "swaps": return try table(path)
    case "diskseq": return try sequence(path)
    default: break
    }
    let folder = path.parentPath
    guard folder.lastComponent == "queue" else { return try base.text(of: path) }
    let disk = folder.parentPath
    guard disks[disk]?.isConfirmed == true else { return try base.text(of: path) }
    if let text = disks[disk]?.texts[path] { return text }
    let text = try base.text(of: path)
    disks[disk]?.texts[path] = text
    return text
  }

  private func table(_ path: String) throws(Errno) -> String {
    if let text = tables[path] { return text }
    let text = try base.text(of: path)
    tables[path] = text
    return text
  }

  /// Another disk under the same name begins anew.
  private func sequence(_ path: String) throws(Errno) -> String {
    let disk = path.parentPath
    do throws(Errno) {
      let text = try base.text(of: path)
      if disks[disk]?.sequence == text {
        disks[disk]?.isConfirmed = true
      } else {
        disks[disk] = Disk(sequence: text)
      }
      return text
    } catch {
      disks[disk] = nil
      throw error
    }
  }

  package func openNode(_ path: String) throws(Errno) -> SharedNode<Base> {
    SharedNode(try base.openNode(path), self)
  }

  // MARK: Asked each time

  package func status(of path: String) throws(Errno) -> FileStatus {
    try base.status(of: path)
  }

  package func newFile(in directory: String) throws(Errno) -> (FileStatus, FileSystemFacts) {
    try base.newFile(in: directory)
  }

  package func fileSystem(of path: String) throws(Errno) -> FileSystemFacts {
    try base.fileSystem(of: path)
  }

  package func extents(
    of path: String,
    offsetBytes: UInt64,
    lengthBytes: UInt64,
    countsWholeFile: Bool
  ) throws(Errno) -> ExtentMap {
    try base.extents(
      of: path,
      offsetBytes: offsetBytes,
      lengthBytes: lengthBytes,
      countsWholeFile: countsWholeFile
    )
  }

  package func names(in path: String) throws(Errno) -> [String] {
    try base.names(in: path)
  }

  package func canonicalPath(of path: String) throws(Errno) -> String {
    try base.canonicalPath(of: path)
  }

  /// A table is loaded anew under the same `diskseq`.
  package func deviceMapperTable(of device: DeviceNumber) throws(Errno) -> String {
    try base.deviceMapperTable(of: device)
  }
}

/// A question to a drive, and the one disk it is asked about.
private struct DriveQuestion: Hashable {
  enum Command: Hashable {
    case identifyController
    case identifyNamespace(UInt32)
    case feature(UInt8, nsid: UInt32)
  }

  var disk: DeviceNumber
  var sequence: UInt64
  var command: Command
}

private enum DriveAnswer {
  case page([UInt8])
  case value(UInt32)
}

/// An open node that asks the drive only what nobody has asked about this disk before.
package struct SharedNode<Base: Machine>: NVMeAdminNode {
  private let node: Base.Node
  private let machine: SharedMachine<Base>
  /// `nil` on a character device, and on kernels without `diskseq`: then everything is asked.
  private let disk: (number: DeviceNumber, sequence: UInt64)?

  fileprivate init(_ node: Base.Node, _ machine: SharedMachine<Base>) {
    self.node = node
    self.machine = machine
    if let sequence = try? node.diskSequence(), let status = try? node.status() {
      disk = (status.representedDevice, sequence)
    } else {
      disk = nil
    }
  }

  package func status() throws(Errno) -> FileStatus {
    try node.status()
  }

  package func namespaceID() throws(Errno) -> UInt32 {
    try node.namespaceID()
  }

  package func diskSequence() throws(Errno) -> UInt64 {
    try node.diskSequence()
  }

  package func identifyController() throws(PassthroughError) -> [UInt8] {
    let question = question(.identifyController)
    if let page = page(question) { return page }
    return remember(try node.identifyController(), question)
  }

  package func identifyNamespace(_ nsid: UInt32) throws(PassthroughError) -> [UInt8] {
    let question = question(.identifyNamespace(nsid))
    if let page = page(question) { return page }
    return remember(try node.identifyNamespace(nsid), question)
  }

  package func feature(_ identifier: UInt8, nsid: UInt32) throws(PassthroughError) -> UInt32 {
    let question = question(.feature(identifier, nsid: nsid))
    if let question, case .value(let value)? = machine.answers[question] { return value }
    let value = try node.feature(identifier, nsid: nsid)
    if let question { machine.answers[question] = .value(value) }
    return value
  }

  private func question(_ command: DriveQuestion.Command) -> DriveQuestion? {
    disk.map { DriveQuestion(disk: $0.number, sequence: $0.sequence, command: command) }
  }

  private func page(_ question: DriveQuestion?) -> [UInt8]? {
    guard let question, case .page(let page)? = machine.answers[question] else { return nil }
    return page
  }

  private func remember(_ page: [UInt8], _ question: DriveQuestion?) -> [UInt8] {
    if let question { machine.answers[question] = .page(page) }
    return page
  }
}
