extension MoveCause: CustomStringConvertible {
  /// A clause about the range.
  public var description: String {
    switch self {
    case .noDrive: "the drive serves no atomic writes of this filesystem"
    case .longerThanDrive(let limit): "it is longer than the drive's \(ByteText(limit))"
    case .shared: "blocks of it are shared with another file"
    case .fragmented(let pieces, let isAll):
      isAll ? "it lies in \(pieces) extents" : "it lies in more than \(pieces) extents"
    case .hole(let isWhole):
      isWhole ? "no blocks are allocated for it" : "parts of it have no blocks"
    case .misaligned(let place):
      "it begins at \(place) of the filesystem's device, which is not a multiple of its length"
    }
  }
}

extension PlacementDoubt: CustomStringConvertible {
  /// A clause that says what is not known.
  public var description: String {
    switch self {
    case .unreadable(let reason): reason
    case .filesystem: "how the filesystem writes is not known"
    case .unwrittenPages: "the page cache has pages of it to write back"
    case .pagesNotCounted: "whether the page cache has pages of it to write back is not told"
    case .placeless(let flags):
      "the filesystem reports its place as " + flags.names.joined(separator: ", ")
    case .contradiction: "the filesystem's report contradicts itself"
    case .copiesSetAside:
      "XFS may have blocks set aside for copies of it, as where a clone once shared them"
    }
  }
}

extension RangePlacement {
  /// What is added to the reason of an answer, a clause; `nil` where the place decides nothing.
  func clause(for verdict: PathVerdict, writer: Writer, _ target: TargetLimits) -> String? {
    let now = "true as its blocks lie now and until they are moved"
    switch verdict {
    case .unknown(.placement): return "\(doubt)"
    case .holds(let promise) where writer == .rwfAtomic:
      switch (promise.backing, fate) {
      case (.hardware, .drive(let place?)): return "\(now): one extent at \(place)"
      case (.hardware, .drive(nil)):
        return target.filesystem?.type == "ext4"
          ? nil : "its block is allocated by the write, and may be moved later"
      case (.software, .moved(let cause)):
        switch cause {
        case .noDrive, .longerThanDrive: return "\(cause)"
        default: return "\(now): \(cause)"
        }
      case (.unknown, _): return "which of the two cannot be told: \(doubt)"
      default: return nil
      }
    case .holds where writer == .direct:
      guard target.drive.limits?.powerFailBoundary != nil, let place = mapping?.placeBytes else {
        return nil
      }
      return "\(now): one extent at \(place)"
    default: return nil
    }
  }

  private var doubt: String {
    if case .unknown(let doubt) = fate { return doubt.description }
    switch fate {
    case .moved: return "XFS will move it, nobody knows where to"
    default: return "it is not one extent that is written in place"
    }
  }
}
