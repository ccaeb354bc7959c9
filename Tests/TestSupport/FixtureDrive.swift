/// An NVMe controller with one namespace, as it would describe itself. Fields are raw.
///
/// The pages are laid out here from the specification's byte offsets, apart from the decoder.
package struct FixtureDrive: Sendable {
  // Identify Controller.
  /// QEMU's.
  package var vid: UInt16 = 0x1b36
  package var serial = "FX1"
  package var model = "Fixture A"
  package var firmware = "1.2"
  package var cmic: UInt8 = 0
  /// 128 KiB.
  package var mdts: UInt8 = 5
  package var fna: UInt8 = 0
  package var vwc: UInt8 = 0
  package var awun: UInt16 = 15
  package var awupf: UInt16 = 7
  package var acwu: UInt16 = 1

  // Identify Namespace.
  package var nsid: UInt32 = 1
  package var blockCount: UInt64 = 1 << 21
  package var lbaBytes: UInt64 = 512
  package var metadataBytes: UInt16 = 0
  package var nsfeat: UInt8 = 0x02
  package var nlbaf: UInt8 = 3
  /// Format 2 is in use; every other format is a decoy.
  package var flbas: UInt8 = 2
  /// The exponent of a decoy's block size.
  package var decoyLBADS: UInt8 = 16
  package var nmic: UInt8 = 0
  /// 64 KiB.
  package var nawun: UInt16 = 127
  /// 16 KiB.
  package var nawupf: UInt16 = 31
  package var nacwu: UInt16 = 3
  package var nabsn: UInt16 = 0
  package var nabo: UInt16 = 0
  package var nabspf: UInt16 = 0
  // Bytes 256 on of the vendor-specific area, where Amazon says what these mean.
  package var ntwpu: UInt16 = 0
  package var ntwpg: UInt16 = 0
  package var ntwpb: UInt32 = 0

  // Features.
  /// Feature 0Ah, command dword 11.
  package var writeAtomicityNormal: UInt32 = 0
  /// Feature 06h, command dword 11.
  package var volatileWriteCache: UInt32 = 1

  package var transport: String? = "pcie"

  package init(_ change: (inout FixtureDrive) -> Void = { _ in }) {
    change(&self)
  }

  package func with(_ change: (inout FixtureDrive) -> Void) -> FixtureDrive {
    var drive = self
    change(&drive)
    return drive
  }

  package var definesAtomicFields: Bool { nsfeat & 0x02 != 0 }
  package var sizeBytes: UInt64 { blockCount * lbaBytes }

  /// Identify with CNS 01h.
  package var controllerPage: [UInt8] {
    var page = FixturePage()
    page.put(vid, at: 0)
    page.put(serial, at: 4, length: 20)
    page.put(model, at: 24, length: 40)
    page.put(firmware, at: 64, length: 8)
    page.put(cmic, at: 76)
    page.put(mdts, at: 77)
    page.put(fna, at: 524)
    page.put(vwc, at: 525)
    page.put(awun, at: 526)
    page.put(awupf, at: 528)
    page.put(acwu, at: 532)
    return page.bytes
  }

  /// Identify with CNS 00h.
  package var namespacePage: [UInt8] {
    var page = FixturePage()
    page.put(blockCount, at: 0)
    page.put(nsfeat, at: 24)
    page.put(nlbaf, at: 25)
    page.put(flbas, at: 26)
    page.put(nmic, at: 30)
    page.put(nawun, at: 34)
    page.put(nawupf, at: 36)
    page.put(nacwu, at: 38)
    page.put(nabsn, at: 40)
    page.put(nabo, at: 42)
    page.put(nabspf, at: 44)
    page.put(ntwpu, at: 640)
    page.put(ntwpg, at: 642)
    page.put(ntwpb, at: 644)
    let used = Int(flbas & 0x0f)
    for format in 0...Int(nlbaf) {
      let offset = 128 + 4 * format
      // A decoy promises more: larger blocks, no metadata.
      page.put(format == used ? metadataBytes : 0, at: offset)
      let lbads = format == used ? UInt8(lbaBytes.trailingZeroBitCount) : decoyLBADS
      page.put(lbads, at: offset + 2)
    }
    return page.bytes
  }
}

/// 4096 bytes, little-endian.
private struct FixturePage {
  var bytes = [UInt8](repeating: 0, count: 4096)

  mutating func put(_ value: some FixedWidthInteger, at offset: Int) {
    for index in 0..<(type(of: value).bitWidth / 8) {
      bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
    }
  }

  /// Padded with blanks, as the specification wants it.
  mutating func put(_ text: String, at offset: Int, length: Int) {
    let padded = Array(text.utf8) + [UInt8](repeating: 0x20, count: length)
    bytes.replaceSubrange(offset..<offset + length, with: padded.prefix(length))
  }
}
