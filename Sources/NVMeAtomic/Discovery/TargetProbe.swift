import LinuxIO
import SystemPackage

/// One target being probed: collects facts layer by layer, then draws the conclusions.
package struct TargetProbe<System: Machine> {
  let machine: System
  var sysfs: SysfsReader<System>
  var report: TargetReport
  var facts = FindingFacts()
  /// What was asked about.
  var range: WriteRequest.Range?
  var witness = StackWitness()

  /// Probes one target.
  package static func report(
    on path: String,
    answering question: Question? = nil,
    _ machine: System
  ) -> TargetReport {
    var probe = TargetProbe(path, machine)
    probe.range = question?.range
    probe.run()
    probe.report.findings = Findings(probe.report, probe.facts).all
    if let question, probe.report.error == nil {
      probe.report.answer = Answer(
        question,
        about: probe.report.limits,
        placed: probe.report.placement
      )
    }
    return probe.report
  }

  private init(_ path: String, _ machine: System) {
    self.machine = machine
    sysfs = SysfsReader(machine)
    report = TargetReport(path: path)
  }

  private mutating func run() {
    facts.kernel = KernelVersion(release: (try? machine.kernelRelease()) ?? "")
    do throws(Errno) {
      let status = try machine.status(of: report.path)
      report.identity = TargetIdentity(status)
      switch status.kind {
      case .blockDevice: probeBlockDevice(status)
      case .characterDevice: probeCharacterDevice(status)
      case .regular: probeFile(status)
      case .directory: probeDirectory()
      case .other: fail(.unsupported, "is a pipe, a socket or a link", "name a file or a device")
      }
      if report.error == nil {
        locateRange()
        confirm(status)
      }
    } catch {
      fail(error)
    }
    facts.unreadableAttributes = sysfs.unreadable
  }

  /// What was read belongs to the target only if its path still leads where it led at first:
  /// device numbers and names are given anew when a drive is replaced.
  private mutating func confirm(_ status: FileStatus) {
    if let now = try? machine.status(of: report.path), StatxLimits(now) == StatxLimits(status),
      TargetIdentity(now) == TargetIdentity(status)
    {
      return
    }
    let failure = "\(report.path) changed while it was being read"
    facts.driveFailure = facts.driveFailure ?? failure
    report.limits.drive = .unknown(.identify(failure))
    report.limits.statx = nil
    if report.placement != nil { report.placement = RangePlacement(unreadable: failure) }
  }

  // MARK: Kinds of target

  private mutating func probeBlockDevice(_ status: FileStatus) {
    guard let device = BlockDevice(status.representedDevice, &sysfs) else {
      return fail(
        .notFound,
        "the kernel has no block device \(status.representedDevice)",
        "check that the device is still plugged in"
      )
    }
    let diskKind = device.diskKind(sysfs)
    let kind: TargetKind =
      device.isPartition ? .partition : diskKind == "namespace" ? .namespace : .block
    setKind(kind)
    setStatx(status)
    report.limits.sizeBytes = device.sizeBytes
    descend(to: device, parents: [], number: status.representedDevice)
  }

  private mutating func probeCharacterDevice(_ status: FileStatus) {
    guard
      let path = try? machine.canonicalPath(of: "/sys/dev/char/\(status.representedDevice)"),
      let subsystem = sysfs.linkName(path + "/subsystem"),
      subsystem == "nvme" || subsystem == "nvme-generic"
    else {
      return fail(
        .unsupported,
        "a character device that is not NVMe",
        "name a file, a block device, or an ng or nvme character device"
      )
    }
    let isController = subsystem == "nvme"
    setKind(isController ? .controller : .generic)
    // The kernel's name, as in every entry: the path given may be a link.
    facts.diskNode = BlockDevice.node(of: path.lastComponent)
    push(facts.diskNode, report.kind?.rawValue ?? "", start: 0, parents: [])
    if isController {
      return describeController(
        node: report.path,
        expected: status.representedDevice,
        sysfs: path
      )
    }
    let disk = sibling(of: path.lastComponent)
    let sequence = disk.flatMap { sysfs.number($0 + "/diskseq") }
    if let disk { describeSibling(disk) }
    describeNamespace(
      node: report.path,
      expected: status.representedDevice,
      disk: disk ?? path,
      above: 0
    )
    if let disk, sysfs.number(disk + "/diskseq") != sequence { noteReplacement() }
  }

  /// The block device of a character device: `ng0n1` and `nvme0n1` are one namespace.
  private mutating func sibling(of generic: String) -> String? {
    report.limits.startBytes = 0
    return try? machine.canonicalPath(of: "/sys/block/nvme" + generic.dropFirst(2))
  }

  private mutating func describeSibling(_ disk: String) {
    report.limits.queue = sysfs.queueLimits(ofDisk: disk)
    report.queue = report.limits.queue
    report.limits.sizeBytes = sysfs.number(disk + "/size").map { $0.multipliedOrMax(by: 512) }
    facts.diskNode = BlockDevice.node(of: disk.lastComponent)
    notePassthroughObstacles(facts.diskNode, disk, partition: nil)
  }

  private mutating func probeFile(_ status: FileStatus) {
    setKind(.file)
    setStatx(status)
    report.fileSizeBytes = status.sizeBytes
    describeFile(status, try? machine.fileSystem(of: report.path))
  }

  private mutating func probeDirectory() {
    setKind(.directory)
    do throws(Errno) {
      let (status, facts) = try machine.newFile(in: report.path)
      setStatx(status)
      describeFile(status, facts)
    } catch {
      // Filesystems without unnamed files have no atomic writes either, but say what they are.
      if error == .notSupported || error == .isDirectory || error == .readOnlyFileSystem,
        let status = try? machine.status(of: report.path)
      {
        facts.noNewFile = error.description
        return describeFile(status, try? machine.fileSystem(of: report.path))
      }
      fail(error, doing: "making an unnamed file in it")
    }
  }

  // MARK: Layers

  private mutating func describeFile(_ status: FileStatus, _ facts: FileSystemFacts?) {
    let file = push(report.path, report.kind?.rawValue ?? "", start: nil, parents: [])
    let table = MountTable(sysfs.table("/proc/self/mountinfo") ?? "")
    let mount = status.mountID.flatMap(table.mount)
    self.facts.mount = mount
    var filesystem = FileSystemReport(type: mount?.type ?? "unknown")
    filesystem.blockSize = facts.map { UInt64($0.blockSizeBytes) }
    filesystem.reflink = facts?.reflink
    filesystem.exchangeRange = facts?.exchangeRange
    filesystem.realtime = facts?.realtime
    filesystem.externalLog = facts?.externalLog
    filesystem.extents = facts?.extents
    filesystem.barriers = mount.map { !$0.hasOption("nobarrier") && !$0.hasOption("barrier=0") }
    // A device number with major 0 belongs to no block device.
    let device = status.device.major == 0 ? nil : BlockDevice(status.device, &sysfs)
    if filesystem.type == "ext4", let device {
      filesystem.journal = sysfs.text("/sys/fs/ext4/\(device.name)/journal_task")
        .map { $0 != "<none>" }
      if filesystem.journal == true {
        filesystem.externalJournal = isJournalElsewhere(of: device.name)
      }
    }
    report.limits.filesystem = filesystem
    guard let device else {
      report.limits.drive =
        ["tmpfs", "ramfs"].contains(filesystem.type)
        ? .none : .unknown(.stacked("\(filesystem.type) without a single block device"))
      return
    }
    descend(to: device, parents: [file], number: status.device)
  }

  /// Whether a mounted ext4 with a journal keeps it on another device; `nil` when that is not told.
  ///
  /// `fs/jbd2/journal.c`: a journal in an inode is called `DEVICE-INODE`, one that fills a device
  /// `DEVICE`, with `!` for slashes as in sysfs.
  private func isJournalElsewhere(of device: String) -> Bool? {
    let prefix = device + "-"
    return (try? machine.names(in: "/proc/fs/jbd2")).map { journals in
      !journals.contains {
        $0.hasPrefix(prefix) && UInt64($0.dropFirst(prefix.count)) != nil
      }
    }
  }

  /// Describes a block device and everything below it, and makes sure that it was one device
  /// throughout: numbers and names are given anew when a drive is replaced.
  private mutating func descend(to device: BlockDevice, parents: [Int], number: DeviceNumber) {
    let sequence = sysfs.number(device.diskSysfs + "/diskseq")
    report.identity?.diskSequence = parents.isEmpty ? sequence : nil
    describe(device, parents: parents, number: number)
    if sysfs.number(device.diskSysfs + "/diskseq") != sequence { noteReplacement() }
  }

  private mutating func noteReplacement() {
    report.limits.drive = .unknown(.identify("the drive was replaced while it was being read"))
  }

  private mutating func describe(_ device: BlockDevice, parents: [Int], number: DeviceNumber) {
    let diskKind = device.diskKind(sysfs)
    var above = push(
      device.node,
      device.isPartition ? "partition" : diskKind,
      start: device.isPartition ? device.partitionStartBytes : 0,
      parents: parents
    )
    if device.isPartition {
      above = push(device.diskNode, diskKind, start: 0, parents: [above])
    }
    facts.diskNode = device.diskNode
    facts.diskKind = diskKind
    facts.backingNode = device.node
    facts.partition = device.isPartition ? device : nil
    report.limits.startBytes = device.isPartition ? device.partitionStartBytes : 0
    report.limits.queue = sysfs.queueLimits(ofDisk: device.diskSysfs)
    report.queue = report.limits.queue
    report.stack[above].atomicWriteUnitMaxBytes = report.queue.atomicWriteUnitMaxBytes
    guard diskKind == "namespace" else {
      return lookThrough(
        device,
        kind: diskKind,
        entry: above,
        originBytes: report.limits.startBytes
      )
    }
    notePassthroughObstacles(
      device.diskNode,
      device.diskSysfs,
      partition: device.isPartition ? device : nil
    )
    let disk = device.isPartition ? diskNumber(device) : number
    guard let disk else {
      report.limits.drive = .unknown(.identify("the disk of the partition could not be found"))
      return
    }
    describeNamespace(
      node: parents.isEmpty && !device.isPartition ? report.path : device.diskNode,
      expected: disk,
      disk: device.diskSysfs,
      above: above
    )
  }

  mutating func diskNumber(_ device: BlockDevice) -> DeviceNumber? {
    sysfs.text(device.diskSysfs + "/dev").flatMap(DeviceNumber.init(text:))
  }

  // MARK: Small steps

  private mutating func setKind(_ kind: TargetKind) {
    report.kind = kind
    report.limits.kind = kind
  }

  private mutating func setStatx(_ status: FileStatus) {
    report.limits.statx = StatxLimits(status)
  }

  @discardableResult
  mutating func push(
    _ device: String,
    _ kind: String,
    start: UInt64?,
    parents: [Int]
  ) -> Int {
    let id = report.stack.count
    report.stack.append(
      StackEntry(id: id, parents: parents, device: device, kind: kind, startBytes: start)
    )
    return id
  }

  func stackText(_ kind: String) -> String {
    switch kind {
    case "dm": "device-mapper"
    case "md": "software RAID (md)"
    case "loop": "a loop device"
    default: "a block device that is not NVMe"
    }
  }

  private mutating func fail(_ code: ErrorCode, _ message: String, _ remedy: String) {
    report.error = ProbeError(code: code, message: message, remedy: remedy)
  }

  private mutating func fail(_ errno: Errno, doing: String? = nil) {
    let context = doing.map { "\($0): " } ?? ""
    switch errno {
    case .noSuchFileOrDirectory, .notDirectory:
      fail(.notFound, "no such file or device", "check the path")
    case .permissionDenied, .notPermitted:
      fail(.permission, "\(context)permission denied", "run it as root, or gain access to the path")
    default:
      fail(.io, "\(context)\(errno)", "check the path and the kernel log")
    }
  }
}
