import LinuxIO

/// How a drive ended a command: NVM Express Base Specification 2.1, section 4.2.3.
public struct NVMeStatus: Error, Hashable, Sendable {
  /// Status Code Type in bits 10:8, Status Code in bits 7:0.
  public let code: UInt16
  /// Whether the drive says that the same command will fail again (DNR).
  public let doNotRetry: Bool

  /// Takes completion dword 3 from bit 17 on, as the kernel hands it on.
  init(raw: UInt16) {
    code = raw & 0x7ff
    doNotRetry = raw & 0x4000 != 0
  }

  /// Whether a write that ended so left every byte as it was.
  ///
  /// Only where a check of the command or of the namespace's state comes before any data: whatever
  /// leaves a doubt is none, data transfer and internal errors above all.
  public var isRefusal: Bool {
    switch code {
    // Invalid opcode, field, namespace or format; operation denied; write protected; LBA out of
    // range; namespace not ready; reservation conflict.
    case 0x001, 0x002, 0x00b, 0x015, 0x020, 0x080, 0x082, 0x083: true
    // Conflicting attributes; read-only range; command size limit exceeded.
    case 0x180, 0x182, 0x183: true
    default: false
    }
  }
}

extension NVMeStatus: CustomStringConvertible {
  /// `NVMe status 0x280 (Write Fault), do not retry`; the words are libnvme's.
  public var description: String {
    "NVMe status 0x" + String(code, radix: 16) + " (\(StatusWords.name(of: code)))"
      + (doNotRetry ? ", do not retry" : "")
  }
}
