import LinuxIO
import SystemPackage

/// What the system says of a target, in words that stay the same from start to start, so that no
/// journal is replayed onto another one.
enum JournalTargetName {
  /// Of a file: its filesystem, inode and generation, and when it was made.
  ///
  /// - Throws: ``AtomicWriteError/journal(_:)`` where that tells it from nothing else.
  static func file(
    _ descriptor: borrowing OwnedFileDescriptor
  ) throws(AtomicWriteError) -> String {
    let identity: FileIdentity
    do throws(Errno) {
      identity = try FileIdentity(of: descriptor)
    } catch {
      throw .readFailed(FailureCause(error))
    }
    let status = try JournalFile.status(of: descriptor)
    guard let filesystem = identity.filesystem,
      identity.generation != nil || status.birth != nil
    else {
      throw .journal(
        .indistinct("its filesystem does not tell it from another file of its inode number")
      )
    }
    var name = "file filesystem=\(filesystem) inode=\(status.inode)"
    if let generation = identity.generation { name += " generation=\(generation)" }
    if let birth = status.birth { name += " birth=\(birth.seconds).\(birth.nanoseconds)" }
    return name
  }
}

extension JournalTargetName {
  /// Of a block device: what the drive calls itself, or the stack or file that it is made of, and
  /// where a partition begins.
  ///
  /// - Throws: ``AtomicWriteError/journal(_:)`` where that tells it from nothing else.
  static func device<System: Machine>(
    _ number: DeviceNumber,
    _ machine: System
  ) throws(AtomicWriteError) -> String {
    var sysfs = SysfsReader(machine)
    guard let device = BlockDevice(number, &sysfs), let name = disk(device.diskSysfs, &sysfs) else {
      throw .journal(
        .indistinct("nothing tells it from another device: it has no wwid, UUID or serial number")
      )
    }
    guard device.isPartition else { return name }
    guard let start = device.partitionStartBytes else { throw .missingFact(.start) }
    return "\(name) partition=\(start)"
  }

  /// NVMe, SCSI, device mapper, md, virtio; a loop device by the file behind it.
  private static func disk<System: Machine>(
    _ path: String,
    _ sysfs: inout SysfsReader<System>
  ) -> String? {
    for (attribute, name) in [
      ("wwid", "wwid"), ("device/wwid", "wwid"), ("dm/uuid", "dm-uuid"), ("md/uuid", "md-uuid"),
      ("serial", "serial"),
    ] {
      if let value = sysfs.text("\(path)/\(attribute)") { return "device \(name)=\(value)" }
    }
    guard let file = sysfs.text(path + "/loop/backing_file"),
      let descriptor = try? OwnedFileDescriptor(opening: file, .readOnly),
      let status = try? FileStatus(of: descriptor),
      let name = status.kind == .blockDevice
        ? try? device(status.representedDevice, sysfs.machine) : try? self.file(descriptor)
    else { return nil }
    // Several devices may show one file, each from another place of it on.
    guard let offset = sysfs.text(path + "/loop/offset") else { return nil }
    return offset == "0" ? "loop \(name)" : "loop offset=\(offset) \(name)"
  }
}
