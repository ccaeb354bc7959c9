import LinuxIO
import TestSupport

@testable import NVMeAtomic

/// Texts of the kernel, each by the function that reads it.
enum TableFuzzer {
  static func run(_ input: inout FuzzInput) throws(Finding) {
    let kind = input.byte()
    let text = input.text()
    switch kind % 7 {
    case 0: try mounts(text)
    case 1: try mountPoint(text)
    case 2: try mapperTable(text)
    case 3: try attribute(text)
    case 4: try deviceNumber(text)
    case 5: try order(text)
    default: try words(text)
    }
  }

  // MARK: Mounts

  private static func mounts(_ text: String) throws(Finding) {
    let table = MountTable(text)
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ", omittingEmptySubsequences: false)
      guard let id = fields.first.flatMap({ UInt64($0) }) else { continue }
      if let mount = table.mount(id: id) {
        try require(mount.id == id, "mount \(mount.id) for \(id)")
        for field in [mount.device, mount.mountPoint, mount.type, mount.source, mount.options] {
          try require(field.utf8.count <= 3 * text.utf8.count + 1, "a field grew")
        }
      }
      guard fields.count > 4 else { continue }
      _ = table.mountPoint(ofDevice: String(fields[2]), node: String(fields[4]))
    }
  }

  /// As the kernel writes a name (`mangle_path`), it is read.
  private static func mountPoint(_ name: String) throws(Finding) {
    let escapes: [UInt8: String] = [0x20: "\\040", 0x09: "\\011", 0x0a: "\\012", 0x5c: "\\134"]
    let bytes = name.utf8.flatMap { escapes[$0].map { Array($0.utf8) } ?? [$0] }
    let escaped = String(decoding: bytes, as: UTF8.self)
    let line = "36 35 98:0 / \(escaped) rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n"
    let read = MountTable("35 1 98:1 / / rw - xfs /dev/x rw\n" + line).mount(id: 36)
    if name.isEmpty { return }
    try require(read?.mountPoint == name, "'\(name)' is read as '\(read?.mountPoint ?? "none")'")
    try require(read?.type == "ext4" && read?.hasOption("errors=continue") == true, "\(line)")
  }

  // MARK: Device mapper

  /// The first line is the device's size in sectors.
  private static func mapperTable(_ text: String) throws(Finding) {
    let parts = text.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else { return }
    let sectors = UInt64(parts[0])
    guard let table = DeviceMapperTable(String(parts[1]), sectors: sectors) else { return }
    try require(sectors != nil, "a table of a device of no size")
    try require(!table.segments.isEmpty && !table.types.isEmpty, "a table of nothing")
    try require(table.segments[0].startBytes == 0, "begins at \(table.segments[0].startBytes)")
    let starts = table.segments.map(\.startBytes)
    try require(starts == starts.sorted(), "out of order")
    for segment in table.segments {
      try require(segment.startBytes % 512 == 0, "at \(segment.startBytes)")
      try require(segment.pieces?.isEmpty != true, "made of nothing")
      try require(segment.chunkBytes != 0, "stripes of nothing")
      let isStriped = segment.chunkBytes != nil
      try require(isStriped == (segment.type == "striped"), "\(segment.type) with stripes")
      try require(isStriped || segment.pieces?.count ?? 1 == 1, "\(segment.type) on several")
    }
  }

  // MARK: Attributes

  private static func attribute(_ text: String) throws(Finding) {
    var world = FixtureWorld()
    world.tree.addText("/sys/attribute", text)
    var sysfs = SysfsReader(FixtureMachine(world))
    let number = sysfs.number("/sys/attribute")
    try require((number == nil) == (sysfs.unreadable.count == 1), "an unread number is not noted")
    if let number {
      try require(text.utf8.contains(0x0a), "cut short, and \(number)")
      let line = text.utf8.prefix { $0 != 0x0a }
      let digits = line.drop { $0 == 0x30 }
      let expected = number == 0 ? "" : "\(number)"
      try require(digits.elementsEqual(expected.utf8), "'\(text)' is \(number)")
    }
    if let read = sysfs.text("/sys/attribute") {
      try require(!read.isEmpty && read.utf8.last != 0x20, "'\(read)'")
      try require(text.utf8.starts(with: read.utf8), "'\(text)' is '\(read)'")
    }
  }

  private static func deviceNumber(_ text: String) throws(Finding) {
    guard let number = DeviceNumber(text: text) else { return }
    try require(DeviceNumber(text: "\(number)") == number, "'\(text)' is \(number)")
  }

  private static func words(_ text: String) throws(Finding) {
    if let version = KernelVersion(release: text) {
      try require(version.major >= 0 && version.minor >= 0, "\(version)")
    }
    if let volume = CloudVolume(model: text) {
      try require(text.utf8.starts(with: volume.rawValue.utf8), "'\(text)' is \(volume)")
    }
    try require(text.lastComponent.utf8.count <= text.utf8.count, "\(text.lastComponent)")
    try require(!text.lastComponent.contains("/"), "\(text.lastComponent)")
  }

  /// Names are in one order, whichever are compared.
  private static func order(_ text: String) throws(Finding) {
    let names = text.split(separator: "\n", omittingEmptySubsequences: false).prefix(4)
      .map(String.init)
    for a in names {
      try require(!NaturalOrder.precedes(a, a), "'\(a)' before itself")
      for b in names where !a.utf8.elementsEqual(b.utf8) {
        let (one, other) = (NaturalOrder.precedes(a, b), NaturalOrder.precedes(b, a))
        try require(one != other, "'\(a)' and '\(b)' in both orders, or none")
        for c in names where one && NaturalOrder.precedes(b, c) {
          try require(NaturalOrder.precedes(a, c), "'\(a)', '\(b)', '\(c)' in a circle")
        }
      }
    }
  }

  static var seeds: [[UInt8]] {
    let texts: [(UInt8, String)] = [
      (0, "36 35 98:0 /mnt1 /m\\040t rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"),
      (0, "22 1 0:20 / / rw - tmpfs tmpfs rw\n36 22 259:1 / /data rw shared:1 - xfs /dev/x rw\n"),
      (1, "/a b\tc\\d"), (2, "2048\n0 1024 linear 259:0 2048\n1024 1024 linear 8:16 0\n"),
      (2, "4096\n0 4096 striped 2 128 259:0 0 259:1 2048\n"),
      (2, "512\n0 512 crypt aes-xts-plain64 :64:logon:x 0 259:3 4096 1 integrity:28:aead\n"),
      (2, "512\n0 512 snapshot 1 2 P 8\n"), (3, "65536\n"), (3, "write back\n"), (3, "QEMU   \n"),
      (4, "259:3"), (5, "nvme0n1\nnvme0n1p1\nnvme10n1\nsdaa"), (5, "sdz\nsdaa\nsda01\nsda1"),
      (6, "6.12.107+deb13-amd64"), (6, "nvme_card12"), (6, "/sys/class/block/sda"),
    ]
    return texts.map { [$0.0] + Array($0.1.utf8) }
  }
}
