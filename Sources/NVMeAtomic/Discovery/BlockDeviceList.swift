import LinuxIO
import SystemPackage

/// Which block devices a run over all of them probes: those that `lsblk --noempty` lists.
///
/// Whole disks and partitions, dm, md, and loop devices with a file. Left out is what holds
/// nothing (a size of 0, but for NVMe namespaces, whose format may be why), RAM disks (major 1,
/// as `lsblk` does), and what has no node: the hidden path disks of native multipath.
enum BlockDeviceList {
  private static let directory = "/sys/class/block"

  /// The nodes, in the order in which people count: `nvme2n1` before `nvme10n1`.
  static func paths(_ machine: some Machine) throws(ProbeError) -> [String] {
    let names: [String]
    do throws(Errno) {
      names = try machine.names(in: directory)
    } catch {
      // A kernel without any block device still has the directory.
      throw ProbeError(
        code: error == .permissionDenied ? .permission : .io,
        message: "\(directory) cannot be read: \(error)",
        remedy: "mount sysfs at /sys, or name the targets"
      )
    }
    var sysfs = SysfsReader(machine)
    return names.filter { isListed($0, &sysfs) }
      .sorted { NaturalOrder.precedes($0, $1) }
      .map(BlockDevice.node)
  }

  /// A device that went away meanwhile stays in the list, for its probe to say so.
  private static func isListed<System: Machine>(
    _ name: String,
    _ sysfs: inout SysfsReader<System>
  ) -> Bool {
    guard let path = try? sysfs.machine.canonicalPath(of: directory + "/" + name) else {
      return true
    }
    if sysfs.text(path + "/dev")?.hasPrefix("1:") == true { return false }
    let isPartition = sysfs.exists(path + "/partition")
    let disk = isPartition ? path.parentPath : path
    if sysfs.number(disk + "/hidden") == 1 { return false }
    guard sysfs.number(path + "/size") == 0 else { return true }
    let subsystem = sysfs.linkName(disk + "/device/subsystem")
    return subsystem == "nvme" || subsystem == "nvme-subsystem"
  }
}

/// The order of device names: digits by their value, and `sdz` before `sdaa`.
enum NaturalOrder {
  static func precedes(_ left: String, _ right: String) -> Bool {
    let (left, right) = (Array(left.utf8), Array(right.utf8))
    var (a, b) = (left[...], right[...])
    while !a.isEmpty, !b.isEmpty {
      let (first, second) = (run(&a), run(&b))
      if !first.elementsEqual(second) { return isLess(first, second) }
    }
    // `nvme0n1` precedes its partitions.
    if a.isEmpty != b.isEmpty { return a.isEmpty }
    return left.lexicographicallyPrecedes(right)
  }

  /// Takes the digits, or the other bytes, that come first.
  private static func run(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let isNumber = isDigit(rest.first)
    let run = rest.prefix { isDigit($0) == isNumber }
    rest = rest.dropFirst(run.count)
    return run
  }

  private static func isLess(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Bool {
    guard isDigit(left.first) == isDigit(right.first) else { return isDigit(left.first) }
    if isDigit(left.first) {
      let zero = UInt8(ascii: "0")
      let (a, b) = (left.drop { $0 == zero }, right.drop { $0 == zero })
      if !a.elementsEqual(b) { return isShorterOrLess(a, b) }
      return left.count < right.count
    }
    // The letters of one driver's disks count on from z to aa.
    guard left.prefix(2).elementsEqual(right.prefix(2)) else {
      return left.lexicographicallyPrecedes(right)
    }
    return isShorterOrLess(left, right)
  }

  private static func isShorterOrLess(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Bool {
    a.count == b.count ? a.lexicographicallyPrecedes(b) : a.count < b.count
  }

  private static func isDigit(_ byte: UInt8?) -> Bool {
    byte.map { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false
  }
}
