import LinuxIO
import SystemPackage

/// Asks a drive through whichever of a namespace's two nodes this process may open.
///
/// Identify takes no more than an open descriptor, of `/dev/nvmeXnY` or `/dev/ngXnY` alike; Get
/// Features takes CAP_SYS_ADMIN (`drivers/nvme/host/ioctl.c:nvme_cmd_allowed`).
extension TargetProbe {
  func ask(node: String, expected: DeviceNumber) -> DriveAnswers {
    let answers = DriveAnswers(node: node, expected: expected, namespace: .own, machine)
    guard case .opening(let nodes)? = answers.denial,
      let twin = twin(of: node, expected)
    else { return answers }
    let other = DriveAnswers(
      node: twin.node,
      expected: twin.number,
      namespace: .own,
      machine
    )
    guard case .opening(let others)? = other.denial else {
      // Another reason than permission is no news: the other node may not be there.
      if other.identifyController == nil || other.nsid != twin.nsid { return answers }
      return other
    }
    var both = answers
    both.denial = .opening(nodes + others)
    return both
  }

  private struct Twin {
    var node: String
    var number: DeviceNumber
    var nsid: UInt32
  }

  /// The other node of the namespace that `node` is, by what sysfs says of both: they lie side by
  /// side below one controller or subsystem, and have the same numbers in their names.
  private func twin(of node: String, _ number: DeviceNumber) -> Twin? {
    let isGeneric = report.kind == .generic && node == report.path
    let own = isGeneric ? "/sys/dev/char/\(number)" : "/sys/dev/block/\(number)"
    guard let path = try? machine.canonicalPath(of: own) else { return nil }
    let name = path.lastComponent
    let names = isGeneric ? ("ng", "nvme") : ("nvme", "ng")
    guard name.hasPrefix(names.0) else { return nil }
    let other = path.parentPath + "/" + names.1 + name.dropFirst(names.0.utf8.count)
    var reader = sysfs
    guard let number = reader.text(other + "/dev").flatMap(DeviceNumber.init(text:)),
      let nsid = reader.number((isGeneric ? other : path) + "/nsid").flatMap(UInt32.init(exactly:))
    else { return nil }
    return Twin(node: BlockDevice.node(of: other.lastComponent), number: number, nsid: nsid)
  }
}
