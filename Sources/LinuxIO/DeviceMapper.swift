import CNVMeAtomic
package import SystemPackage

/// What device-mapper says of its devices. Needs root: tables may carry keys.
package enum DeviceMapper {
  /// The live table, a line `start length type parameters` per target, in 512-byte sectors.
  ///
  /// The key of a crypt target is replaced by a word. The corresponding command is
  /// `dmsetup table`; the request is `DM_TABLE_STATUS` by libdevmapper.
  package static func table(of device: DeviceNumber) throws(Errno) -> String {
    // SAFETY: pointer and capacity describe one buffer.
    let bytes = unsafe try Directory.filled(capacity: 1 << 18) { pointer, capacity in
      unsafe nvmeatomic_device_mapper_table(device.major, device.minor, pointer, capacity)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
