import LinuxIO

/// One target of a device-mapper table over fixtures.
package enum FixtureSegment: Sendable {
  /// A range of one device.
  case linear(FixtureDisk, startSector: UInt64 = 0, sectors: UInt64? = nil)
  /// Stripes over several devices.
  case striped([FixtureDisk], chunkSectors: UInt64, startSector: UInt64 = 0)
  /// A target of another type, with its parameters.
  case other(String, String, sectors: UInt64)

  var sectors: UInt64 {
    switch self {
    case .linear(let disk, let start, let sectors): sectors ?? disk.sizeBytes / 512 - start
    case .striped(let disks, _, _): disks.reduce(0) { $0 + $1.sizeBytes / 512 }
    case .other(_, _, let sectors): sectors
    }
  }

  /// The fixtures it lies on; of another type all that are at hand.
  func disks(among all: [FixtureDisk]) -> [FixtureDisk] {
    switch self {
    case .linear(let disk, _, _): [disk]
    case .striped(let disks, _, _): disks
    case .other: all
    }
  }

  var parameters: String {
    switch self {
    case .linear(let disk, let start, _): "linear \(disk.number) \(start)"
    case .striped(let disks, let chunk, let start):
      "striped \(disks.count) \(chunk) "
        + disks.map { "\($0.number) \(start)" }.joined(separator: " ")
    case .other(let type, let parameters, _): "\(type) \(parameters)"
    }
  }
}

extension FixtureWorld {
  /// A device-mapper device; by default the members one behind the other.
  @discardableResult
  package mutating func addMapper(
    over members: [FixtureDisk],
    _ segments: [FixtureSegment]? = nil,
    queue: FixtureQueue = .withoutAtomicWrites,
    minor: UInt32 = 0
  ) -> FixtureDisk {
    let number = DeviceNumber(major: 252, minor: minor)
    let segments = segments ?? members.map { .linear($0) }
    var table = ""
    var start: UInt64 = 0
    for segment in segments {
      table += "\(start) \(segment.sectors) \(segment.parameters)\n"
      start += segment.sectors
    }
    let disk = addVirtual("dm-\(minor)", number, queue, sizeBytes: start * 512)
    tree.addText(disk.sysfs + "/dm/name", "fixture\n")
    mapperTables[number] = table
    var held: [FixtureDisk] = []
    for member in segments.flatMap({ $0.disks(among: members) })
    where !held.contains(where: { $0.number == member.number }) {
      held.append(member)
    }
    hold(held, by: disk)
    return disk
  }

  /// A software RAID over others.
  @discardableResult
  package mutating func addRAID(
    over members: [FixtureDisk],
    level: String = "raid1",
    chunkBytes: UInt64 = 0,
    dataOffsetSectors: UInt64 = 2048,
    queue: FixtureQueue = .withoutAtomicWrites,
    minor: UInt32 = 0
  ) -> FixtureDisk {
    let disk = addVirtual("md\(minor)", DeviceNumber(major: 9, minor: minor), queue)
    let md = disk.sysfs + "/md/"
    tree.addText(md + "level", level + "\n")
    tree.addText(md + "chunk_size", "\(chunkBytes)\n")
    tree.addText(md + "metadata_version", "1.2\n")
    tree.addText(md + "reshape_position", "none\n")
    tree.addText(md + "array_state", "clean\n")
    if level != "raid0" { tree.addText(md + "consistency_policy", "resync\n") }
    for member in members {
      let entry = md + "dev-" + member.name
      tree.addText(entry + "/state", "in_sync\n")
      tree.addText(entry + "/slot", "0\n")
      tree.addText(entry + "/offset", "\(dataOffsetSectors)\n")
      tree.addText(entry + "/bad_blocks", "")
      tree.addLink(entry + "/block", to: member.sysfs)
    }
    hold(members, by: disk)
    return disk
  }
}
