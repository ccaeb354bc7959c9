import LinuxIO
import SystemPackage

/// What reached the device directly below a target.
///
/// As the block layer counts it: `/sys/dev/block/MAJ:MIN/stat`, field 7, sectors of 512 bytes that
/// write requests carried (`Documentation/block/stat.rst`). Passthrough commands are not counted
/// there; the controller counts them, by thousands.
package struct DeviceWriteCounter {
  private enum Source {
    case stat(String)
    /// The namespace's character device.
    case controller(String)
  }

  private let source: Source

  /// A thousandth of error is what a figure may have: Data Units are 512,000 bytes, rounded up.
  private static let unitBytes: UInt64 = 512_000
  private static let fewestUnits: UInt64 = 1000

  /// `nil` where nothing is known to lie directly below, or several devices share the writes.
  package init?(_ report: TargetReport, path: WritePath) {
    if path == .passthrough {
      source = .controller(report.path)
      return
    }
    // The target itself, or what a file lies on; a partition's counter is its own.
    let below = report.stack.first { $0.kind != "file" }
    let isOneDevice =
      below.map { !["dm", "md", "generic", "controller"].contains($0.kind) } ?? false
    guard let identity = report.identity, isOneDevice, report.namespaces.count <= 1 else {
      return nil
    }
    let number = report.limits.kind.isFile ? identity.device : identity.represented
    // A device number with major 0 belongs to no block device.
    if number.major == 0 { return nil }
    source = .stat("/sys/dev/block/\(number)/stat")
  }

  /// Units written since the device came, and how many bytes each has; `nil` where they cannot be
  /// read.
  private func units() -> UInt64? {
    switch source {
    case .controller(let node):
      return try? NVMeNode(opening: node).dataUnitsWritten()
    case .stat(let path):
      guard let text = try? SmallFile.read(path) else { return nil }
      let fields = text.split { $0 == " " || $0 == "\n" }
      return fields.count > 6 ? UInt64(fields[6]) : nil
    }
  }

  /// Waits for what was to be written before, and counts; `nil` where others write meanwhile.
  package func unitsWhileIdle(_ target: AtomicTarget) -> UInt64? {
    // Of what is written elsewhere this counter knows nothing.
    if target.journal?.isElsewhere == true { return nil }
    target.writeOutFileSystem()
    let before = units()
    HostProcess.pause(milliseconds: 100)
    return before == units() ? before : nil
  }

  /// Bytes written since then, metadata too; `nil` where that is too little to tell.
  package func bytes(since before: UInt64, _ target: AtomicTarget) -> UInt64? {
    target.writeOutFileSystem()
    guard let after = units(), after >= before else { return nil }
    switch source {
    case .stat: return (after - before).multipliedOrMax(by: 512)
    case .controller:
      guard after - before >= Self.fewestUnits else { return nil }
      return (after - before).multipliedOrMax(by: Self.unitBytes)
    }
  }
}

extension AtomicTarget {
  /// Has a file's filesystem write out everything, metadata too, so that all of it is counted.
  package func writeOutFileSystem() {
    if report.kind == .file { synchronizeFileSystem() }
  }
}
