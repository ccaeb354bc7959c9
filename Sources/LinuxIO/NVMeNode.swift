import CNVMeAtomic
package import SystemPackage

/// A failed NVMe command: the host could not send it, or the device answered with a status.
package enum PassthroughError: Error, Equatable {
  case host(Errno)
  /// Status code type and status code, as libnvme returns them (bits 10:0), DNR and More left out.
  case device(UInt16)
}

/// An open NVMe node (namespace block device, `ng` or controller character device).
///
/// Admin commands go through libnvme; every call is one command, except ``namespaceID()``.
package final class NVMeNode {
  private let descriptor: OwnedFileDescriptor

  /// Opens the node read-only, without waiting.
  package init(opening path: String) throws(Errno) {
    descriptor = try OwnedFileDescriptor(opening: path, [.readOnly, .nonBlocking])
  }

  /// What the open descriptor stands for: the path may meanwhile name another device.
  package func status() throws(Errno) -> FileStatus {
    try FileStatus(of: descriptor)
  }

  /// The namespace id the driver uses. The corresponding request is `NVME_IOCTL_ID`.
  package func namespaceID() throws(Errno) -> UInt32 {
    try descriptor.namespaceID()
  }

  /// The disk's sequence number; fails on a character device and before Linux 5.15.
  package func diskSequence() throws(Errno) -> UInt64 {
    try descriptor.diskSequence()
  }

  /// Identify with CNS 01h: 4096 bytes, undecoded.
  package func identifyController() throws(PassthroughError) -> [UInt8] {
    // SAFETY: the page has the 4096 bytes that the command fills.
    unsafe try page { page in
      unsafe nvmeatomic_identify_controller(descriptor.rawValue, page)
    }
  }

  /// Identify with CNS 00h: 4096 bytes, undecoded.
  package func identifyNamespace(_ nsid: UInt32) throws(PassthroughError) -> [UInt8] {
    // SAFETY: the page has the 4096 bytes that the command fills.
    unsafe try page { page in
      unsafe nvmeatomic_identify_namespace(descriptor.rawValue, nsid, page)
    }
  }

  /// Get Features, current value: completion dword 0.
  package func feature(_ identifier: UInt8, nsid: UInt32) throws(PassthroughError) -> UInt32 {
    var value: UInt32 = 0
    // SAFETY: libnvme writes one 32-bit integer.
    try Self.check(unsafe nvmeatomic_get_feature(descriptor.rawValue, identifier, nsid, &value))
    return value
  }

  /// Data Units Written by the controller, thousands of 512 bytes, rounded up.
  package func dataUnitsWritten() throws(PassthroughError) -> UInt64 {
    var units: UInt64 = 0
    // SAFETY: the shim writes one 64-bit integer.
    try Self.check(unsafe nvmeatomic_data_units_written(descriptor.rawValue, &units))
    return units
  }

  private func page(
    _ command: (UnsafeMutablePointer<UInt8>) -> CInt
  ) throws(PassthroughError) -> [UInt8] {
    var status: CInt = 0
    // SAFETY: the command fills all 4096 bytes, or the result is thrown away below.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      guard let base = buffer.baseAddress else { return }
      unsafe base.initialize(repeating: 0, count: 4096)
      status = unsafe command(base)
      count = 4096
    }
    try Self.check(status)
    return bytes
  }

  private static func check(_ status: CInt) throws(PassthroughError) {
    if status < 0 { throw .host(Errno(rawValue: -status)) }
    if status > 0 { throw .device(UInt16(truncatingIfNeeded: status & 0x7ff)) }
  }
}
