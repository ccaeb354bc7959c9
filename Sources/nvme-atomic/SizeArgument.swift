import ArgumentParser

/// A size or an offset in bytes: `512`, `16k`, `16KiB`, `1m`. Units are powers of 1024.
struct SizeArgument: ExpressibleByArgument, Equatable {
  let bytes: UInt64

  init(bytes: UInt64) {
    self.bytes = bytes
  }

  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && $0.isNumber }
    guard let number = UInt64(digits), let shift = Self.shift(argument.dropFirst(digits.count))
    else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    guard !overflow else { return nil }
    self.bytes = bytes
  }

  private static func shift(_ suffix: Substring) -> UInt64? {
    let letters = suffix.lowercased()
    if letters.isEmpty || letters == "b" { return 0 }
    for (index, unit) in ["k", "m", "g", "t", "p"].enumerated()
    where [unit, unit + "b", unit + "ib"].contains(letters) {
      return UInt64(10 * (index + 1))
    }
    return nil
  }
}
