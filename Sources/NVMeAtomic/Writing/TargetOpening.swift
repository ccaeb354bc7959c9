import LinuxIO
import SystemPackage

/// The checks between a probe and the first write.
enum TargetOpening {
  static func open(_ report: TargetReport) throws(AtomicWriteError) -> OwnedFileDescriptor {
    let isBlockDevice = report.kind?.isBlockDevice == true
    let mode: OpenMode = isBlockDevice ? [.readWrite, .direct, .exclusive] : [.readWrite, .direct]
    let descriptor = try openErrors(report) { () throws(Errno) in
      try OwnedFileDescriptor(opening: report.path, mode)
    }
    let status = try openErrors(report) { () throws(Errno) in try FileStatus(of: descriptor) }
    var identity = TargetIdentity(status)
    // Kernels before 5.15 have none, neither here nor in sysfs.
    if isBlockDevice { identity.diskSequence = try? descriptor.diskSequence() }
    guard identity == report.identity, StatxLimits(status) == report.limits.statx
    else { throw .targetChanged }
    return descriptor
  }

  /// Tables, members and paths may have changed since the probe; and what `write` needs to stay out
  /// of the page cache, not every layer offers.
  static func checkStack(
    of descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport
  ) throws(AtomicWriteError) {
    guard let stack = report.limits.stack else { return }
    let now = Probe().report(on: report.path)
    guard now.limits == report.limits, now.isSameTarget(as: report) else { throw .targetChanged }
    guard report.kind?.isBlockDevice == true else { return }
    // Linux 6.15 to 6.17 pass RWF_NOWAIT on to the members of a mirror, and what a member then
    // refuses for the moment counts as written (`drivers/md/raid1-10.c`).
    let takesNoWait = try openErrors(report) { () throws(Errno) in try descriptor.takesNoWait() }
    guard takesNoWait, !stack.layers.contains(where: \.isMirrored) else {
      throw .refused(
        .obstacle(
          "a layer below takes no RWF_NOWAIT, without which the kernel may write through the page "
            + "cache; a file on a filesystem there does"
        )
      )
    }
  }

  static func checkSignature(
    of descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport
  ) throws(AtomicWriteError) {
    let signature = try openErrors(report) { () throws(Errno) in
      // A second descriptor, of the very device that is held: libblkid reads through the page
      // cache, which O_DIRECT does not.
      try BlockSignature.name(
        on: OwnedFileDescriptor(opening: "/proc/self/fd/\(descriptor.rawValue)", .readOnly)
      )
    }
    if let signature { throw .existingData(signature: signature) }
  }

  private static func openErrors<Value: ~Copyable>(
    _ report: TargetReport,
    _ body: () throws(Errno) -> Value
  ) throws(AtomicWriteError) -> Value {
    do throws(Errno) {
      return try body()
    } catch {
      throw openError(error, report)
    }
  }

  /// See `open(2)`.
  private static func openError(_ errno: Errno, _ report: TargetReport) -> AtomicWriteError {
    func target(_ code: ErrorCode, _ message: String, _ remedy: String) -> AtomicWriteError {
      .target(ProbeError(code: code, message: message, remedy: remedy))
    }
    switch errno {
    case .resourceBusy: return .busy(report.user ?? "it is mounted or held")
    case .noSuchFileOrDirectory:
      return target(.notFound, "no such file or device", "check the path")
    case .readOnlyFileSystem:
      return target(.permission, "it is read-only", "mount it read-write, or choose another target")
    case .permissionDenied, .notPermitted:
      return target(.permission, "\(errno)", "run it as root, or gain write access to the target")
    case .textFileBusy: return .busy("it is in use as swap space or as a running program")
    case .invalidArgument:
      return target(.unsupported, "the target takes no direct I/O", "use a filesystem that does")
    default: return target(.io, "\(errno)", "check the kernel log")
    }
  }
}
