import Foundation
import NVMeAtomic

/// A file on a filesystem whose files can exchange blocks, removed with its owner.
final class ExchangeFile {
  let path: String

  init(_ byteCount: Int, fill: UInt8 = 0x5a, on filesystem: String = "exchange") throws {
    path = try HostRig.makeFile(
      "\(filesystem)/\(UUID().uuidString)",
      byteCount: byteCount,
      fill: fill
    )
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func target() throws -> AtomicTarget {
    try AtomicTarget(opening: Probe().report(on: path), path: .exchange)
  }

  func transaction() throws -> AtomicTransaction {
    try AtomicTransaction(on: target())
  }

  var contents: [UInt8] {
    get throws { try HostRig.contents(path) }
  }

  /// How many pieces the file lies in.
  func extents() throws -> Int {
    let tool = try Tool(program: "/usr/sbin/xfs_io", ["-r", "-c", "fiemap", path])
    return tool.output.split(separator: "\n").count - 1
  }
}

extension AtomicTransaction {
  /// What a read of so many bytes finds.
  mutating func bytes(_ count: Int, atBytes offset: UInt64) throws(AtomicWriteError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xee, count: count)
    var result: Result<Int, AtomicWriteError> = .success(0)
    bytes.withUnsafeMutableBytes { buffer in
      do throws(AtomicWriteError) {
        result = .success(try read(into: buffer, atBytes: offset))
      } catch {
        result = .failure(error)
      }
    }
    return Array(bytes.prefix(try result.get()))
  }

  /// Whether staging ends with a conflict.
  mutating func conflicts(_ count: Int, atBytes offset: UInt64) throws -> Bool {
    do throws(AtomicWriteError) {
      try write([UInt8](repeating: 0xc0, count: count), atBytes: offset)
      return false
    } catch .conflict {
      return true
    }
  }
}
