@testable import NVMeAtomic

/// Lines on a device: one at every *offset + y × size*, y ≥ 0.
struct Lines: Hashable {
  var size: UInt64
  var offset: UInt64 = 0

  /// Whether a line lies strictly inside a range. Walks the lines, so ranges must be near.
  func cut(_ range: Range<UInt64>) -> Bool {
    var line = offset
    while line < range.upperBound {
      if line > range.lowerBound { return true }
      line += size
    }
    return false
  }
}

/// A drive by its raw fields, and what NVM Command Set 1.2, section 2.1.4, says it keeps.
///
/// The rules are stated here once more, apart from the code under test.
struct Drive: Hashable {
  var lbads: UInt8 = 9
  var definesFields = false
  var awun: UInt16 = 0
  var awupf: UInt16 = 0
  var nawun: UInt16 = 0
  var nawupf: UInt16 = 0
  var nabsn: UInt16 = 0
  var nabo: UInt16 = 0
  var nabspf: UInt16 = 0
  var mdts: UInt8 = 0
  var metadata: UInt16 = 0
  /// DN of feature 0Ah.
  var disabled: Bool? = false
  /// A volatile write cache in use.
  var cache: Bool? = false

  var block: UInt64 { UInt64(1) << UInt64(lbads) }

  /// Reads the specification as if AWUPF, too, held only inside the boundary.
  var isControllerUnitInside = false

  var isNamespaceUnit: Bool { definesFields && nawupf != 0 }

  var powerFail: UInt64 { (UInt64(isNamespaceUnit ? nawupf : awupf) + 1) * block }

  /// `nil` where the drive keeps commands apart no longer, or where that cannot be told.
  var normal: UInt64? {
    guard disabled == false else { return nil }
    return (UInt64(definesFields && nawun != 0 ? nawun : awun) + 1) * block
  }

  var powerFailLines: Lines? { lines(nabspf) }
  var normalLines: Lines? { lines(nabsn) }

  private func lines(_ field: UInt16) -> Lines? {
    field == 0 ? nil : Lines(size: (UInt64(field) + 1) * block, offset: UInt64(nabo) * block)
  }

  /// MDTS in the smallest memory pages there can be.
  var transfer: UInt64 { mdts == 0 ? .max : 4096 << UInt64(mdts) }

  /// Section 2.1.4.3. AWUPF holds across boundaries (2.1.4.4), NAWUPF does not.
  func keepsOverPowerLoss(_ command: Range<UInt64>) -> Bool {
    command.upperBound - command.lowerBound <= powerFail
      && (!(isNamespaceUnit || isControllerUnitInside) || powerFailLines?.cut(command) != true)
  }

  /// Section 2.1.4.2, with the boundary for either unit.
  func keepsApart(_ command: Range<UInt64>) -> Bool {
    guard let normal else { return false }
    return command.upperBound - command.lowerBound <= normal && normalLines?.cut(command) != true
  }

  /// The same drive as the code under test decodes it.
  var limits: DeviceLimits {
    var controller = Self.controller
    (controller.awun, controller.awupf, controller.mdts) = (awun, awupf, mdts)
    controller.vwc = cache == false ? 0 : 1
    var namespace = Self.namespace
    namespace.nsfeat = definesFields ? 2 : 0
    (namespace.lbads, namespace.metadataBytes) = (lbads, metadata)
    (namespace.nawun, namespace.nawupf) = (nawun, nawupf)
    (namespace.nabsn, namespace.nabo, namespace.nabspf) = (nabsn, nabo, nabspf)
    let decoded = DeviceLimits(
      controller: controller,
      namespace: namespace,
      writeAtomicityNormal: disabled,
      writeCacheEnabled: cache
    )
    guard let decoded else { fatalError("LBADS \(lbads) is valid") }
    return decoded
  }

  private static let controller = IdentifyFixture.controller()
  private static let namespace = IdentifyFixture.namespace()
}

/// A tiny machine: one drive, one queue, perhaps a partition, perhaps a filesystem.
struct World {
  var drive: Drive
  /// The facts that the planner is given. Its drive is always the one above, or unknown.
  var target: TargetLimits

  init(_ drive: Drive, kind: TargetKind = .namespace) {
    self.drive = drive
    target = TargetLimits(kind: kind, drive: .known(drive.limits))
    (target.startBytes, target.sizeBytes) = (0, 64 * drive.block)
    target.queue.maxSectorsKB = 1280
    target.queue.maxHWSectorsKB = 2048
    target.queue.maxSegments = 128
    (target.queue.chunkSectors, target.queue.nomerges) = (0, 0)
    target.queue.writeBack = drive.cache != false
    target.queue.logicalBlockSize = drive.block
    target.queue.physicalBlockSize = drive.block
    target.queue.atomicWriteUnitMinBytes = 0
    target.queue.atomicWriteUnitMaxBytes = 0
    target.queue.atomicWriteMaxBytes = 0
    target.queue.atomicWriteBoundaryBytes = 0
  }

  var start: UInt64 { target.startBytes ?? 0 }

  func verdict(_ path: WritePath, _ request: WriteRequest) -> PathVerdict {
    let plan = Planner(target).plan(request)
    return switch path {
    case .kernel: plan.kernel
    case .passthrough: plan.passthrough
    case .plain: plan.plain
    case .exchange, .journal: .fails(.obstacle("not planned by ranges"))
    }
  }
}

extension WritePath {
  /// Those that the planner decides by the range of one write.
  static let planned: [WritePath] = [.kernel, .passthrough, .plain]
}
