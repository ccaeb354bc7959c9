/// The fields of Identify Controller (CNS 01h) that bear on atomic writes, as reported.
///
/// NVM Express Base Specification, Identify Controller data structure; the atomic fields are
/// described in the NVM Command Set Specification, section 2.1.4. Nothing is decoded here.
public struct IdentifyController: Hashable, Sendable {
  /// PCI vendor id, bytes 01:00.
  public var vid: UInt16
  /// Serial number, bytes 23:04, padding removed.
  public var serial: String
  /// Model number, bytes 63:24, padding removed.
  public var model: String
  /// Firmware revision, bytes 71:64, padding removed.
  public var firmware: String
  /// Controller multi-path and sharing, byte 76.
  public var cmic: UInt8
  /// Maximum data transfer size, byte 77: a power of two in minimum memory pages; 0 is no limit.
  public var mdts: UInt8
  /// Format NVM attributes, byte 524: bit 0 says that a format is of all namespaces.
  public var fna: UInt8
  /// Volatile write cache, byte 525: bit 0 says that there is one.
  public var vwc: UInt8
  /// Atomic write unit normal, bytes 527:526. 0's based logical blocks.
  public var awun: UInt16
  /// Atomic write unit power fail, bytes 529:528. 0's based logical blocks.
  public var awupf: UInt16
  /// Atomic compare and write unit, bytes 533:532. 0's based logical blocks.
  public var acwu: UInt16

  /// Reads the 4096 bytes of the data structure; `nil` for any other count.
  public init?(page bytes: [UInt8]) {
    guard let page = IdentifyPage(bytes) else { return nil }
    vid = page.uint16(0)
    serial = page.text(4..<24)
    model = page.text(24..<64)
    firmware = page.text(64..<72)
    cmic = page.uint8(76)
    mdts = page.uint8(77)
    fna = page.uint8(524)
    vwc = page.uint8(525)
    awun = page.uint16(526)
    awupf = page.uint16(528)
    acwu = page.uint16(532)
  }

  /// Whether formatting one namespace formats all (FNA bit 0).
  public var formatsAllNamespaces: Bool { fna & 1 != 0 }

  /// Whether the controller has a volatile write cache (VWC bit 0).
  public var hasVolatileWriteCache: Bool { vwc & 1 != 0 }
}
