/// One of the formats that a namespace can be given, by `nvme format --lbaf=INDEX`.
///
/// NVM Command Set Specification, LBA Format data structure.
public struct LBAFormat: Hashable, Sendable {
  /// Its place in the list of Identify Namespace, which Format NVM asks for.
  public var index: Int
  /// MS, bytes 01:00: metadata bytes per logical block.
  public var metadataBytes: UInt16
  /// LBADS, byte 02: the logical block size as a power of two exponent; 0 marks an absent format.
  public var lbads: UInt8
  /// RP, byte 03 bits 1:0: relative performance, 0 the best and 3 degraded.
  public var relativePerformance: UInt8

  /// Reads the structure at its place in an Identify Namespace page.
  init(_ page: IdentifyPage, index: Int) {
    let offset = 128 + 4 * index
    self.index = index
    metadataBytes = page.uint16(offset)
    lbads = page.uint8(offset + 2)
    relativePerformance = page.uint8(offset + 3) & 3
  }

  /// The logical block size; `nil` where the format is absent or cannot be.
  public var logicalBlockSize: LogicalBlockSize? { LogicalBlockSize(lbads: lbads) }
}

extension IdentifyNamespace {
  /// The format with blocks of this size and without metadata that the drive says is fastest.
  ///
  /// - Parameter blockBytes: Bytes of one logical block.
  /// - Returns: `nil` where the drive offers none.
  public func plainFormat(blockBytes: UInt32) -> LBAFormat? {
    formats.filter { $0.metadataBytes == 0 && $0.logicalBlockSize?.bytes == blockBytes }
      .min { ($0.relativePerformance, $0.index) < ($1.relativePerformance, $1.index) }
  }
}
