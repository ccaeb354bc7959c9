/// What commands of the library's own meet. By several paths the kernel sends each command by one
/// that it chooses (`drivers/nvme/host/multipath.c:nvme_find_path`): the least of all counts.
extension TargetLimits {
  /// The paths to the one namespace that the target lies on; empty where it has a single one, or is
  /// no namespace.
  private var paths: [Foundation] {
    guard case .unknown(.paths) = drive, let stack, stack.doubt == nil, stack.layers.count == 1,
      stack.layers[0].kind == "multipath"
    else { return [] }
    return stack.foundations
  }

  /// What the drive keeps of a command, by whichever path.
  var commandDrive: DriveKnowledge {
    guard let first = paths.first else { return drive }
    var agreed: DeviceLimits?
    for path in paths {
      guard case .known(let limits) = path.drive else { return path.drive }
      guard let before = agreed else {
        agreed = limits
        continue
      }
      guard let both = before.agreeing(with: limits) else { return .unknown(.paths) }
      agreed = both
    }
    return agreed.map { .known($0) } ?? first.drive
  }

  /// The fabric that commands go by; `nil` for a local drive.
  var commandFabric: String? { fabric ?? paths.lazy.compactMap(\.fabric).first }

  /// What the driver takes in one command, in KiB; `nil` where that is not known.
  var commandTransferKB: UInt64? {
    var least = queue.maxHWSectorsKB
    for path in paths {
      guard let before = least, let most = path.queue.maxHWSectorsKB else { return nil }
      least = min(before, most)
    }
    return least
  }

  /// Whether a Flush command serves what was written before, by whichever path: it applies to what
  /// its own controller has completed (NVM Express Base Specification 2.0, section 7.2).
  var flushServesAllCommands: Bool {
    paths.count <= 1 || commandDrive.limits?.volatileWriteCache == false
  }
}

extension DeviceLimits {
  /// What both promise of one namespace; `nil` where that is no single statement.
  fileprivate func agreeing(with other: DeviceLimits) -> DeviceLimits? {
    guard logicalBlockSize == other.logicalBlockSize, metadataBytes == other.metadataBytes,
      powerFailBoundary == other.powerFailBoundary, normalBoundary == other.normalBoundary,
      boundaryOffsetBytes == other.boundaryOffsetBytes, vendorTornWrite == other.vendorTornWrite,
      specified == other.specified
    else { return nil }
    var both = self
    if other.powerFailBytes < powerFailBytes {
      both.powerFailBytes = other.powerFailBytes
      both.powerFailSource = other.powerFailSource
    }
    both.normalAtomicityDisabled = Self.worse(
      normalAtomicityDisabled,
      other.normalAtomicityDisabled
    )
    if let mine = normalBytes, let theirs = other.normalBytes {
      both.normalBytes = min(mine, theirs)
      both.normalSource = theirs < mine ? other.normalSource : normalSource
    } else {
      (both.normalBytes, both.normalSource) = (nil, nil)
    }
    both.maximumTransferBytes = [maximumTransferBytes, other.maximumTransferBytes]
      .compactMap(\.self).min()
    both.volatileWriteCache = Self.worse(volatileWriteCache, other.volatileWriteCache)
    return both
  }

  /// True where one is, `nil` where one is not known.
  private static func worse(_ one: Bool?, _ other: Bool?) -> Bool? {
    if one == true || other == true { return true }
    return one == nil || other == nil ? nil : false
  }
}
