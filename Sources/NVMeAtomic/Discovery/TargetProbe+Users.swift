import LinuxIO
import SystemPackage

/// Who uses a namespace, which passthrough wants for itself.
extension TargetProbe {
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
    report.limits.passthroughUser = clause
  }

  private mutating func partitions(of disk: String) -> [String]? {
    sysfs.requiredNames(disk)?.filter { $0.hasPrefix(disk.lastComponent) }.map { disk + "/" + $0 }
  }
}
