import LinuxIO
import Synchronization
import SystemPackage

/// A namespace, or a part of it, held for commands of our own.
///
/// `O_EXCL` on a character device means nothing, so the block devices are held: the target's, those
/// of partitions that share its bytes, and those of the same namespace by other controllers
/// (`block/bdev.c:bd_may_claim`). Who opens without `O_EXCL`, or a character device, is not kept
/// out, and neither are other hosts.
final class NamespaceClaim: Sendable {
  /// How long Identify is believed, in nanoseconds: a format or a new firmware changes what a
  /// command may be without a sign to its sender.
  static let trustNanoseconds: UInt64 = 1_000_000_000

  /// The character device, which commands go through.
  let generic: OwnedFileDescriptor
  private let held: [HeldNode]
  private let expiry = Atomic<UInt64>(0)

  /// Opens the nodes, and holds them as long as it lives.
  ///
  /// - Throws: ``AtomicWriteError/busy(_:)`` while somebody else holds one.
  init(_ nodes: NamespaceNodes, _ report: TargetReport) throws(AtomicWriteError) {
    var held: [HeldNode] = []
    for (index, node) in nodes.claimed.enumerated() {
      let mode: OpenMode = index == 0 ? [.readWrite, .exclusive] : [.readOnly, .exclusive]
      held.append(try HeldNode(node, mode, report))
    }
    for node in nodes.cached { held.append(try HeldNode(node, .readOnly, report)) }
    self.held = held
    generic = try TargetOpening.openErrors(report) { () throws(Errno) in
      try OwnedFileDescriptor(opening: nodes.generic.path, .readWrite)
    }
    let (number, nsid) = try TargetOpening.openErrors(report) { () throws(Errno) in
      (try FileStatus(of: generic).representedDevice, try generic.namespaceID())
    }
    guard number == nodes.generic.number, nsid == nodes.nsid else { throw .targetChanged }
  }

  deinit {
    // What readers through the page cache have read meanwhile is old. BLKFLSBUF would write back
    // what somebody has dirtied, over what was written here.
    for node in held { try? node.descriptor.dropPages(offset: 0, count: 0) }
  }

  /// The target's own block device.
  var block: HeldNode { held[0] }

  /// Has what others wrote through the page cache written back, before commands pass it by.
  func emptyPageCaches(_ report: TargetReport) throws(AtomicWriteError) {
    do throws(Errno) {
      for node in held { try node.descriptor.writeBackAndDropPages() }
    } catch {
      throw .target(
        ProbeError(
          code: .io,
          message: "what the page cache held could not be written back: \(error)",
          remedy: "nothing was written by this program; check the kernel log"
        )
      )
    }
  }

  /// Whether Identify is to be asked again, and by the caller: of several threads one is told so.
  func isTurn() -> Bool {
    let now = HostProcess.coarseNanoseconds
    let due = expiry.load(ordering: .relaxed)
    guard now >= due else { return false }
    return expiry.compareExchange(
      expected: due,
      desired: now &+ Self.trustNanoseconds,
      ordering: .relaxed
    ).exchanged
  }

  /// What Identify said is not to be believed any longer, as after a failed command.
  func expire() {
    expiry.store(0, ordering: .relaxed)
  }
}

/// An open block device.
final class HeldNode: Sendable {
  let descriptor: OwnedFileDescriptor

  init(
    _ node: NamespaceNodes.Node,
    _ mode: OpenMode,
    _ report: TargetReport
  ) throws(AtomicWriteError) {
    do throws(Errno) {
      descriptor = try TargetOpening.openWhenFree(node.path, mode, report)
    } catch {
      guard error == .resourceBusy else { throw TargetOpening.openError(error, report) }
      throw .busy(report.user ?? "\(node.path) is mounted or held")
    }
    let number = try TargetOpening.openErrors(report) { () throws(Errno) in
      try FileStatus(of: descriptor).representedDevice
    }
    guard number == node.number else { throw .targetChanged }
  }
}

extension TargetLimits {
  /// What commands of our own are planned by.
  struct PassthroughFacts: Hashable {
    var drive: DriveKnowledge
    var startBytes: UInt64?
    var sizeBytes: UInt64?
    var fabric: String?
    var sharing: String?
    var transferKB: UInt64?
    var blockBytes: UInt64?
  }

  var passthroughFacts: PassthroughFacts {
    PassthroughFacts(
      drive: commandDrive,
      startBytes: startBytes,
      sizeBytes: sizeBytes,
      fabric: commandFabric,
      sharing: sharing,
      transferKB: commandTransferKB,
      blockBytes: queue.logicalBlockSize
    )
  }
}
