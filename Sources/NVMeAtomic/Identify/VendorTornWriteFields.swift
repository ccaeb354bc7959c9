/// Amazon's torn-write bytes of Identify Namespace, as reported.
///
/// They lie in the vendor-specific area, which begins at byte 384, from its byte 256 on
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/twp-namespace.html>). The same bytes of
/// any other drive mean something else: Azure's hold text. Nothing is decoded here.
public struct VendorTornWriteFields: Hashable, Sendable {
  /// Namespace torn-write prevention unit, bytes 641:640. 0's based logical blocks.
  public var ntwpu: UInt16
  /// Namespace torn-write prevention granularity, bytes 643:642. 0's based logical blocks.
  public var ntwpg: UInt16
  /// Namespace torn-write prevention boundary, bytes 647:644. 0: none; else 0's based blocks.
  public var ntwpb: UInt32

  /// Reads the 4096 bytes of Identify Namespace; `nil` for any other count of bytes, and for a
  /// drive that is not Amazon's.
  ///
  /// - Parameters:
  ///   - bytes: Identify Namespace, as the drive gave it.
  ///   - controller: Identify Controller of the same drive.
  public init?(page bytes: [UInt8], of controller: IdentifyController) {
    guard controller.isAmazons, let page = IdentifyPage(bytes) else { return nil }
    let area = 384 + 256
    ntwpu = page.uint16(area)
    ntwpg = page.uint16(area + 2)
    ntwpb = UInt32(page.uint16(area + 4)) | UInt32(page.uint16(area + 6)) << 16
  }

  /// Whether nothing at all is declared, as by volumes without torn-write prevention.
  public var areZero: Bool { ntwpu == 0 && ntwpg == 0 && ntwpb == 0 }
}

extension IdentifyController {
  /// Amazon's PCI vendor id with one of the two model numbers that Amazon's own tools look for.
  ///
  /// `github.com/amazonlinux/amazon-ec2-utils`: `ebsnvme-id`, `70-ec2-nvme-devices.rules`.
  var isAmazons: Bool {
    vid == 0x1d0f
      && (model == "Amazon Elastic Block Store" || model == "Amazon EC2 NVMe Instance Storage")
  }
}
