/// `/proc/self/mountinfo`: which filesystem lies where, and what is mounted. `proc_pid_mountinfo(5)`.
struct MountTable {
  struct Mount {
    var id: UInt64
    var device: String
    var mountPoint: String
    var type: String
    var source: String
  }

  let mounts: [Mount]

  /// Lines that cannot be read are left out; the table is only ever asked for what it has.
  init(_ text: String) {
    mounts = text.split(separator: "\n").compactMap { Self.mount(from: $0) }
  }

  /// The mount a path lies on, by `stx_mnt_id`.
  func mount(id: UInt64) -> Mount? {
    mounts.first { $0.id == id }
  }

  /// Where a block device is mounted, by `MAJ:MIN` or, for filesystems over several devices, by name.
  func mountPoint(ofDevice device: String, node: String) -> String? {
    mounts.first { $0.device == device || $0.source == node }?.mountPoint
  }

  private static func mount(from line: Substring) -> Mount? {
    let fields = line.split(separator: " ", omittingEmptySubsequences: false)
    guard fields.count > 9, let id = UInt64(fields[0]),
      let dash = fields[6...].firstIndex(of: "-"), dash + 2 < fields.count
    else { return nil }
    return Mount(
      id: id,
      device: String(fields[2]),
      mountPoint: unescape(fields[4]),
      type: String(fields[dash + 1]),
      source: unescape(fields[dash + 2])
    )
  }

  /// Blanks and backslashes stand as three octal digits.
  private static func unescape(_ field: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = field.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "\\"), let code = UInt8(String(rest.prefix(3)) ?? "", radix: 8) {
        bytes.append(code)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
