import SystemPackage

/// One question that was asked of a ``FixtureMachine``.
package struct FixtureCall: Hashable, Sendable, CustomStringConvertible {
  package enum Kind: String, Sendable {
    case release, status, newFile, fileSystem, extents, text, names, canonicalPath, open
    case mapperTable, nodeStatus, namespaceID, diskSequence, identifyController, identifyNamespace
    case feature
  }

  package var kind: Kind
  package var argument: String

  package init(kind: Kind, argument: String) {
    self.kind = kind
    self.argument = argument
  }

  /// Whether it reaches the device: `NVME_IOCTL_ID` and `statx(2)` do not.
  package var isDeviceCommand: Bool {
    switch kind {
    case .identifyController, .identifyNamespace, .feature: true
    default: false
    }
  }

  package var description: String {
    argument.isEmpty ? kind.rawValue : "\(kind.rawValue) \(argument)"
  }
}

/// What goes wrong on a ``FixtureMachine``.
package enum FixtureFault: Hashable, Sendable, CustomStringConvertible {
  /// The n-th call fails, once.
  case call(Int, Errno)
  /// Every call from the n-th on fails, as when a device is removed.
  case callsFrom(Int, Errno)
  /// Whatever is asked of one thing fails, always.
  case every(FixtureCall, Errno)
  /// No node can be opened.
  case everyOpen(Errno)
  /// What a process without root meets: nodes that it may not open, features that it may not get.
  case denied(nodes: Set<String>, features: Set<String>)
  /// The n-th device command is answered with a status.
  case command(Int, status: UInt16)
  /// A text, or a device-mapper table by the device's number, ends after so many bytes.
  case cut(path: String, bytes: Int)

  func errno(_ index: Int, _ call: FixtureCall) -> Errno? {
    switch self {
    case .call(index, let errno): errno
    case .callsFrom(let first, let errno) where index >= first: errno
    case .every(call, let errno): errno
    case .everyOpen(let errno): call.kind == .open ? errno : nil
    case .denied(let nodes, let features):
      call.kind == .open && nodes.contains(call.argument)
        || call.kind == .feature && features.contains(call.argument) ? .permissionDenied : nil
    default: nil
    }
  }

  package var description: String {
    switch self {
    case .call(let index, let errno): "call \(index) fails: \(errno)"
    case .callsFrom(let index, let errno): "call \(index) and all later ones fail: \(errno)"
    case .everyOpen(let errno): "no node can be opened: \(errno)"
    case .every(let call, let errno): "always fails: \(call): \(errno)"
    case .denied(let nodes, let features):
      "denied: \(nodes.sorted().joined(separator: ", ")), features "
        + features.sorted().joined(separator: ", ")
    case .command(let index, let status):
      "command \(index) is answered 0x\(String(status, radix: 16))"
    case .cut(let path, let bytes): "\(path) ends after \(bytes) bytes"
    }
  }
}
