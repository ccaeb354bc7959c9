import LinuxIO
import SystemPackage

/// Reads attributes of sysfs and remembers which of them made no sense.
///
/// An attribute that does not exist is simply unknown: older kernels lack many. One that exists
/// and cannot be read or understood is unknown too, and is reported.
struct SysfsReader<System: Machine> {
  let machine: System
  private(set) var unreadable: [String] = []

  init(_ machine: System) {
    self.machine = machine
  }

  /// One line, blanks after it removed (Identify pads its texts); `nil` when there is none.
  mutating func text(_ path: String) -> String? {
    guard let line = line(path) else { return nil }
    let padding = line.reversed().prefix { $0 == UInt8(ascii: " ") }.count
    if padding == line.count { unreadable.append(path) }
    return padding == line.count ? nil : String(Substring(line.dropLast(padding)))
  }

  /// A decimal number. An attribute without its closing line feed was cut short and is no number.
  mutating func number(_ path: String) -> UInt64? {
    guard let line = line(path) else { return nil }
    // Digits alone: the kernel writes no sign, and -0 would be a number.
    guard line.allSatisfy({ (0x30...0x39).contains($0) }),
      let value = UInt64(Substring(line))
    else {
      unreadable.append(path)
      return nil
    }
    return value
  }

  /// The first line without its line feed; `nil`, and noted, when it is cut short.
  private mutating func line(_ path: String) -> Substring.UTF8View? {
    do throws(Errno) {
      let text = try machine.text(of: path).utf8
      if let end = text.firstIndex(of: UInt8(ascii: "\n")) { return text[..<end] }
      unreadable.append(path)
    } catch {
      if error != .noSuchFileOrDirectory { unreadable.append(path) }
    }
    return nil
  }

  /// A table of procfs, which always exists; `nil`, and noted, when it is not to be had whole.
  mutating func table(_ path: String) -> String? {
    if let text = try? machine.text(of: path), text.utf8.last == UInt8(ascii: "\n") { return text }
    unreadable.append(path)
    return nil
  }

  /// The names in a directory that always exists; `nil`, and noted, when it cannot be read.
  mutating func requiredNames(_ path: String) -> [String]? {
    let names = try? machine.names(in: path)
    if names == nil { unreadable.append(path) }
    return names
  }

  /// Whether something exists there.
  func exists(_ path: String) -> Bool {
    (try? machine.canonicalPath(of: path)) != nil
  }

  /// The last name of what a link points to.
  func linkName(_ path: String) -> String? {
    (try? machine.canonicalPath(of: path)).map(\.lastComponent)
  }

  /// The names in a directory; none where it cannot be read.
  func names(_ path: String) -> [String] {
    (try? machine.names(in: path)) ?? []
  }

  /// `queue/` of a disk.
  mutating func queueLimits(ofDisk path: String) -> QueueLimits {
    let queue = path + "/queue/"
    var limits = QueueLimits()
    limits.atomicWriteUnitMinBytes = number(queue + "atomic_write_unit_min_bytes")
    limits.atomicWriteUnitMaxBytes = number(queue + "atomic_write_unit_max_bytes")
    limits.atomicWriteMaxBytes = number(queue + "atomic_write_max_bytes")
    limits.atomicWriteBoundaryBytes = number(queue + "atomic_write_boundary_bytes")
    limits.logicalBlockSize = number(queue + "logical_block_size")
    limits.physicalBlockSize = number(queue + "physical_block_size")
    limits.maxSectorsKB = number(queue + "max_sectors_kb")
    limits.maxHWSectorsKB = number(queue + "max_hw_sectors_kb")
    limits.maxSegments = number(queue + "max_segments")
    limits.chunkSectors = number(queue + "chunk_sectors")
    limits.nomerges = number(queue + "nomerges")
    switch text(queue + "write_cache") {
    case "write back"?: limits.writeBack = true
    case "write through"?: limits.writeBack = false
    case .some: unreadable.append(queue + "write_cache")
    case nil: break
    }
    return limits
  }
}

extension String {
  /// What follows the last slash.
  var lastComponent: String {
    let slash = utf8.lastIndex(of: UInt8(ascii: "/"))
    return String(self[(slash.map(utf8.index(after:)) ?? startIndex)...])
  }

  /// What precedes the last slash.
  var parentPath: String {
    String(self[..<(utf8.lastIndex(of: UInt8(ascii: "/")) ?? startIndex)])
  }
}
