import LinuxIO
import SystemPackage

/// Asks a drive: at most four commands, all of them reads.
///
/// Identify Controller, Identify Namespace, Get Features 0Ah (Write Atomicity Normal) and, where
/// there is a volatile write cache, Get Features 06h.
struct DriveAnswers {
  var identifyController: IdentifyController?
  var identifyNamespace: IdentifyNamespace?
  var vendorTornWrite: VendorTornWriteFields?
  var writeAtomicityNormalDisabled: Bool?
  var writeCacheEnabled: Bool?
  var nsid: UInt32?
  /// The first thing that went wrong, as a clause.
  var failure: String?
  /// What was denied, where the lack of permission went wrong.
  var denial: Denial?

  enum Denial: Equatable {
    /// These nodes could not be opened.
    case opening([String])
    /// This command was refused through an open node.
    case command(String, node: String)
    /// The table of this device-mapper device, which only root gets, since it may hold keys.
    case table(String)
  }

  private let path: String

  /// Which namespace to ask for.
  enum Wanted: Equatable {
    /// None: a controller's node.
    case none
    /// The one that the node stands for.
    case own
    /// This one, by a controller's node.
    case named(UInt32)
  }

  /// Opens the node and asks. `expected` is the device that the facts from sysfs belong to.
  init<System: Machine>(
    node path: String,
    expected: DeviceNumber,
    namespace wanted: Wanted,
    _ machine: System
  ) {
    self.path = path
    let node: System.Node
    do throws(Errno) {
      node = try machine.openNode(path)
      guard try node.status().representedDevice == expected else {
        failure = "\(path) changed while it was being read"
        return
      }
    } catch {
      note(.host(error), "opening \(path)")
      if denial != nil { denial = .opening([path]) }
      return
    }
    identifyController = ask("Identify Controller") { () throws(PassthroughError) in
      try node.identifyController()
    }.flatMap(IdentifyController.init)
    if wanted != .none { askNamespace(node, wanted) }
    // The features refine Identify; without it they would stand alone.
    guard let identifyController, failure == nil else { return }
    writeAtomicityNormalDisabled = ask("Get Features 0Ah") { () throws(PassthroughError) in
      try node.feature(0x0a, nsid: 0) & 1 != 0
    }
    guard identifyController.hasVolatileWriteCache else { return }
    writeCacheEnabled = ask("Get Features 06h") { () throws(PassthroughError) in
      try node.feature(0x06, nsid: 0) & 1 != 0
    }
  }

  private mutating func askNamespace(_ node: some NVMeAdminNode, _ wanted: Wanted) {
    if case .named(let number) = wanted {
      nsid = number
    } else {
      do throws(Errno) {
        nsid = try node.namespaceID()
      } catch {
        note(.host(error), "asking for the namespace id")
      }
    }
    guard let nsid, failure == nil else { return }
    guard
      let page = ask(
        "Identify Namespace",
        { () throws(PassthroughError) in
          try node.identifyNamespace(nsid)
        }
      )
    else { return }
    identifyNamespace = IdentifyNamespace(page: page)
    vendorTornWrite = identifyController.flatMap { VendorTornWriteFields(page: page, of: $0) }
  }

  private mutating func ask<Value>(
    _ command: String,
    _ body: () throws(PassthroughError) -> Value
  ) -> Value? {
    do throws(PassthroughError) {
      return try body()
    } catch {
      note(error, command)
      return nil
    }
  }

  private mutating func note(_ error: PassthroughError, _ doing: String) {
    guard failure == nil else { return }
    switch error {
    case .host(let errno):
      guard errno == .permissionDenied || errno == .notPermitted else {
        failure = "the drive could not be asked: \(doing): \(errno)"
        return
      }
      denial = .command(doing, node: path)
      failure = "the drive could not be asked: \(doing) is not permitted"
    case .device(let status):
      failure =
        "the drive answered \(doing) with NVMe status 0x\(String(status, radix: 16))"
    }
  }
}
