import LinuxIO
import SystemPackage

/// What reached the device directly below a target, as the block layer counts it.
///
/// `/sys/dev/block/MAJ:MIN/stat`, field 7: sectors of 512 bytes that write requests carried
/// (`Documentation/block/stat.rst`). Passthrough commands are not counted there.
package struct DeviceWriteCounter {
  private let path: String

  /// `nil` where nothing is known to lie directly below, or several devices share the writes.
  package init?(_ report: TargetReport) {
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
    path = "/sys/dev/block/\(number)/stat"
  }

  /// Bytes written since the device came; `nil` where they cannot be read.
  package func bytes() -> UInt64? {
    guard let text = try? SmallFile.read(path) else { return nil }
    let fields = text.split { $0 == " " || $0 == "\n" }
    guard fields.count > 6 else { return nil }
    return UInt64(fields[6]).map { $0.multipliedOrMax(by: 512) }
  }

  /// Waits for what was to be written before, and counts; `nil` where others write meanwhile.
  package func bytesWhileIdle(_ target: AtomicTarget) -> UInt64? {
    target.writeOutFileSystem()
    let before = bytes()
    HostProcess.pause(milliseconds: 100)
    return before == bytes() ? before : nil
  }
}

extension AtomicTarget {
  /// Has a file's filesystem write out everything, metadata too, so that all of it is counted.
  package func writeOutFileSystem() {
    if report.kind == .file { synchronizeFileSystem() }
  }
}
