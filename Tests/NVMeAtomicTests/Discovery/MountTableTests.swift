import Testing

@testable import NVMeAtomic

@Suite struct MountTableTests {
  private static let text = """
    22 1 0:20 / / rw,relatime - tmpfs tmpfs rw
    36 22 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    40 22 259:1 / /data rw,relatime shared:5 master:2 propagate_from:7 - xfs /dev/nvme0n1p1 rw
    41 22 0:45 /@home /home rw shared:9 - btrfs /dev/nvme1n1p2 rw,subvol=/@home
    42 22 0:46 / /proc rw - proc proc rw

    """

  @Test(
    arguments: [
      (22, "/", "tmpfs", "tmpfs"), (36, "/mnt2", "ext3", "/dev/root"),
      (40, "/data", "xfs", "/dev/nvme0n1p1"), (41, "/home", "btrfs", "/dev/nvme1n1p2"),
      (42, "/proc", "proc", "proc"),
    ] as [(UInt64, String, String, String)]
  )
  func mountIsFoundByItsID(id: UInt64, point: String, type: String, source: String) throws {
    let mount = try #require(MountTable(Self.text).mount(id: id))
    #expect(mount.mountPoint == point)
    #expect(mount.type == type)
    #expect(mount.source == source)
  }

  @Test func unknownIDHasNoMount() {
    #expect(MountTable(Self.text).mount(id: 1) == nil)
    #expect(MountTable("").mount(id: 22) == nil)
  }

  @Test(
    arguments: [
      ("259:1", "/dev/nvme0n1p1", "/data"), ("259:1", "/dev/other", "/data"),
      ("0:99", "/dev/nvme1n1p2", "/home"), ("98:0", "/dev/sda", "/mnt2"),
      ("259:0", "/dev/nvme0n1", nil), ("9:1", "/dev/nvme0n1p", nil),
    ] as [(String, String, String?)]
  )
  func deviceIsFoundByNumberOrName(device: String, node: String, point: String?) {
    #expect(MountTable(Self.text).mountPoint(ofDevice: device, node: node) == point)
  }

  /// `proc_pid_mountinfo(5)`: space, tab, line feed and backslash stand as octal escapes.
  @Test(
    arguments: [
      (#"/a\040b"#, "/a b"), (#"/a\011b"#, "/a\tb"), (#"/a\012b"#, "/a\nb"),
      (#"/a\134b"#, #"/a\b"#), (#"/a\134040b"#, #"/a\040b"#), (#"/\040\040"#, "/  "),
      (#"/a\043b"#, "/a#b"), (#"/caf\303\251"#, "/café"), ("/café", "/café"), (#"/a\"#, #"/a\"#),
      (#"/a\04"#, #"/a\04"#), (#"/a\9"#, #"/a\9"#), (#"/a\999"#, #"/a\999"#),
      (#"/a\777"#, #"/a\777"#),
      (#"/a\+12"#, #"/a\+12"#), (#"/a\-12"#, #"/a\-12"#),
    ] as [(String, String)]
  )
  func octalEscapesAreDecoded(field: String, path: String) {
    let table = MountTable("50 22 259:9 / \(field) rw - xfs /dev/x rw\n")
    #expect(table.mount(id: 50)?.mountPoint == path)
  }

  @Test func sourceIsDecodedToo() {
    let table = MountTable(#"50 22 0:50 / /a rw - xfs /dev/mapper/my\040disk rw"#)
    #expect(table.mountPoint(ofDevice: "", node: "/dev/mapper/my disk") == "/a")
  }

  /// What cannot be understood is left out, and the lines around it are not.
  @Test(arguments: [
    "", " ", "-", "50", "50 22 259:9 / /a rw", "50 22 259:9 / /a rw -", "50 22 259:9 / /a rw - xfs",
    "x 22 259:9 / /a rw - xfs /dev/x rw", "-1 22 259:9 / /a rw - xfs /dev/x rw",
    "18446744073709551616 22 259:9 / /a rw - xfs /dev/x rw", "\u{0}\u{1}\u{2}",
    "🦊 🦊 🦊 🦊 🦊 🦊 🦊 🦊 🦊 🦊",
    "- - - - - - - - - - -", "50 22 259:9 - xfs /dev/x rw", "\\", String(repeating: " ", count: 50),
  ])
  func oddLineIsLeftOut(line: String) {
    let table = MountTable("\(line)\n60 22 259:1 / /good rw - ext4 /dev/y rw\n")
    #expect(table.mount(id: 60)?.type == "ext4")
  }

  /// A filesystem without a source has an empty field, which holds its place.
  @Test func emptyFieldHoldsItsPlace() throws {
    let mount = try #require(MountTable("50 22 0:50 / /a rw - overlay  rw\n").mount(id: 50))
    #expect(mount.type == "overlay")
    #expect(mount.source == "")
  }

  @Test func everyPrefixOfATableIsRead() {
    let bytes = Array(Self.text.utf8)
    for count in bytes.indices {
      let table = MountTable(String(decoding: bytes.prefix(count), as: UTF8.self))
      #expect(table.mount(id: 22)?.type ?? "tmpfs" == "tmpfs")
      #expect(table.mountPoint(ofDevice: "259:1", node: "/dev/none") ?? "/data" == "/data")
    }
  }
}
