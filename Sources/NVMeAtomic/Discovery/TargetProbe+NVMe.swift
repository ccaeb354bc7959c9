import LinuxIO
import SystemPackage

/// What leads from a namespace to its drive, and what the drive says.
extension TargetProbe {
  /// One way to a namespace: a controller, and under native multipath the hidden path disk.
  struct Way {
    /// The controller's canonical directory in sysfs.
    var controller: String
    /// The canonical directory of `nvmeXcYnZ`; `nil` for a namespace without a head.
    var pathDisk: String?
  }

  /// The ways to a namespace.
  struct Ways {
    var ways: [Way]
    /// Whether there may be others, which could not be looked at.
    var isDoubtful = false

    /// How many there are; 0 where that is not certain.
    var count: Int { isDoubtful ? 0 : ways.count }
  }

  /// The controllers that lead to a namespace, and under native multipath its hidden path disks.
  ///
  /// The head `nvme1n2` passes requests on to `nvme1cCn2` of controller `nvmeC`, which splits,
  /// merges and flushes by its own settings (`drivers/nvme/host/multipath.c`).
  mutating func ways(to disk: String) -> Ways {
    guard let parent = try? machine.canonicalPath(of: disk + "/device"),
      let subsystem = sysfs.linkName(parent + "/subsystem")
    else { return Ways(ways: [], isDoubtful: true) }
    guard subsystem == "nvme-subsystem" else { return Ways(ways: [Way(controller: parent)]) }
    // A directory lists in no order, and answers are compared.
    let names = sysfs.names(parent)
      .filter { $0.hasPrefix("nvme") && $0.dropFirst(4).allSatisfy(\.isNumber) }
      .sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
    let controllers = names.compactMap { try? machine.canonicalPath(of: parent + "/" + $0) }
    let numbers = disk.lastComponent.drop { !$0.isNumber }.split(separator: "n")
    let all = controllers.map { Way(controller: $0) }
    // A controller that cannot be looked at may be one more path.
    guard numbers.count == 2, controllers.count == names.count else {
      return Ways(ways: all, isDoubtful: true)
    }
    var ways: [Way] = []
    for controller in controllers {
      guard let entries = sysfs.requiredNames(controller) else {
        return Ways(ways: all, isDoubtful: true)
      }
      let path = "nvme\(numbers[0])c\(controller.lastComponent.dropFirst(4))n\(numbers[1])"
      if entries.contains(path) {
        ways.append(Way(controller: controller, pathDisk: controller + "/" + path))
      }
    }
    return ways.isEmpty ? Ways(ways: all, isDoubtful: true) : Ways(ways: ways)
  }

  /// The hidden disk of a head that is certain to have no other.
  private mutating func onlyPath(_ ways: Ways) -> (disk: String, queue: QueueLimits)? {
    guard ways.count == 1, let path = ways.ways.first?.pathDisk else { return nil }
    return (path.lastComponent, sysfs.queueLimits(ofDisk: path))
  }

  // MARK: The target itself

  /// Describes a namespace that is the target, or that the target lies on directly.
  mutating func describeNamespace(
    node: String,
    expected: DeviceNumber,
    disk: String?,
    above: Int
  ) {
    let ways = disk.map { self.ways(to: $0) } ?? Ways(ways: [], isDoubtful: true)
    let device = disk.map { BlockDevice.node(of: $0.lastComponent) } ?? node
    let path = onlyPath(ways)
    facts.headIsOutdated = path.map { report.limits.queue.isOutdated(above: $0.queue) } ?? false
    if ways.count > 1 || facts.headIsOutdated, let disk {
      report.limits.drive = .unknown(.paths)
      report.limits.stack = StackLimits()
      return askPaths(
        to: device,
        disk,
        ways,
        queue: report.limits.queue,
        origin: report.limits.startBytes,
        entry: above
      )
    }
    if let path {
      facts.pathDisks = [path.disk]
      facts.pathsDisagree = path.queue != report.limits.queue
      report.limits.queue = report.limits.queue.agreeing(with: path.queue)
    }
    let answers = ask(node: node, expected: expected)
    let entry = self.entry(device, answers, ways.ways.first, ways.count, report.limits.queue)
    report.namespaces = [entry]
    report.controller = entry.controller
    report.namespace = entry.namespace
    report.writeAtomicityNormalDisabled = entry.writeAtomicityNormalDisabled
    report.limits.fabric = entry.fabric
    report.limits.drive = entry.drive
    note(answers)
    pushController(entry, above: above)
    noteSharing(entry)
  }

  /// Describes a controller that is the target.
  mutating func describeController(node: String, expected: DeviceNumber, sysfs path: String) {
    let answers = DriveAnswers(node: node, expected: expected, namespace: .none, machine)
    report.controller = controller(path, answers)
    report.writeAtomicityNormalDisabled = answers.writeAtomicityNormalDisabled
    report.limits.fabric = fabric(report.controller)
    report.limits.drive = .unknown(.identify("a controller is not one namespace"))
    note(answers)
  }

  // MARK: Below a stack

  /// Asks a namespace below a stack by each of its paths.
  mutating func askPaths(of device: BlockDevice, _ queue: QueueLimits, entry: Int) {
    let ways = self.ways(to: device.diskSysfs)
    guard let number = diskNumber(device) else {
      report.limits.stack?.note(.layer("\(device.diskNode) could not be found"))
      return
    }
    let path = onlyPath(ways)
    if ways.count > 1 || path.map({ queue.isOutdated(above: $0.queue) }) == true {
      return askPaths(
        to: device.diskNode,
        device.diskSysfs,
        ways,
        queue: queue,
        origin: nil,
        entry: entry
      )
    }
    var agreed = queue
    if let path { agreed = queue.agreeing(with: path.queue) }
    let answers = ask(node: device.diskNode, expected: number)
    note(answers)
    add(
      self.entry(device.diskNode, answers, ways.ways.first, ways.count, agreed),
      origin: nil,
      above: entry
    )
  }

  /// Asks a namespace with several paths: each path's own controller, for what it keeps.
  private mutating func askPaths(
    to device: String,
    _ disk: String,
    _ ways: Ways,
    queue: QueueLimits,
    origin: UInt64?,
    entry above: Int
  ) {
    var head = StackLayer(device: device, kind: "multipath", queue: queue)
    head.originsBytes = origin.map { [$0] } ?? []
    report.limits.stack?.layers.append(head)
    guard let nsid = sysfs.number(disk + "/nsid").flatMap(UInt32.init(exactly:)) else {
      report.limits.stack?.note(.layer("the namespace id of \(device) could not be read"))
      return
    }
    for way in ways.ways {
      guard let path = way.pathDisk else { continue }
      facts.pathDisks.append(path.lastComponent)
      let number = sysfs.text(way.controller + "/dev").flatMap(DeviceNumber.init(text:))
      guard let number else {
        report.limits.stack?.note(.layer("\(way.controller.lastComponent) could not be found"))
        continue
      }
      let answers = DriveAnswers(
        node: "/dev/" + way.controller.lastComponent,
        expected: number,
        namespace: .named(nsid),
        machine
      )
      note(answers)
      let below = sysfs.queueLimits(ofDisk: path)
      let pathEntry = push(path.lastComponent, "path", start: 0, parents: [above])
      report.stack[pathEntry].atomicWriteUnitMaxBytes = below.atomicWriteUnitMaxBytes
      let entry = self.entry(device, answers, way, 1, below)
      add(entry, origin: origin, above: pathEntry)
      noteSharing(entry)
    }
    if ways.count > 1, report.limits.sharing == nil {
      report.limits.sharing = "the namespace has several paths, and other hosts may have one too"
    }
  }

  private mutating func add(_ entry: NamespaceEntry, origin: UInt64?, above: Int) {
    report.namespaces.append(entry)
    pushController(entry, above: above)
    var foundation = Foundation(
      device: entry.device,
      drive: entry.drive,
      queue: entry.queue,
      originBytes: 0
    )
    foundation.originsBytes = origin.map { [$0] } ?? []
    foundation.fabric = entry.fabric
    report.limits.stack?.foundations.append(foundation)
  }

  // MARK: Entries

  private mutating func entry(
    _ device: String,
    _ answers: DriveAnswers,
    _ way: Way?,
    _ paths: Int,
    _ queue: QueueLimits
  ) -> NamespaceEntry {
    let controller = controller(way?.controller, answers)
    return NamespaceEntry(
      device: device,
      path: way?.pathDisk?.lastComponent,
      controller: controller,
      namespace: NamespaceReport(
        nsid: answers.nsid,
        paths: paths,
        identify: answers.identifyNamespace,
        vendorTornWrite: answers.vendorTornWrite
      ),
      writeAtomicityNormalDisabled: answers.writeAtomicityNormalDisabled,
      drive: drive(answers, paths: paths, queue),
      queue: queue,
      fabric: fabric(controller),
      failure: answers.failure
    )
  }

  private mutating func controller(_ path: String?, _ answers: DriveAnswers) -> ControllerReport? {
    guard let path else {
      return answers.identifyController.map { ControllerReport(name: "unknown", identify: $0) }
    }
    return ControllerReport(
      name: path.lastComponent,
      transport: sysfs.text(path + "/transport"),
      model: sysfs.text(path + "/model"),
      serial: sysfs.text(path + "/serial"),
      firmware: sysfs.text(path + "/firmware_rev"),
      identify: answers.identifyController
    )
  }

  private func fabric(_ controller: ControllerReport?) -> String? {
    controller?.transport == "pcie" ? nil : controller?.transport ?? "by an unknown transport"
  }

  private mutating func pushController(_ entry: NamespaceEntry, above: Int) {
    guard let name = entry.controller?.name, name != "unknown" else { return }
    let node = "/dev/" + name
    guard let id = report.stack.firstIndex(where: { $0.device == node && $0.kind == "controller" })
    else {
      push(node, "controller", start: nil, parents: [above])
      return
    }
    if !report.stack[id].parents.contains(above) { report.stack[id].parents.append(above) }
  }

  private mutating func note(_ answers: DriveAnswers) {
    if let denial = answers.denial {
      facts.denials.append(denial)
    } else {
      facts.driveFailure = facts.driveFailure ?? answers.failure
    }
  }

  private mutating func noteSharing(_ entry: NamespaceEntry) {
    guard entry.namespace.identify?.isShared == true else { return }
    report.limits.sharing = "the namespace is shared (NMIC), and other hosts may write to it"
  }

  private func drive(_ answers: DriveAnswers, paths: Int, _ queue: QueueLimits) -> DriveKnowledge {
    guard let controller = answers.identifyController, let namespace = answers.identifyNamespace
    else {
      return .unknown(.identify(answers.failure ?? "the drive's answer could not be read"))
    }
    guard
      let limits = DeviceLimits(
        controller: controller,
        namespace: namespace,
        writeAtomicityNormal: answers.writeAtomicityNormalDisabled,
        writeCacheEnabled: answers.writeCacheEnabled,
        vendorTornWrite: answers.vendorTornWrite
      )
    else { return .unknown(.identifyInvalid) }
    let block = UInt64(limits.logicalBlockSize.bytes)
    if let kernelBlock = queue.logicalBlockSize, kernelBlock != block {
      return .unknown(.blockSizesDiffer(kernelBytes: kernelBlock, driveBytes: block))
    }
    return paths == 1 ? .known(limits) : .unknown(.paths)
  }
}

extension QueueLimits {
  /// Whether these are a head's limits by a path that is gone: they shrink with a path that comes
  /// and never grow (`drivers/nvme/host/core.c:nvme_update_ns_info`). Both are known then, and what
  /// passes is what head and path each let through.
  fileprivate func isOutdated(above path: QueueLimits) -> Bool {
    guard let own = atomicWriteUnitMaxBytes, let below = path.atomicWriteUnitMaxBytes else {
      return false
    }
    return own > 0 && own != below
  }
}
