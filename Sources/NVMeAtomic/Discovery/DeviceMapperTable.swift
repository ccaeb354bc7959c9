import LinuxIO

/// A device-mapper table, as far as it can be looked through.
///
/// `Documentation/admin-guide/device-mapper/`: linear.rst, striped.rst, dm-crypt.rst.
struct DeviceMapperTable {
  /// One target: a range of the device, and what it is made of.
  struct Segment {
    /// Where the range begins in the device, in bytes.
    var startBytes: UInt64
    var type: String
    /// The stripe of a striped target, in bytes.
    var chunkBytes: UInt64?
    /// Whether an ordinary write may be divided although it lies in one piece.
    var dividesOrdinaryWrites = false
    /// What the range lies on, and from where on there, in bytes; `nil` for a type that is not
    /// looked through.
    var pieces: [(device: DeviceNumber, startBytes: UInt64)]?
  }

  var segments: [Segment]

  /// Reads `start length type parameters` lines; `nil` where one cannot be read, or where they do
  /// not cover the device's sectors of 512 bytes without a gap.
  init?(_ text: String, sectors: UInt64?) {
    guard text.utf8.last == UInt8(ascii: "\n"), let size = sectors?.multipliedOrMax(by: 512)
    else { return nil }
    segments = []
    var end: UInt64 = 0
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ").map(String.init)
      guard words.count >= 3, let start = Self.bytes(words[0]), let length = Self.bytes(words[1]),
        start == end
      else { return nil }
      end = start.addingOrMax(length)
      var segment = Segment(startBytes: start, type: words[2])
      let parameters = Array(words.dropFirst(3))
      switch segment.type {
      case "linear":
        guard parameters.count == 2, let piece = Self.piece(parameters[...]) else { return nil }
        segment.pieces = [piece]
      case "crypt":
        guard segment.readCrypt(parameters) else { return nil }
      case "striped":
        guard segment.readStripes(parameters) else { return nil }
      default: break
      }
      segments.append(segment)
    }
    if segments.isEmpty || end != size { return nil }
  }

  /// The types, each once, in order.
  var types: String {
    var seen: [String] = []
    for segment in segments where !seen.contains(segment.type) { seen.append(segment.type) }
    return seen.joined(separator: "+")
  }

  fileprivate static func piece(
    _ words: ArraySlice<String>
  ) -> (device: DeviceNumber, startBytes: UInt64)? {
    guard let name = words.first, let device = DeviceNumber(text: name),
      let start = words.dropFirst().first.flatMap(bytes)
    else { return nil }
    return (device, start)
  }

  /// Tables count sectors of 512 bytes.
  fileprivate static func bytes(_ sectors: String) -> UInt64? {
    guard let sectors = UInt64(sectors) else { return nil }
    let (bytes, overflow) = sectors.multipliedReportingOverflow(by: 512)
    return overflow ? nil : bytes
  }
}

extension DeviceMapperTable.Segment {
  /// `<cipher> <key> <iv offset> <device> <start> [<options> …]`
  ///
  /// `drivers/md/dm-crypt.c`: an atomic write becomes one clone, whatever its size, and is never
  /// divided (`crypt_map`, `crypt_alloc_buffer`); an ordinary one is. Nothing is looked through
  /// where blocks carry tags.
  fileprivate mutating func readCrypt(_ words: [String]) -> Bool {
    guard words.count >= 5, let piece = DeviceMapperTable.piece(words[3...]) else { return false }
    dividesOrdinaryWrites = true
    if !words.dropFirst(5).contains(where: { $0.hasPrefix("integrity") }) { pieces = [piece] }
    return true
  }

  /// `<stripes> <chunk size> [<device> <start>]+`
  fileprivate mutating func readStripes(_ words: [String]) -> Bool {
    guard words.count >= 4, let count = Int(words[0]), count == (words.count - 2) / 2,
      words.count % 2 == 0,
      let chunk = DeviceMapperTable.bytes(words[1]), chunk > 0
    else { return false }
    chunkBytes = chunk
    let found = (0..<count).compactMap { DeviceMapperTable.piece(words[(2 + 2 * $0)...]) }
    guard found.count == count else { return false }
    pieces = found
    return true
  }
}

extension DeviceNumber {
  /// Reads `259:3`, as device-mapper and sysfs write it.
  init?(text: String) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let major = UInt32(parts[0]), let minor = UInt32(parts[1]) else {
      return nil
    }
    self.init(major: major, minor: minor)
  }
}
