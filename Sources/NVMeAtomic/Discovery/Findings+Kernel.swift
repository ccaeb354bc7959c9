/// What the kernel makes of the drive's limits, and where the two contradict each other.
extension Findings {
  /// Findings about RWF_ATOMIC's limits.
  var kernel: [Finding] {
    var found = tooOld + (device.map(directWriters) ?? [])
    guard let queueMaximum = queue.atomicWriteUnitMaxBytes,
      let mergedMaximum = queue.atomicWriteMaxBytes
    else { return found }
    if let device = specified {
      found +=
        oddBoundary(device, queueMaximum) + lost(device, queueMaximum)
        + smaller(device, queueMaximum)
    }
    if queueMaximum > 0, mergedMaximum > queueMaximum, queue.nomerges != 2 {
      found.append(
        Finding(
          .adjacentBatchHazard,
          .warning,
          .kernel,
          "Adjacent atomic writes submitted in one batch are merged up to "
            + "\(ByteText(mergedMaximum)) and then all rejected.",
          remedy: setQueue("nomerges", to: "2")
        )
      )
    }
    return found
  }

  var tooOld: [Finding] {
    guard let version = facts.kernel, offersNothing else { return [] }
    let needed = report.kind?.isFile == true ? KernelVersion(6, 13) : KernelVersion(6, 11)
    guard version < needed, report.kind != .controller, report.kind != .generic else { return [] }
    return [
      Finding(
        .kernelTooOld,
        .blocking,
        .kernel,
        "Linux \(version.major).\(version.minor) has no RWF_ATOMIC for "
          + "\(report.kind?.isFile == true ? "files" : "block devices").",
        remedy: "boot Linux \(needed.major).\(needed.minor) or newer"
      )
    ]
  }

  /// A boundary that powers of two do not fit into.
  private func oddBoundary(_ device: DeviceLimits, _ queueMaximum: UInt64) -> [Finding] {
    guard let boundary = device.powerFailBoundary, !boundary.sizeBytes.isPowerOfTwo,
      device.boundaryOffsetBytes == 0 || queueMaximum > 0
    else { return [] }
    let size = ByteText(boundary.sizeBytes)
    guard queueMaximum > 0 else {
      return [
        Finding(
          .boundaryNotPowerOfTwo,
          .blocking,
          .kernel,
          "The drive's boundary of \(size) is not a power of two: the kernel offers no RWF_ATOMIC; "
            + "passthrough is not bound by that."
        )
      ]
    }
    return [
      Finding(
        .boundaryNotPowerOfTwo,
        .warning,
        .device,
        "The drive's boundary of \(size) is not a power of two: at every aligned offset at most "
          + "\(ByteText(boundary.sizeBytes.powerOfTwoFactor)) lie between two of its lines."
      )
    ]
  }

  /// Why the kernel offers nothing, or one block, of what the drive declares.
  private func lost(_ device: DeviceLimits, _ queueMaximum: UInt64) -> [Finding] {
    let block = UInt64(device.logicalBlockSize.bytes)
    if device.boundaryOffsetBytes != 0, queueMaximum == 0 {
      return [
        Finding(
          .boundaryOffsetUnsupported,
          .blocking,
          .kernel,
          "The drive's boundaries begin at \(ByteText(device.boundaryOffsetBytes)) (NABO), which "
            + "the kernel does not support: it offers no RWF_ATOMIC; passthrough is not bound by "
            + "that."
        )
      ]
    }
    guard device.powerFailSource == .controller, device.powerFailBytes > block else { return [] }
    if queueMaximum <= block {
      return [
        Finding(
          .awupfIgnoredByKernel,
          .blocking,
          .kernel,
          "The drive declares \(ByteText(device.powerFailBytes)) controller-wide (AWUPF) and "
            + "nothing for the namespace (NAWUPF); this kernel trusts the latter only.",
          remedy: "ask the vendor for firmware that reports NAWUPF"
        )
      ]
    }
    return [
      Finding(
        .controllerWideLimit,
        .warning,
        .kernel,
        "The limit comes from AWUPF, which drives report inconsistently across formats and which "
          + "Linux 7.0 and newer ignore.",
        remedy: "ask the vendor for firmware that reports NAWUPF"
      )
    ]
  }

  /// Why the kernel offers less than the drive declares.
  private func smaller(_ device: DeviceLimits, _ queueMaximum: UInt64) -> [Finding] {
    let block = UInt64(device.logicalBlockSize.bytes)
    guard queueMaximum > 0, device.powerFailSource == .namespace || queueMaximum > block else {
      return []
    }
    var found: [Finding] = []
    let whole = device.powerFailBytesWithinBoundary
    if !whole.isPowerOfTwo {
      found.append(
        Finding(
          .roundedDownToPowerOfTwo,
          .info,
          .kernel,
          "The drive keeps \(ByteText(whole)) whole; RWF_ATOMIC takes powers of two only, so "
            + "\(ByteText(whole.powerOfTwoFloor)) is the most it can use."
        )
      )
    }
    if queueMaximum < whole.powerOfTwoFloor {
      found.append(
        Finding(
          .cappedByTransferLimit,
          .warning,
          .kernel,
          "The drive keeps \(ByteText(whole)) whole, but one command carries less (MDTS or "
            + "segments): the kernel's limit is \(ByteText(queueMaximum)).",
          // Two segments count for one block each: 4 KiB blocks double what is left.
          remedy: block < 4096
            && (queue.maxHWSectorsKB ?? 0).multipliedOrMax(by: 1024) >= 2 * queueMaximum
            ? format(blockBytes: [4096]) : nil
        )
      )
    }
    return found
  }

  /// What stands between ordinary direct writes and the drive's unit.
  private func directWriters(_ device: DeviceLimits) -> [Finding] {
    guard report.kind?.isBlockDevice == true, queue.nomerges != 2,
      let kilobytes = queue.maxSectorsKB,
      device.powerFailBoundary != nil || device.powerFailSource == .vendor
        || kilobytes.multipliedOrMax(by: 1024) > device.powerFailBytes,
      device.powerFailBytes > UInt64(device.logicalBlockSize.bytes)
    else { return [] }
    return [
      Finding(
        .neighboursMayMerge,
        .info,
        .kernel,
        "Ordinary direct writes are not kept whole: the block layer may merge neighbours into "
          + "commands of up to \(ByteText(kilobytes.multipliedOrMax(by: 1024))).",
        remedy: setQueue("nomerges", to: "2")
      )
    ]
  }

  // MARK: Contradictions

  /// Identify, queue and statx against each other, and Identify against the specification.
  var contradictions: [Finding] {
    var found = identifyContradictions
    if case .unknown(.blockSizesDiffer) = target.drive, case .unknown(let fact) = target.drive {
      found.append(
        Finding(
          .limitsDisagree,
          .blocking,
          .kernel,
          "After a format without a rescan, \(fact).",
          remedy: report.controller.map { "sudo nvme ns-rescan /dev/\($0.name)" }
        )
      )
    }
    guard let device = specified else { return found }
    func disagree(_ severity: Finding.Severity, _ layer: Finding.Layer, _ message: String) {
      found.append(Finding(.limitsDisagree, severity, layer, message))
    }
    if device.volatileWriteCache == true, queue.writeBack == false {
      found.append(
        Finding(
          .cacheNeverFlushed,
          .blocking,
          .kernel,
          "The drive caches writes and the kernel sends no flush: no write is durable, unless the "
            + "drive keeps this namespace out of its cache.",
          remedy: setQueue("write_cache", to: "'write back'")
        )
      )
    }
    guard let queueMaximum = queue.atomicWriteUnitMaxBytes else { return found }
    if report.kind == .namespace, let statx = target.statx,
      UInt64(statx.atomicWriteUnitMax ?? 0) != queueMaximum
    {
      disagree(
        .warning,
        .kernel,
        "statx reports \(ByteText(UInt64(statx.atomicWriteUnitMax ?? 0))), the queue "
          + "\(ByteText(queueMaximum))."
      )
    }
    guard queueMaximum > 0 else { return found }
    if queueMaximum > device.powerFailBytesWithinBoundary {
      disagree(
        .blocking,
        .kernel,
        "The kernel offers \(ByteText(queueMaximum)), the drive keeps only "
          + "\(ByteText(device.powerFailBytesWithinBoundary)) whole."
      )
    }
    if device.boundaryOffsetBytes != 0 {
      disagree(
        .blocking,
        .kernel,
        "The kernel offers atomic writes although the drive's boundaries are offset (NABO)."
      )
    } else if let lines = queue.atomicWriteBoundaryBytes {
      // The kernel takes the boundary together with NAWUPF, and none with AWUPF.
      let boundary = device.powerFailSource == .namespace ? device.powerFailBoundary : nil
      if lines != boundary?.sizeBytes ?? 0 {
        disagree(
          .blocking,
          .kernel,
          "The drive's boundary is \(ByteText(boundary?.sizeBytes ?? 0)), the kernel's "
            + "\(ByteText(lines))."
        )
      }
    }
    return found
  }

  /// NVM Command Set Specification 1.2, section 2.1.4: what the fields must satisfy.
  private var identifyContradictions: [Finding] {
    guard let controller = report.controller?.identify, let namespace = report.namespace?.identify
    else { return [] }
    var broken: [String] = []
    if controller.awupf > controller.awun { broken.append("AWUPF > AWUN") }
    let defines = namespace.definesAtomicFields
    let nawun = defines && namespace.nawun != 0 ? namespace.nawun : controller.awun
    let nawupf = defines && namespace.nawupf != 0 ? namespace.nawupf : controller.awupf
    if nawun < controller.awun { broken.append("NAWUN < AWUN") }
    if nawupf < controller.awupf { broken.append("NAWUPF < AWUPF") }
    if nawupf > nawun { broken.append("NAWUPF > NAWUN") }
    if namespace.nabsn != 0, namespace.nabsn < nawun { broken.append("NABSN < NAWUN") }
    if namespace.nabspf != 0, namespace.nabspf < nawupf { broken.append("NABSPF < NAWUPF") }
    if broken.isEmpty { return [] }
    return [
      Finding(
        .limitsDisagree,
        .warning,
        .device,
        "Identify contradicts the specification: \(broken.joined(separator: ", "))."
      )
    ]
  }
}
