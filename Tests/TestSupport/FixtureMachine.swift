import LinuxIO
import NVMeAtomic
import SystemPackage

/// A ``Machine`` that answers from a ``FixtureWorld``, counts what it is asked, and can fail.
package final class FixtureMachine: Machine {
  private let world: FixtureWorld
  private let fault: FixtureFault?
  private let replacement: (world: FixtureWorld, fromCall: Int)?

  /// Everything asked so far, in order.
  package private(set) var calls: [FixtureCall] = []

  package init(_ world: FixtureWorld, fault: FixtureFault? = nil) {
    self.world = world
    self.fault = fault
    replacement = nil
  }

  /// Becomes another machine from the n-th call on, as when a device is pulled and another put in.
  package init(_ world: FixtureWorld, replacedBy other: FixtureWorld, fromCall index: Int) {
    self.world = world
    fault = nil
    replacement = (other, index)
  }

  /// The commands that reached the device, in order.
  package var commands: [String] {
    calls.filter(\.isDeviceCommand).map(\.description)
  }

  // MARK: Machine

  package func kernelRelease() throws(Errno) -> String {
    try answer(.release, "").kernel.release
  }

  package func status(of path: String) throws(Errno) -> FileStatus {
    let world = try answer(.status, path)
    guard let status = world.statuses[try world.tree.canonicalPath(of: path)] else {
      throw .noSuchFileOrDirectory
    }
    return status
  }

  package func newFile(in directory: String) throws(Errno) -> (FileStatus, FileSystemFacts) {
    let world = try answer(.newFile, directory)
    switch world.newFiles[try world.tree.canonicalPath(of: directory)] {
    case .made(let status, let facts): return (status, facts)
    case .refused(let errno): throw errno
    case nil: throw .notDirectory
    }
  }

  package func fileSystem(of path: String) throws(Errno) -> FileSystemFacts {
    let world = try answer(.fileSystem, path)
    guard let facts = world.fileSystems[try world.tree.canonicalPath(of: path)] else {
      throw .noSuchFileOrDirectory
    }
    return facts
  }

  package func extents(
    of path: String,
    offsetBytes: UInt64,
    lengthBytes: UInt64,
    countsWholeFile: Bool
  ) throws(Errno) -> ExtentMap {
    let world = try answer(.extents, "\(path) \(offsetBytes) \(lengthBytes)")
    let file = try world.tree.canonicalPath(of: path)
    guard let status = world.statuses[file] else { throw .noSuchFileOrDirectory }
    guard let layout = world.layouts[file] else { throw .notSupported }
    return layout.map(status, offsetBytes, lengthBytes, countsWholeFile: countsWholeFile)
  }

  package func text(of path: String) throws(Errno) -> String {
    let text = try answer(.text, path).tree.text(of: path)
    guard let fault, case .cut(path, let bytes) = fault else { return text }
    return String(decoding: text.utf8.prefix(bytes), as: UTF8.self)
  }

  package func names(in path: String) throws(Errno) -> [String] {
    try answer(.names, path).tree.names(in: path)
  }

  package func canonicalPath(of path: String) throws(Errno) -> String {
    try answer(.canonicalPath, path).tree.canonicalPath(of: path)
  }

  package func deviceMapperTable(of device: DeviceNumber) throws(Errno) -> String {
    let world = try answer(.mapperTable, "\(device)")
    if let refusal = world.mapperRefusal { throw refusal }
    guard let table = world.mapperTables[device] else { throw .noSuchAddressOrDevice }
    guard let fault, case .cut("\(device)", let bytes) = fault else { return table }
    return String(decoding: table.utf8.prefix(bytes), as: UTF8.self)
  }

  package func openNode(_ path: String) throws(Errno) -> FixtureNode {
    let world = try answer(.open, path)
    guard let opened = world.nodes[try world.tree.canonicalPath(of: path)] else {
      throw .noSuchFileOrDirectory
    }
    let sequence = try? world.tree.text(of: "/sys/dev/block/\(opened.number)/diskseq")
    return FixtureNode(path, opened, sequence.flatMap { UInt64($0.prefix { $0 != "\n" }) }, self)
  }

  // MARK: Counting and failing

  /// Notes one call and throws where it is to fail; otherwise the world that answers it.
  fileprivate func answer(_ kind: FixtureCall.Kind, _ argument: String) throws(Errno)
    -> FixtureWorld
  {
    let call = FixtureCall(kind: kind, argument: argument)
    let index = calls.count
    calls.append(call)
    if let errno = fault?.errno(index, call) { throw errno }
    guard let replacement, index >= replacement.fromCall else { return world }
    return replacement.world
  }

  fileprivate func command(_ kind: FixtureCall.Kind, _ argument: String) throws(PassthroughError) {
    let index = calls.filter(\.isDeviceCommand).count
    do throws(Errno) {
      _ = try answer(kind, argument)
    } catch {
      throw .host(error)
    }
    if case .command(index, let status)? = fault { throw .device(status) }
  }
}

/// An open node. It stays with the device it was opened on.
package final class FixtureNode: NVMeAdminNode {
  private let path: String
  private let opened: FixtureWorld.OpenedNode
  private let sequence: UInt64?
  private let machine: FixtureMachine

  fileprivate init(
    _ path: String,
    _ opened: FixtureWorld.OpenedNode,
    _ sequence: UInt64?,
    _ machine: FixtureMachine
  ) {
    self.path = path
    self.opened = opened
    self.sequence = sequence
    self.machine = machine
  }

  package func status() throws(Errno) -> FileStatus {
    _ = try machine.answer(.nodeStatus, path)
    return FileStatus(
      kind: .blockDevice,
      device: DeviceNumber(major: 0, minor: 5),
      representedDevice: opened.number
    )
  }

  package func namespaceID() throws(Errno) -> UInt32 {
    _ = try machine.answer(.namespaceID, path)
    guard opened.isNamespace, let drive = opened.drive else { throw .inappropriateIOCTLForDevice }
    return drive.nsid
  }

  /// `ENOTTY` on a character device.
  package func diskSequence() throws(Errno) -> UInt64 {
    _ = try machine.answer(.diskSequence, path)
    guard let sequence else { throw .inappropriateIOCTLForDevice }
    return sequence
  }

  package func identifyController() throws(PassthroughError) -> [UInt8] {
    try machine.command(.identifyController, "")
    return try drive().controllerPage
  }

  /// Invalid Namespace or Format for any other namespace than the node's.
  package func identifyNamespace(_ nsid: UInt32) throws(PassthroughError) -> [UInt8] {
    try machine.command(.identifyNamespace, "\(nsid)")
    let drive = try drive()
    guard drive.nsid == nsid else { throw .device(0x00b) }
    return drive.namespacePage
  }

  /// Invalid Field for any feature but the two that are asked for.
  package func feature(_ identifier: UInt8, nsid: UInt32) throws(PassthroughError) -> UInt32 {
    try machine.command(.feature, String(identifier, radix: 16))
    let drive = try drive()
    switch identifier {
    case 0x0a: return drive.writeAtomicityNormal
    case 0x06: return drive.volatileWriteCache
    default: throw .device(0x002)
    }
  }

  private func drive() throws(PassthroughError) -> FixtureDrive {
    guard let drive = opened.drive else { throw .host(.inappropriateIOCTLForDevice) }
    return drive
  }
}
