/// What is worth knowing of the one range that was asked about.
extension Findings {
  /// Instead of what holds of any range; `nil` where this one's place is not known.
  func placedRange(_ hardware: UInt64) -> [Finding]? {
    guard let placement = report.placement, let mapping = placement.mapping else { return nil }
    switch placement.fate {
    case .drive: return []
    case .refused, .unknown: return nil
    case .moved(let cause):
      return [
        Finding(
          .rangeFallsToSoftware,
          .warning,
          .filesystem,
          "This range falls to XFS's copy-on-write as its blocks lie now: \(cause).",
          remedy: remedy(for: cause, mapping, hardware)
        )
      ]
    }
  }

  private func remedy(
    for cause: MoveCause,
    _ mapping: FileMapping,
    _ hardware: UInt64
  ) -> String? {
    let (offset, length) = (mapping.offsetBytes, mapping.lengthBytes)
    switch cause {
    case .noDrive: return nil
    case .longerThanDrive(let limit):
      return "nvme-atomic probe \(report.path) --writer rwf-atomic --at \(offset) --length \(limit)"
    case .shared:
      // The whole file: only then XFS no longer counts it among those that share.
      return "xfs_io -c \"funshare 0 $(stat -c %s \(report.path))\" \(report.path)"
    case .fragmented, .hole, .misaligned:
      return "xfs_io -f -c 'extsize \(max(hardware, length))' NEW && "
        + "cp --reflink=never --sparse=never \(report.path) NEW   # then use NEW"
    }
  }
}
