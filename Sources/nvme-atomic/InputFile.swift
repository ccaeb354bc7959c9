import NVMeAtomic
import SystemPackage

/// What is to be written: a file, or standard input.
enum InputFile {
  /// Reads everything, but no more than one byte beyond `limit`, which says that there is more.
  static func read(_ path: String, upToBytes limit: Int) throws(Failure) -> [UInt8] {
    do {
      if path == "-" { return try read(.standardInput, upToBytes: limit) }
      let file = try FileDescriptor.open(FilePath(path), .readOnly)
      return try file.closeAfter { try read(file, upToBytes: limit) }
    } catch {
      let isMissing = (error as? Errno) == .noSuchFileOrDirectory
      throw Failure(
        target: path,
        code: isMissing ? .notFound : .io,
        message: "cannot read the input: \(error)",
        remedy: "name a readable file, or - for standard input",
        outcome: .notWritten
      )
    }
  }

  private static func read(_ file: FileDescriptor, upToBytes limit: Int) throws -> [UInt8] {
    var content: [UInt8] = []
    while content.count <= limit {
      let wanted = min(limit + 1 - content.count, 1 << 20)
      // SAFETY: the buffer is valid for the call, which says how much of it it filled.
      let chunk = unsafe try [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
        count = unsafe try file.read(into: UnsafeMutableRawBufferPointer(buffer))
      }
      if chunk.isEmpty { break }
      content += chunk
    }
    return content
  }
}
