/// What is known of the place of one range of a file.
extension Planner {
  /// Who writes a range that XFS may write in either way.
  ///
  /// The promise rests on both: what is moved today may be aligned, and the drive's, tomorrow.
  func placedBacking(of request: WriteRequest) -> Backing {
    guard let placement, case .one = request.range else { return .mixed }
    guard placement.isAbout(request) else { return .unknown }
    switch placement.fate {
    case .drive: return .hardware
    case .moved: return .software
    case .refused, .unknown: return .unknown
    }
  }

  /// Where the range lies, in bytes from the begin of the filesystem's device, where the write goes
  /// there and nowhere else.
  func place(of request: WriteRequest) -> UInt64? {
    guard target.kind == .file, let placement, placement.isAbout(request) else { return nil }
    switch (request.writer, placement.fate) {
    case (.rwfAtomic, .drive(let place)): return place
    // One block of a filesystem that writes in place, which was checked before.
    case (.direct, _): return placement.mapping?.placeBytes
    default: return nil
    }
  }
}
