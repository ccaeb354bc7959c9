/// `/proc/self/mountinfo`, `proc_pid_mountinfo(5)`: which filesystem lies where, what is mounted.
struct MountTable {
  struct Mount {
    var id: UInt64
    var device: String
    var mountPoint: String
    var type: String
    var source: String
    /// Options of the mount and of the filesystem, comma-separated.
    var options: String

    func hasOption(_ name: String) -> Bool {
      options.split(separator: ",").contains { $0 == name }
    }
  }

  private let lines: [Substring.UTF8View]

  /// Lines are read when asked for: a busy host has hundreds, and a probe wants one.
  init(_ text: String) {
    lines = text.utf8.split(separator: UInt8(ascii: "\n"))
  }

  /// The mount a path lies on, by `stx_mnt_id`.
  func mount(id: UInt64) -> Mount? {
    let prefix = "\(id) ".utf8
    return lines.first { $0.starts(with: prefix) }.flatMap(Self.mount)
  }

  /// Where a block device is mounted, by `MAJ:MIN` or, for a filesystem over several, by name.
  func mountPoint(ofDevice device: String, node: String) -> String? {
    lines.lazy.compactMap(Self.mount)
      .first { $0.device == device || $0.source == node }?.mountPoint
  }

  /// Lines that cannot be read are left out; the table is only ever asked for what it has.
  private static func mount(from line: Substring.UTF8View) -> Mount? {
    let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard fields.count > 9, let id = UInt64(Substring(fields[0])),
      let dash = fields[6...].firstIndex(where: { $0.elementsEqual([UInt8(ascii: "-")]) }),
      dash + 2 < fields.count
    else { return nil }
    return Mount(
      id: id,
      device: unescape(fields[2]),
      mountPoint: unescape(fields[4]),
      type: unescape(fields[dash + 1]),
      source: unescape(fields[dash + 2]),
      options: unescape(fields[5]) + ","
        + (dash + 3 < fields.count ? unescape(fields[dash + 3]) : "")
    )
  }

  /// Blanks and backslashes stand as three octal digits.
  private static func unescape(_ field: Substring.UTF8View) -> String {
    var bytes: [UInt8] = []
    var rest = field
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3,
        digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }),
        let code = UInt8(Substring(digits), radix: 8)
      {
        bytes.append(code)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
