/// What the NVM Command Set Specification makes of a drive's atomic fields, in bytes.
///
/// Section 2.1.4 of revision 1.2. The choice between the namespace's and the controller's field
/// (NSFEAT bit 1) is made here and nowhere else.
public struct DeviceLimits: Hashable, Sendable {
  /// Which field gave a limit.
  public enum Source: String, Sendable {
    /// NAWUN or NAWUPF, defined by NSFEAT bit 1 and not 0.
    case namespace
    /// AWUN or AWUPF: the value that holds for every namespace and format of the subsystem.
    case controller
    /// NTWPU of Amazon's volumes, for power failures only: ``VendorTornWriteLimits``.
    case vendor
  }

  /// The logical block size of the format in use.
  public var logicalBlockSize: LogicalBlockSize
  /// Metadata bytes per logical block.
  public var metadataBytes: UInt16
  /// The largest write that no other command sees in part; `nil` while DN is unknown.
  ///
  /// With DN set this is ``powerFailBytes``, as the drive then honours nothing else.
  public var normalBytes: UInt64?
  /// Where ``normalBytes`` comes from; `nil` with it.
  public var normalSource: Source?
  /// The largest write that a power failure leaves all old or all new.
  public var powerFailBytes: UInt64
  /// Where ``powerFailBytes`` comes from.
  public var powerFailSource: Source
  /// NABSN with NABO: what ``normalBytes`` may not cross.
  public var normalBoundary: AtomicBoundary?
  /// NABSPF with NABO: what ``powerFailBytes`` may not cross.
  ///
  /// The specification lets AWUPF cross it; as drives disagree, no promise here does.
  public var powerFailBoundary: AtomicBoundary?
  /// NABO in bytes, also where there is no boundary.
  public var boundaryOffsetBytes: UInt64
  /// Whether the host told the drive that AWUN and NAWUN do not matter (feature 0Ah, DN).
  public var normalAtomicityDisabled: Bool?
  /// MDTS in bytes for 4096-byte minimum pages; `nil` when the drive states no limit.
  ///
  /// CAP.MPSMIN, which scales MDTS, cannot be read through the driver. It only ever enlarges the
  /// limit, and the kernel's own transfer limit counts it.
  public var maximumTransferBytes: UInt64?
  /// Whether there is a volatile write cache in use; `nil` when it cannot be told.
  public var volatileWriteCache: Bool?
  /// What a vendor's own bytes say, counted or not; `nil` on drives that have none.
  public var vendorTornWrite: VendorTornWriteLimits?
  /// What the specification's fields gave where the vendor's replace them.
  var specified: PowerFail?

  /// Decodes the raw fields; `nil` when the format in use has no valid logical block size.
  ///
  /// - Parameters:
  ///   - controller: Identify Controller.
  ///   - namespace: Identify Namespace.
  ///   - writeAtomicityNormal: DN of feature 0Ah, `nil` when it could not be read.
  ///   - writeCacheEnabled: WCE of feature 06h, `nil` when it could not be read.
  ///   - vendorTornWrite: Amazon's bytes of Identify Namespace, `nil` on any other drive.
  public init?(
    controller: IdentifyController,
    namespace: IdentifyNamespace,
    writeAtomicityNormal: Bool?,
    writeCacheEnabled: Bool? = nil,
    vendorTornWrite: VendorTornWriteFields? = nil
  ) {
    guard let block = namespace.logicalBlockSize else { return nil }
    func bytes(_ zerosBased: UInt16) -> UInt64 {
      LogicalBlockCount(zerosBased: zerosBased).bytes(block)
    }
    func choose(_ own: UInt16, _ baseline: UInt16) -> (UInt64, Source) {
      namespace.definesAtomicFields && own != 0
        ? (bytes(own), .namespace) : (bytes(baseline), .controller)
    }
    func boundary(_ field: UInt16) -> AtomicBoundary? {
      AtomicBoundary(
        sizeBytes: field == 0 ? 0 : bytes(field),
        offsetBytes: LogicalBlockCount(UInt64(namespace.nabo)).bytes(block)
      )
    }

    logicalBlockSize = block
    metadataBytes = namespace.metadataBytes
    (powerFailBytes, powerFailSource) = choose(namespace.nawupf, controller.awupf)
    let normal = choose(namespace.nawun, controller.awun)
    switch writeAtomicityNormal {
    case nil: (normalBytes, normalSource) = (nil, nil)
    case true?: (normalBytes, normalSource) = (powerFailBytes, powerFailSource)
    case false?: (normalBytes, normalSource) = normal
    }
    normalBoundary = boundary(namespace.nabsn)
    powerFailBoundary = boundary(namespace.nabspf)
    boundaryOffsetBytes = LogicalBlockCount(UInt64(namespace.nabo)).bytes(block)
    normalAtomicityDisabled = writeAtomicityNormal
    // 2^(12 + 51) is the last value that fits; such a limit is none.
    maximumTransferBytes =
      (1...50).contains(controller.mdts) ? 4096 << UInt64(controller.mdts) : nil
    volatileWriteCache = controller.hasVolatileWriteCache ? writeCacheEnabled : false
    self.vendorTornWrite = vendorTornWrite.map { VendorTornWriteLimits($0, block) }
    countVendor()
  }

  /// The lines that a command merged from atomic writes must not cross.
  ///
  /// The specification lets a command up to AWUPF cross them (section 2.1.4.4), and Linux up to
  /// 6.19 merges accordingly; each single write is held to the lines all the same.
  var linesForMerging: AtomicBoundary? {
    powerFailSource == .controller ? nil : powerFailBoundary
  }

  /// The largest write that fits both the unit and one window of the boundary.
  public var powerFailBytesWithinBoundary: UInt64 {
    min(powerFailBytes, powerFailBoundary?.sizeBytes ?? .max)
  }
}
