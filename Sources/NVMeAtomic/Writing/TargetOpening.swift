import LinuxIO
import SystemPackage

/// The checks between a probe and the first write.
enum TargetOpening {
  static func open(
    _ report: TargetReport,
    onlyReads: Bool = false
  ) throws(AtomicWriteError) -> OwnedFileDescriptor {
    let isBlockDevice = report.kind?.isBlockDevice == true
    var mode: OpenMode = [onlyReads ? .readOnly : .readWrite, .direct]
    if isBlockDevice { mode.insert(.exclusive) }
    let descriptor = try openErrors(report) { () throws(Errno) in
      try openWhenFree(report.path, mode, report)
    }
    let status = try openErrors(report) { () throws(Errno) in try FileStatus(of: descriptor) }
    var identity = TargetIdentity(status)
    // Kernels before 5.15 have none, neither here nor in sysfs.
    if isBlockDevice { identity.diskSequence = try? descriptor.diskSequence() }
    guard identity == report.identity, StatxLimits(status) == report.limits.statx
    else { throw .targetChanged }
    return descriptor
  }

  /// Waits half a second for a block device that nobody is seen to use: io_uring keeps what a
  /// killed process had open for a moment after its end.
  static func openWhenFree(
    _ path: String,
    _ mode: OpenMode,
    _ report: TargetReport
  ) throws(Errno) -> OwnedFileDescriptor {
    for _ in 0..<25 where report.user == nil && mode.contains(.exclusive) {
      do throws(Errno) {
        return try OwnedFileDescriptor(opening: path, mode)
      } catch {
        guard error == .resourceBusy else { throw error }
      }
      HostProcess.pause(milliseconds: 20)
    }
    return try OwnedFileDescriptor(opening: path, mode)
  }

  /// The probe may be old: a format, another firmware, table, member or path changes what holds,
  /// and none of them changes the device that is open.
  static func checkLimits(_ report: TargetReport) throws(AtomicWriteError) {
    let now = Probe().report(on: report.path)
    guard now.limits == report.limits, now.isSameTarget(as: report) else {
      throw try change(now)
    }
  }

  /// What differs from the first probe has changed, unless the second one could not look.
  private static func change(_ now: TargetReport) throws(AtomicWriteError) -> AtomicWriteError {
    do throws(Errno) {
      _ = try OwnedFileDescriptor(opening: "/proc/self/stat", .readOnly)
    } catch  where [.tooManyOpenFiles, .tooManyOpenFilesInSystem].contains(error) {
      throw .noResources(.descriptor, SystemError(error))
    } catch {
      return .targetChanged
    }
    if let error = now.error { throw .target(error) }
    return .targetChanged
  }

  /// What `write` needs to stay out of the page cache, not every layer offers.
  static func checkStack(
    of descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport,
    _ path: WritePath
  ) throws(AtomicWriteError) {
    guard let stack = report.limits.stack, report.kind?.isBlockDevice == true else { return }
    // Linux 6.15 to 6.17 pass RWF_NOWAIT on to the members of a mirror, and what a member then
    // refuses for the moment counts as written (`drivers/md/raid1-10.c`).
    let takesNoWait = try openErrors(report) { () throws(Errno) in try descriptor.takesNoWait() }
    // io_uring tries that by itself first, for plain writes too.
    guard takesNoWait || path == .plain || path == .journal,
      !stack.layers.contains(where: \.isMirrored)
    else {
      throw .refused(
        .obstacle(
          "a layer below takes no RWF_NOWAIT, without which the kernel may write through the page "
            + "cache; a file on a filesystem there does"
        )
      )
    }
  }

  /// The same for commands of our own, which pass the kernel's settings by.
  static func confirm(_ report: TargetReport) throws(AtomicWriteError) {
    let now = Probe().report(on: report.path)
    let (before, after) = (report.limits.passthroughFacts, now.limits.passthroughFacts)
    if now.isSameTarget(as: report), before == after { return }
    if now.isSameTarget(as: report), case .unknown(let fact) = now.limits.commandDrive,
      case .identify = fact
    {
      throw .missingFact(fact)
    }
    throw try change(now)
  }

  /// Finds and holds what commands of our own need.
  static func claim(_ report: TargetReport) throws(AtomicWriteError) -> NamespaceClaim {
    let nodes: NamespaceNodes
    do throws(NamespaceNodes.Obstacle) {
      nodes = try NamespaceNodes(of: report, LiveMachine())
    } catch {
      throw .refused(.obstacle(error.clause))
    }
    return try NamespaceClaim(nodes, report)
  }

  /// Where commands go.
  ///
  /// - Throws: ``AtomicWriteError/refused(_:)`` or ``AtomicWriteError/missingFact(_:)`` where the
  ///   namespace takes none.
  static func address(
    _ report: TargetReport,
    allowsShared: Bool
  ) throws(AtomicWriteError) -> NamespaceAddress {
    guard [.namespace, .partition, .generic].contains(report.kind) else {
      let limits = PassthroughPathLimits(report.limits)
      throw .refused(.obstacle(limits.reason ?? "not an NVMe namespace"))
    }
    let device: DeviceLimits
    switch report.limits.commandDrive {
    case .none: throw .refused(.noDrive)
    case .unknown(let fact): throw .missingFact(fact)
    case .known(let limits): device = limits
    }
    switch report.limits.passthroughLimit(device, allowsShared: allowsShared) {
    case .fails(let refusal): throw .refused(refusal)
    case .unknown(let fact): throw .missingFact(fact)
    case .holds: break
    }
    let block = UInt64(device.logicalBlockSize.bytes)
    guard let nsid = report.commandNamespaceID else { throw .missingFact(.paths) }
    guard let start = report.limits.startBytes else { throw .missingFact(.start) }
    guard start % block == 0 else {
      throw .refused(.misaligned(offsetBytes: start, alignmentBytes: block))
    }
    return NamespaceAddress(
      nsid: nsid,
      firstBlock: start / block,
      blockShift: UInt8(block.trailingZeroBitCount)
    )
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

  static func openErrors<Value: ~Copyable>(
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
  static func openError(_ errno: Errno, _ report: TargetReport) -> AtomicWriteError {
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
    case .tooManyOpenFiles, .tooManyOpenFilesInSystem:
      return .noResources(.descriptor, SystemError(errno))
    default: return target(.io, "\(errno)", "check the kernel log")
    }
  }
}
