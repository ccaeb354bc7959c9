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
}
