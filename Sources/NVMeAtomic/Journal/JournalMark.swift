import LinuxIO
import SystemPackage

/// What a file's extended attribute `user.nvme-atomic` says: which journal belongs to it, how new
/// that is at least, and where it was when it was last opened.
///
/// `1 0123456789abcdef0123456789abcdef 17 same /path/of/the/journal`
package struct JournalMark: Hashable {
  package var identity: JournalIdentity
  /// The superblock's; an older one is a copy from before.
  package var generation: UInt64
  /// Whether journal and file lie on one filesystem: then no other one's journal will do, as that
  /// of the filesystem's own copy.
  package var isOnSameFilesystem: Bool
  package var path: String

  /// - Returns: `nil` for what this version does not understand.
  package init?(_ text: String) {
    let parts = text.split(separator: " ", maxSplits: 4, omittingEmptySubsequences: false)
    guard parts.count == 5, parts[0] == "1", let identity = JournalIdentity(hex: parts[1]),
      let generation = UInt64(parts[2]), "\(generation)" == parts[2],
      ["same", "other"].contains(parts[3]),
      parts[4].hasPrefix("/")
    else { return nil }
    self.init(
      identity,
      generation: generation,
      isOnSameFilesystem: parts[3] == "same",
      path: String(parts[4])
    )
  }

  package init(
    _ identity: JournalIdentity,
    generation: UInt64,
    isOnSameFilesystem: Bool,
    path: String
  ) {
    self.identity = identity
    self.generation = generation
    self.isOnSameFilesystem = isOnSameFilesystem
    self.path = path
  }

  package var text: String {
    "1 \(identity.hex) \(generation) \(isOnSameFilesystem ? "same" : "other") \(path)"
  }
}

extension JournalIdentity {
  /// 32 digits, the higher half first.
  var hex: String {
    [high, low].map { number in
      let digits = String(number, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  init?(hex: some StringProtocol) {
    guard hex.utf8.count == 32, let high = UInt64(hex.prefix(16), radix: 16),
      let low = UInt64(hex.suffix(16), radix: 16)
    else { return nil }
    self.init(low: low, high: high)
    // A number may have a sign, and capitals; a name has neither.
    if self.hex != hex { return nil }
  }
}
