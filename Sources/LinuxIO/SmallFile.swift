import CNVMeAtomic
package import SystemPackage

/// Whole reads of the small texts that sysfs and procfs serve.
package enum SmallFile {
  /// The longest text read; more is `EFBIG`. `/proc/self/mountinfo` of a busy host fits.
  package static let limitBytes = 4 << 20

  /// The whole content as text. Bytes that are not UTF-8 are replaced.
  ///
  /// The corresponding system calls are `open(2)` and `read(2)`.
  package static func read(_ path: String) throws(Errno) -> String {
    let file = try OwnedFileDescriptor(opening: path, .readOnly)
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let got = try read(from: file, into: &chunk)
      if got == 0 { break }
      content.append(contentsOf: chunk[..<got])
      guard content.count <= limitBytes else { throw .fileTooLarge }
      // Attributes are short: grow only for the long procfs tables.
      if got == chunk.count { chunk = [UInt8](repeating: 0, count: min(chunk.count * 4, 1 << 18)) }
    }
    return String(decoding: content, as: UTF8.self)
  }

  private static func read(
    from file: borrowing OwnedFileDescriptor,
    into chunk: inout [UInt8]
  ) throws(Errno) -> Int {
    var failure: Errno?
    // SAFETY: the buffer is valid for the closure, which does not keep it.
    let got = unsafe chunk.withUnsafeMutableBytes { buffer in
      do throws(Errno) {
        return unsafe try file.read(into: buffer)
      } catch {
        failure = error
        return 0
      }
    }
    if let failure { throw failure }
    return got
  }
}

/// Names and canonical paths.
package enum Directory {
  /// The names in a directory, sorted bytewise so that output never depends on hash order.
  ///
  /// The corresponding calls are `opendir(3)` and `readdir(3)`.
  package static func names(in path: String) throws(Errno) -> [String] {
    // SAFETY: pointer and capacity describe one buffer.
    let bytes = unsafe try filled(capacity: 1 << 20) { pointer, capacity in
      unsafe nvmeatomic_list_directory(path, pointer, capacity)
    }
    return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.sorted()
  }

  /// The path without symbolic links. The corresponding call is `realpath(3)`.
  package static func canonicalPath(of path: String) throws(Errno) -> String {
    // SAFETY: pointer and capacity describe one buffer.
    let bytes = unsafe try filled(capacity: 4097) { pointer, capacity in
      unsafe nvmeatomic_realpath(path, pointer, capacity)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  static func filled(
    capacity: Int,
    _ body: (UnsafeMutablePointer<CChar>, Int) -> Int64
  ) throws(Errno) -> [UInt8] {
    var result: Int64 = 0
    // SAFETY: the body writes at most `capacity` bytes; only those it reports are kept.
    let bytes = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: capacity) { buffer in
      guard let base = buffer.baseAddress else { return [UInt8]() }
      result = unsafe body(base, capacity)
      return unsafe buffer.prefix(Int(max(result, 0))).map { UInt8(bitPattern: $0) }
    }
    _ = try kernelValue(result)
    return bytes
  }
}
