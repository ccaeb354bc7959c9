import Foundation
import NVMeAtomic
import SystemPackage
import Testing

/// A loop device of a test's own; it goes with its owner.
final class ScratchDevice {
  let image: String
  private(set) var path = ""
  let byteCount: Int
  /// Other devices on the same image.
  private var others: [String] = []

  /// One whose bytes are all `fill`.
  init(_ byteCount: Int, fill: UInt8 = 0x5a) throws {
    self.byteCount = byteCount
    image = HostRig.path("device-\(UUID().uuidString).image")
    try Data(repeating: fill, count: byteCount).write(to: URL(fileURLWithPath: image))
    path = try shell("losetup --show --find '\(image)'")
  }

  deinit {
    for path in others + [path] { _ = try? shell("losetup -d \(path)") }
    try? FileManager.default.removeItem(atPath: image)
  }

  /// A part of it as a device.
  func part(offset: Int) throws -> String {
    let path = try shell("losetup --show --find --offset \(offset) '\(image)'")
    others.append(path)
    return path
  }

  func bytes(_ range: Range<Int>) throws -> [UInt8] {
    let device = try FileDescriptor.open(FilePath(path), .readOnly)
    return try device.closeAfter {
      try [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
        while count < range.count {
          let rest = UnsafeMutableRawBufferPointer(
            rebasing: UnsafeMutableRawBufferPointer(buffer)[count...]
          )
          let got = try device.read(fromAbsoluteOffset: Int64(range.lowerBound + count), into: rest)
          if got == 0 { break }
          count += got
        }
      }
    }
  }

  func overwrite(_ bytes: [UInt8], at offset: Int) throws {
    let device = try FileDescriptor.open(FilePath(path), .writeOnly)
    try device.closeAfter { _ = try device.writeAll(toAbsoluteOffset: Int64(offset), bytes) }
    try shell("sync '\(path)'")
  }
}
