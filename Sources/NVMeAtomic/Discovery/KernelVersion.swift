/// The numbers a kernel release begins with. Only for wording: behaviour is asked, never inferred.
struct KernelVersion: Comparable {
  var major: Int
  var minor: Int

  init(_ major: Int, _ minor: Int) {
    self.major = major
    self.minor = minor
  }

  /// Reads `6.12.107+deb13-amd64`; `nil` when it does not begin like a release.
  init?(release: String) {
    let parts = release.split(separator: ".").prefix(2).map {
      $0.prefix { $0.isASCII && $0.isNumber }
    }
    guard parts.count == 2, let major = Int(parts[0]), let minor = Int(parts[1]) else { return nil }
    self.init(major, minor)
  }

  static func < (left: Self, right: Self) -> Bool {
    (left.major, left.minor) < (right.major, right.minor)
  }
}
