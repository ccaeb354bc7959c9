import LinuxIO
import SystemPackage

/// What leads from a namespace to its drive, and what the drive says.
extension TargetProbe {
  /// The controllers that lead to a namespace, and under native multipath its hidden path disks.
  ///
  /// The head `nvme1n2` passes requests on to `nvme1cCn2` of controller `nvmeC`, which splits,
  /// merges and flushes by its own settings (`drivers/nvme/host/multipath.c`).
  mutating func leading(to disk: String) -> Leading {
    guard let parent = try? machine.canonicalPath(of: disk + "/device"),
      let subsystem = sysfs.linkName(parent + "/subsystem")
    else { return Leading(controllers: [], paths: 0) }
    guard subsystem == "nvme-subsystem" else {
      return Leading(controllers: [parent], paths: 1)
    }
    let names = sysfs.names(parent)
      .filter { $0.hasPrefix("nvme") && $0.dropFirst(4).allSatisfy(\.isNumber) }
    let controllers = names.compactMap { try? machine.canonicalPath(of: parent + "/" + $0) }
    let numbers = disk.lastComponent.drop { !$0.isNumber }.split(separator: "n")
    // A controller that cannot be looked at may be one more path.
    guard numbers.count == 2, controllers.count == names.count else {
      return Leading(controllers: controllers, paths: 0)
    }
    var paths: [String] = []
    for controller in controllers {
      guard let entries = sysfs.requiredNames(controller) else {
        return Leading(controllers: controllers, paths: 0)
      }
      let path = "nvme\(numbers[0])c\(controller.lastComponent.dropFirst(4))n\(numbers[1])"
      if entries.contains(path) { paths.append(controller + "/" + path) }
    }
    if let path = paths.first, paths.count == 1 {
      let below = sysfs.queueLimits(ofDisk: path)
      facts.pathDisk = path.lastComponent
      facts.pathsDisagree = below != report.limits.queue
      report.limits.queue = report.limits.queue.agreeing(with: below)
    }
    return Leading(controllers: controllers, paths: paths.count)
  }

  struct Leading {
    var controllers: [String]
    var paths: Int
  }

  mutating func describeNVMe(
    node: String,
    expected: DeviceNumber,
    leading: Leading,
    wantsNamespace: Bool,
    above: Int = 0
  ) {
    let answers = DriveAnswers(
      node: node,
      expected: expected,
      wantsNamespace: wantsNamespace,
      machine
    )
    if let controller = leading.controllers.first {
      report.controller = ControllerReport(
        name: controller.lastComponent,
        transport: sysfs.text(controller + "/transport"),
        model: sysfs.text(controller + "/model"),
        serial: sysfs.text(controller + "/serial"),
        firmware: sysfs.text(controller + "/firmware_rev"),
        identify: answers.identifyController
      )
      if report.kind != .controller {
        push("/dev/" + controller.lastComponent, "controller", start: nil, parents: [above])
      }
    } else if let identify = answers.identifyController {
      report.controller = ControllerReport(name: "unknown", identify: identify)
    }
    report.writeAtomicityNormalDisabled = answers.writeAtomicityNormalDisabled
    facts.driveFailure = answers.failure
    facts.lacksPermission = answers.isPermissionFailure
    if report.controller?.transport != "pcie" {
      report.limits.fabric = report.controller?.transport ?? "by an unknown transport"
    }
    guard wantsNamespace else {
      report.limits.drive = .unknown(.identify("a controller is not one namespace"))
      return
    }
    report.namespace = NamespaceReport(
      nsid: answers.nsid,
      paths: leading.paths,
      identify: answers.identifyNamespace
    )
    report.limits.drive = drive(answers, paths: leading.paths)
    if answers.identifyNamespace?.isShared == true {
      report.limits.passthroughObstacle =
        report.limits.passthroughObstacle
        ?? "the namespace is shared (NMIC), and other hosts may write to it"
    }
  }

  private func drive(_ answers: DriveAnswers, paths: Int) -> DriveKnowledge {
    guard let controller = answers.identifyController, let namespace = answers.identifyNamespace
    else {
      return .unknown(.identify(answers.failure ?? "the drive's answer could not be read"))
    }
    guard
      let limits = DeviceLimits(
        controller: controller,
        namespace: namespace,
        writeAtomicityNormal: answers.writeAtomicityNormalDisabled,
        writeCacheEnabled: answers.writeCacheEnabled
      )
    else { return .unknown(.identifyInvalid) }
    let block = UInt64(limits.logicalBlockSize.bytes)
    if let kernelBlock = report.limits.queue.logicalBlockSize, kernelBlock != block {
      return .unknown(.blockSizesDiffer(kernelBytes: kernelBlock, driveBytes: block))
    }
    return paths == 1 ? .known(limits) : .unknown(.paths)
  }

  /// Passthrough wants the namespace for itself, and its character device.
  mutating func notePassthroughObstacles(
    _ diskNode: String,
    _ disk: String,
    partition: BlockDevice?
  ) {
    let generic = "ng" + disk.lastComponent.dropFirst(4)
    guard sysfs.exists("/sys/class/nvme-generic/" + generic) else {
      report.limits.passthroughObstacle = "the kernel offers no /dev/\(generic)"
      return
    }
    guard let mounts = sysfs.table("/proc/self/mountinfo"), let swaps = sysfs.table("/proc/swaps"),
      let parts = partition.map({ [$0.sysfs] }) ?? partitions(of: disk)
    else {
      report.limits.passthroughObstacle = "what is mounted could not be read"
      return
    }
    let table = MountTable(mounts)
    var isDoubtful = false
    for sysfsPath in [disk] + parts {
      let node = BlockDevice.node(of: sysfsPath.lastComponent)
      let number = sysfs.text(sysfsPath + "/dev")
      if let mountPoint = table.mountPoint(ofDevice: number ?? "", node: node) {
        return noteUse("\(node) is mounted at \(mountPoint)")
      }
      if swaps.utf8.split(separator: UInt8(ascii: "\n")).contains(where: {
        $0.starts(with: "\(node) ".utf8) || $0.starts(with: "\(node)\t".utf8)
      }) {
        return noteUse("\(node) is swap space")
      }
      let holders = sysfs.requiredNames(sysfsPath + "/holders")
      if let holder = holders?.first { return noteUse("\(node) is held by \(holder)") }
      isDoubtful = isDoubtful || number == nil || holders == nil
    }
    if isDoubtful { report.limits.passthroughObstacle = "who uses it could not be read" }
  }

  private mutating func noteUse(_ clause: String) {
    report.user = clause
    report.limits.passthroughObstacle = clause
  }

  private mutating func partitions(of disk: String) -> [String]? {
    sysfs.requiredNames(disk)?.filter { $0.hasPrefix(disk.lastComponent) }.map { disk + "/" + $0 }
  }
}
