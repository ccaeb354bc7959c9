import LinuxIO
package import SystemPackage

/// What `verify crash` has to know of a target besides its limits.
package struct CrashTarget: Sendable {
  package let report: TargetReport

  package init(_ report: TargetReport) {
    self.report = report
  }

  /// This start of the system. `/proc/sys/kernel/random/boot_id`.
  package static func bootID() throws(Errno) -> String {
    let text = try SmallFile.read("/proc/sys/kernel/random/boot_id")
    return String(text.prefix { $0 != "\n" })
  }

  /// What the system calls the target, the same after each start; `nil` where nothing tells it
  /// from another one.
  package var identity: String? {
    if report.kind == .file {
      guard let file = try? OwnedFileDescriptor(opening: report.path, .readOnly) else { return nil }
      return try? JournalTargetName.file(file)
    }
    guard let path = blockPath, let status = try? FileStatus(of: path) else { return nil }
    return try? JournalTargetName.device(status.representedDevice, LiveMachine())
  }

  /// A path by which the target can be read: the block device of a namespace's character device.
  package var blockPath: String? {
    guard report.kind == .generic else { return report.path }
    guard let name = report.stack.first?.device.lastComponent, name.hasPrefix("ng") else {
      return nil
    }
    return "/dev/nvme" + name.dropFirst(2)
  }

  /// Bytes of a logical block, which drives do not tear: of what lies below a file.
  package var logicalBlockBytes: Int {
    let known =
      report.limits.queue.logicalBlockSize
      ?? report.limits.commandDrive.limits.map { UInt64($0.logicalBlockSize.bytes) }
    guard let known, known >= 512, known <= 65_536, known.nonzeroBitCount == 1 else { return 512 }
    return Int(known)
  }

  // MARK: Where a log may be

  /// Whether a power failure that harms the target can harm a log, too.
  package enum Separation: Hashable, Sendable {
    /// They share no device.
    case apart
    /// Both are on this device, drive or filesystem.
    case shared(String)
    /// The log is in memory, and gone after a power failure of this machine.
    case inMemory
    /// What one of them lies on cannot be told; a clause.
    case unknown(String)
  }

  /// Compares the target's devices with those of a folder that a log is to lie in.
  package func separation(fromFolder folder: String) -> Separation {
    let log = Probe().report(on: folder)
    if let error = log.error { return .unknown("the folder of the log: \(error.message)") }
    let (own, other) = (Devices(report), Devices(log))
    if let type = log.limits.filesystem?.type, ["tmpfs", "ramfs"].contains(type) {
      return .inMemory
    }
    if let shared = own.names.first(where: other.names.contains) { return .shared(shared) }
    if let target = try? FileStatus(of: report.path), let log = try? FileStatus(of: folder),
      report.kind == .file, target.device == log.device
    {
      return .shared("the same filesystem")
    }
    if !other.isComplete { return .unknown("what the log's filesystem lies on") }
    return own.isComplete ? .apart : .unknown("what the target lies on")
  }

  /// The devices below something, and the controllers.
  private struct Devices {
    var names: [String]
    /// Whether something was found that has no other below it.
    var isComplete: Bool

    init(_ report: TargetReport) {
      let files = report.stack.filter { ["file", "directory"].contains($0.kind) }
      names = report.stack.filter { !["file", "directory"].contains($0.kind) }
        .map { Self.blockNode(of: $0.device) }
      let controllers = report.namespaces.compactMap { $0.controller?.name }
      names += (controllers + (report.controller.map { [$0.name] } ?? [])).filter { !$0.isEmpty }
      // A file with nothing below it, the target's or that of a loop device.
      let parents = Set(report.stack.flatMap(\.parents))
      isComplete = !names.isEmpty && files.allSatisfy { parents.contains($0.id) }
      // Filesystems on several devices have none in the stack, and one of them in the mount table.
      if let source = Self.mountSource(report), !names.contains(source) {
        names += Devices(Probe().report(on: source)).names
      }
    }

    /// A namespace by its block device, however it was named.
    private static func blockNode(of device: String) -> String {
      let name = device.lastComponent
      return name.hasPrefix("ng") ? "/dev/nvme" + name.dropFirst(2) : device
    }

    private static func mountSource(_ report: TargetReport) -> String? {
      guard report.kind?.isFile == true, let status = try? FileStatus(of: report.path),
        let id = status.mountID, let text = try? SmallFile.read("/proc/self/mountinfo"),
        let mount = MountTable(text).mount(id: id), mount.source.hasPrefix("/dev/")
      else { return nil }
      return (try? Directory.canonicalPath(of: mount.source)) ?? mount.source
    }
  }
}
