/// The fields of Identify Namespace (CNS 00h) that bear on atomic writes, as reported.
///
/// NVM Command Set Specification, Identify Namespace data structure. Nothing is decoded here but
/// the LBA formats and the choice of the one in use.
public struct IdentifyNamespace: Hashable, Sendable {
  /// Namespace size in logical blocks, bytes 07:00.
  public var nsze: UInt64
  /// Namespace features, byte 24. Bit 1 (NSABP): NAWUN, NAWUPF and NACWU are defined.
  public var nsfeat: UInt8
  /// Number of LBA formats, byte 25. 0's based.
  public var nlbaf: UInt8
  /// Formatted LBA size, byte 26: the format in use, and bit 4: metadata at the end of the data.
  public var flbas: UInt8
  /// Multi-path and sharing, byte 30. Bit 0: may be attached to several controllers.
  public var nmic: UInt8
  /// Namespace atomic write unit normal, bytes 35:34. 0's based logical blocks; 0 means AWUN.
  public var nawun: UInt16
  /// Namespace atomic write unit power fail, bytes 37:36. 0's based logical blocks; 0 means AWUPF.
  public var nawupf: UInt16
  /// Namespace atomic compare and write unit, bytes 39:38. 0's based logical blocks; 0 means ACWU.
  public var nacwu: UInt16
  /// Namespace atomic boundary size normal, bytes 41:40. 0: none; else 0's based logical blocks.
  public var nabsn: UInt16
  /// Namespace atomic boundary offset, bytes 43:42. A logical block address, **not** 0's based.
  public var nabo: UInt16
  /// Namespace atomic boundary size power fail, bytes 45:44. 0: none; else 0's based blocks.
  public var nabspf: UInt16
  /// LBADS of the format in use: the logical block size as a power of two exponent.
  public var lbads: UInt8
  /// MS of the format in use: metadata bytes per logical block.
  public var metadataBytes: UInt16
  /// Every format that NLBAF counts, bytes 383:128, absent ones included; at most 64.
  public var formats: [LBAFormat]

  /// Reads the 4096 bytes of the data structure; `nil` for any other count.
  public init?(page bytes: [UInt8]) {
    guard let page = IdentifyPage(bytes) else { return nil }
    nsze = page.uint64(0)
    nsfeat = page.uint8(24)
    nlbaf = page.uint8(25)
    flbas = page.uint8(26)
    nmic = page.uint8(30)
    nawun = page.uint16(34)
    nawupf = page.uint16(36)
    nacwu = page.uint16(38)
    nabsn = page.uint16(40)
    nabo = page.uint16(42)
    nabspf = page.uint16(44)
    // FLBAS bits 6:5 extend the index only where more than 16 formats exist.
    let low = Int(flbas & 0x0f)
    let format = nlbaf >= 16 ? low | Int(flbas & 0x60) >> 1 : low
    metadataBytes = page.uint16(128 + 4 * format)
    lbads = page.uint8(128 + 4 * format + 2)
    formats = (0...min(Int(nlbaf), 63)).map { LBAFormat(page, index: $0) }
  }

  /// The logical block size in use; `nil` when the drive reports one that cannot be.
  public var logicalBlockSize: LogicalBlockSize? { LogicalBlockSize(lbads: lbads) }

  /// NSFEAT bit 1 (NSABP): this namespace's atomic fields replace the controller's.
  public var definesAtomicFields: Bool { nsfeat & 1 << 1 != 0 }

  /// NSFEAT bit 6 (MAM): a write that crosses boundaries is split into separately atomic parts.
  public var hasMultipleAtomicityMode: Bool { nsfeat & 1 << 6 != 0 }

  /// NMIC bit 0: other controllers, and so other hosts, may be attached to this namespace.
  public var isShared: Bool { nmic & 1 != 0 }
}
