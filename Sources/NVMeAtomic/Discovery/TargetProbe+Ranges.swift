import LinuxIO
import SystemPackage

/// Where the range that was asked about lies.
extension TargetProbe {
  /// Asks the filesystem, when the question is about one range of a file.
  mutating func locateRange() {
    guard report.kind == .file, case .one(let offset, let length)? = range, length > 0 else {
      return
    }
    do throws(Errno) {
      let map = try machine.extents(
        of: report.path,
        offsetBytes: offset,
        lengthBytes: length,
        countsWholeFile: report.limits.filesystem?.reflink == true
      )
      guard TargetIdentity(map.status).isSameFile(as: report.identity) else {
        report.placement = RangePlacement(unreadable: "\(report.path) is another file by now")
        return
      }
      report.placement = RangePlacement(mapping(map, offset, length), on: report.limits)
    } catch {
      report.placement = RangePlacement(unreadable: "its extents could not be read (\(error))")
    }
  }

  private func mapping(_ map: ExtentMap, _ offset: UInt64, _ length: UInt64) -> FileMapping {
    var mapping = FileMapping(map, offsetBytes: offset, lengthBytes: length)
    mapping.mayHaveCopies =
      report.limits.filesystem?.reflink != false
      && FileMapping.mayHaveCopies(
        block: report.limits.filesystem?.blockSize,
        writeAlignment: map.status.directIO?.offsetBytes,
        readAlignment: map.status.directIO?.readOffsetBytes,
        allocatedBytes: map.status.allocatedBytes,
        mappedBytes: map.mappedBytes
      )
    return mapping
  }
}

extension FileMapping {
  /// What the filesystem has told of a range; of copies that it may have nothing is known.
  init(_ map: ExtentMap, offsetBytes: UInt64, lengthBytes: UInt64) {
    self.init(
      offsetBytes: offsetBytes,
      lengthBytes: lengthBytes,
      extents: map.extents.map {
        FileExtent(
          logicalBytes: $0.logicalBytes,
          physicalBytes: $0.physicalBytes,
          lengthBytes: $0.lengthBytes,
          flags: FileExtent.Flags(rawValue: $0.flags)
        )
      },
      isComplete: map.isComplete,
      hasUnwrittenPages: map.unwrittenPages.map { $0 > 0 }
    )
  }
}

extension TargetIdentity {
  /// Whether both are of one file; disks do not count.
  fileprivate func isSameFile(as other: TargetIdentity?) -> Bool {
    guard let other else { return false }
    return device == other.device && inode == other.inode && birth == other.birth
  }
}
