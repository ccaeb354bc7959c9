/// What can be typed about a finding.
///
/// A remedy that begins with a command can be typed as it is printed, with real nodes and numbers;
/// the virtual machines' group `remedies` does so. Any other is advice.
extension Findings {
  /// A command that sets a queue attribute, of a multipath head and of its paths alike.
  func setQueue(_ attribute: String, to value: String) -> String {
    let disks = [diskName] + facts.pathDisks
    return "echo \(value) | sudo tee "
      + disks.map { "/sys/block/\($0)/queue/\(attribute)" }.joined(separator: " ")
  }

  /// A command that clears DN: a feature of the controller, which refuses it for one namespace.
  var clearDN: String? {
    guard let controller = report.controller?.name, controller != "unknown" else { return nil }
    return "sudo nvme set-feature /dev/\(controller) --feature-id=0x0a --value=0"
  }

  /// A command that gives the namespace a format without metadata, of the first of these block
  /// sizes that the drive has.
  func format(blockBytes sizes: [UInt32]) -> String? {
    guard let namespace = report.namespace?.identify,
      let format = sizes.lazy.compactMap({ namespace.plainFormat(blockBytes: $0) }).first
    else { return nil }
    let isOfAll = report.controller?.identify?.formatsAllNamespaces == true
    return unmounting + "sudo nvme format \(facts.diskNode) --lbaf=\(format.index)"
      + destroys(isOfAll ? "all data of every namespace of the drive" : "all data")
  }

  /// A command that moves the begin of a partition up to the next line and leaves its end.
  func move(toLinesOf lines: AtomicBoundary) -> String? {
    guard let partition = facts.partition, let start = target.startBytes,
      let block = queue.logicalBlockSize, block > 0, let number = partition.partitionNumber,
      let size = partition.sizeBytes
    else { return nil }
    let over = (start % lines.sizeBytes + lines.sizeBytes - lines.offsetBytes % lines.sizeBytes)
    let gap = (lines.sizeBytes - over % lines.sizeBytes) % lines.sizeBytes
    guard gap < size, (start + gap) % block == 0 else { return nil }
    return unmounting
      + "echo 'start=\((start + gap) / block), size=\((size - gap) / block)' | "
      + "sudo sfdisk --partno \(number) \(facts.diskNode)" + destroys("all data of the partition")
  }

  /// A command that makes the filesystem anew.
  func makeFileSystem(_ type: String, _ options: String) -> String {
    guard let node = facts.backingNode else { return "make it anew with \(options)" }
    let command = type == "ext4" ? "mkfs.ext4" : "mkfs.xfs -f"
    return unmounting + "sudo \(command) \(options) \(node)" + destroys("all data")
  }

  /// What makes a filesystem whose blocks are not larger than what the device keeps.
  func smallerBlocks(_ filesystem: FileSystemReport, upTo unitMax: UInt64) -> String {
    guard let block = filesystem.blockSize, (1024..<block).contains(unitMax) else {
      return "make the filesystem with a block size that the device keeps whole"
    }
    let isExt4 = filesystem.type == "ext4"
    return makeFileSystem(filesystem.type, isExt4 ? "-b \(unitMax)" : "-b size=\(unitMax)")
  }

  /// What makes a filesystem that takes several blocks in one atomic write: ext4 with clusters (at
  /// most 64 KiB here, as each file takes at least one), XFS that can also move blocks. Linux 6.16.
  func severalBlocks(_ filesystem: FileSystemReport, upTo unitMax: UInt64) -> String {
    if let kernel = facts.kernel, kernel < KernelVersion(6, 16) {
      return "boot Linux 6.16 or newer and probe again"
    }
    return filesystem.type == "ext4"
      ? makeFileSystem("ext4", "-O bigalloc -C \(min(unitMax, 65536))")
      : makeFileSystem("xfs", "-m reflink=1")
  }

  /// A command that ends what the kernel keeps and does not keep whole.
  var endJournalling: String {
    guard let mount = facts.mount, mount.hasOption("data=journal"), let node = facts.backingNode
    else { return "sudo chattr -j \(ShellWord(report.path))" }
    return unmounting + "sudo mount -o data=ordered \(node) \(ShellWord(mount.mountPoint))"
  }

  /// A command that makes XFS anew so that every extent is aligned: a hint of the extent's size
  /// alone aligns it in the file and not on the device, a stripe unit does.
  func alignedExtents(ofBytes size: UInt64) -> String? {
    guard let block = target.filesystem?.blockSize, block > 0, size >= block else { return nil }
    // One block needs no alignment beyond its own.
    if size == block { return nil }
    return makeFileSystem("xfs", "-d su=\(size),sw=1,extszinherit=\(size / block)")
  }

  /// Takes away the filesystem on what is about to be made anew.
  private var unmounting: String {
    guard report.kind?.isFile == true, let node = facts.backingNode else { return "" }
    return "sudo umount \(node) && "
  }

  private func destroys(_ what: String) -> String { "   # destroys \(what)" }
}

/// A path as a shell takes it for one word: quoted only where it must be.
struct ShellWord: CustomStringConvertible {
  let path: String

  /// A path that would be read as an option gets its directory.
  init(_ path: String) {
    self.path = path.hasPrefix("-") ? "./" + path : path
  }

  var description: String {
    if path.utf8.allSatisfy({ Self.isPlain($0) }), !path.isEmpty { return path }
    if path.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) {
      let parts = path.split(separator: "'", omittingEmptySubsequences: false)
      return "'" + parts.joined(separator: "'\\''") + "'"
    }
    // ANSI-C quoting, which keeps the remedy one line.
    return "$'"
      + path.utf8.map { Self.isPlain($0) ? String(Unicode.Scalar($0)) : Self.octal($0) }.joined()
      + "'"
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "/._-+,:@%=".utf8.contains(byte)
    }
  }

  private static func octal(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 8)
    return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
  }
}
