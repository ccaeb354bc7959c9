import LinuxIO

/// An md array as sysfs describes it. `Documentation/admin-guide/md.rst`.
struct RAIDArray: Equatable {
  struct Member: Equatable {
    /// The kernel's name of the member's block device.
    var name: String
    /// Where data begin on it, in bytes.
    var dataOffsetBytes: UInt64
  }

  var level: String?
  /// The stripe, in bytes; `nil` where the level has none.
  var chunkBytes: UInt64?
  var members: [Member] = []
  /// Names of block devices that belong to the array and get no writes: faulty ones, idle spares.
  var idle: [String] = []
  /// Why nothing can be promised, as a clause.
  var doubt: String?

  /// Reads `md/` of a disk.
  init<System: Machine>(disk: String, _ sysfs: inout SysfsReader<System>) {
    let md = disk + "/md"
    let name = BlockDevice.node(of: disk.lastComponent)
    level = sysfs.text(md + "/level")
    chunkBytes = sysfs.number(md + "/chunk_size").flatMap { $0 > 0 ? $0 : nil }
    for entry in sysfs.requiredNames(md) ?? [] where entry.hasPrefix("dev-") {
      readMember(md + "/" + entry, name, &sysfs)
    }
    switch level {
    case "raid0":
      if chunkBytes == nil { doubt = "the chunk size of \(name) could not be read" }
    case "raid1", "raid10": readMirror(md, name, &sysfs)
    case let level?: doubt = "\(name) is md \(level), which keeps no write whole for its members"
    case nil: doubt = "the level of \(name) could not be read"
    }
    // An array that is being reshaped lies in two ways at once.
    if sysfs.text(md + "/reshape_position") != "none" {
      doubt = doubt ?? "\(name) is being reshaped, or does not say"
    }
    let writable = ["clean", "active", "active-idle", "write-pending", "read-auto", "readonly"]
    let state = sysfs.text(md + "/array_state")
    if !writable.contains(state ?? "") {
      doubt = doubt ?? "\(name) is in the state \(state ?? "of an array that says none")"
    }
    if members.isEmpty { doubt = doubt ?? "the members of \(name) could not be read" }
  }

  /// Copies that are never made alike again after a power failure promise nothing.
  private mutating func readMirror<System: Machine>(
    _ md: String,
    _ name: String,
    _ sysfs: inout SysfsReader<System>
  ) {
    if level == "raid10", chunkBytes == nil {
      doubt = doubt ?? "the chunk size of \(name) could not be read"
    }
    switch sysfs.text(md + "/metadata_version") {
    case nil: doubt = doubt ?? "the metadata of \(name) could not be read"
    case "none"?:
      doubt = doubt ?? "\(name) has no metadata, so its copies are never made alike after a crash"
    case let version?:
      if version.hasPrefix("external") {
        doubt = doubt ?? "\(name) has external metadata (\(version))"
      }
    }
    switch sysfs.text(md + "/consistency_policy") {
    case "resync"?, "bitmap"?: break
    case let policy:
      doubt = doubt ?? "\(name) has the consistency policy \(policy ?? "of an old kernel")"
    }
  }

  private mutating func readMember<System: Machine>(
    _ directory: String,
    _ array: String,
    _ sysfs: inout SysfsReader<System>
  ) {
    let name = sysfs.linkName(directory + "/block")
    let state = sysfs.text(directory + "/state")?.split(separator: ",") ?? []
    if let name, state.contains("faulty") || sysfs.text(directory + "/slot") == "none" {
      idle.append(name)
      return
    }
    guard let name, let offset = sysfs.number(directory + "/offset"), !state.isEmpty else {
      doubt = doubt ?? "a member of \(array) could not be read"
      return
    }
    // After a write error md repeats the write block by block (`narrow_write_error`); what is
    // mostly written may lag behind.
    let odd: Set<Substring> = ["write_mostly", "journal", "blocked", "write_error"]
    if state.contains(where: odd.contains) {
      doubt = doubt ?? "\(array) has a member in the state \(state.joined(separator: ","))"
    }
    guard let bad = try? sysfs.machine.text(of: directory + "/bad_blocks"), bad.isEmpty else {
      doubt = doubt ?? "\(array) has bad blocks recorded, or does not say"
      return
    }
    members.append(Member(name: name, dataOffsetBytes: offset.multipliedOrMax(by: 512)))
  }
}
