import LinuxIO
import SystemPackage

/// Says what each layer below a target promises: drive, kernel, partition, filesystem.
///
/// A probe reads only: Identify and two Get Features (at most four commands), sysfs, procfs and
/// `statx(2)`. For a directory it makes an unnamed file and drops it.
public struct Probe: Sendable {
  /// Nothing is read until ``report(on:answering:)``.
  public init() {}

  /// The running kernel's release, `uname -r`; `nil` when it cannot be read.
  public var kernelRelease: String? {
    try? LiveMachine().kernelRelease()
  }

  /// Probes one target and answers a question about it, if there is one.
  ///
  /// Never fails as a whole: what could not be read is `nil` in the report, with a finding that
  /// says why; a target that cannot be looked at carries ``TargetReport/error``.
  public func report(on path: String, answering question: Question? = nil) -> TargetReport {
    TargetProbe.report(on: path, answering: question, LiveMachine())
  }

  /// Probes several targets, in order. What they have in common is read once: mounts, swaps, the
  /// queue of a disk, and the answers of a drive that several of them rest on.
  ///
  /// A target that cannot be looked at is an entry with ``TargetReport/error``, not the end.
  public func reports(
    on paths: [String],
    answering question: Question? = nil
  ) -> [TargetReport] {
    if let path = paths.first, paths.count == 1 { return [report(on: path, answering: question)] }
    let machine = SharedMachine(LiveMachine())
    return paths.map { path in
      machine.startTarget()
      return TargetProbe.report(on: path, answering: question, machine)
    }
  }

  /// The nodes of every block device that holds something, in natural order: disks, partitions, dm,
  /// md, and loop devices with a file.
  ///
  /// Left out are RAM disks, devices of size 0 other than NVMe namespaces, and the hidden path
  /// disks of native multipath.
  ///
  /// - Throws: ``ProbeError`` when sysfs cannot be read.
  public func blockDevices() throws(ProbeError) -> [String] {
    try BlockDeviceList.paths(LiveMachine())
  }
}
