import Glibc
import NVMeAtomic
import SystemPackage

/// What is to be written: a file, or standard input.
enum InputFile {
  /// Reads everything, if that is at most `limit` bytes.
  static func read(
    _ path: String,
    upToBytes limit: Int,
    what: String
  ) throws(Failure) -> [UInt8] {
    let content: [UInt8]
    do {
      if path == "-" {
        content = try read(.standardInput, upToBytes: limit)
      } else {
        let file = try FileDescriptor.open(FilePath(path), .readOnly)
        content = try file.closeAfter { try read(file, upToBytes: limit) }
      }
    } catch {
      throw Failure(
        target: path,
        code: code(error as? Errno),
        message: "cannot read the input: \(error)",
        remedy: "name a readable file, or - for standard input",
        outcome: .notWritten
      )
    }
    guard content.count <= limit else {
      let largest = ByteText(UInt64(limit))
      throw Failure(
        target: path,
        code: .exceedsLimit,
        message: "the input exceeds \(what), \(largest)",
        remedy: "write at most \(largest) at once",
        outcome: .notWritten
      )
    }
    return content
  }

  private static func code(_ errno: Errno?) -> ErrorCode {
    switch errno {
    case .noSuchFileOrDirectory?: .notFound
    case .permissionDenied?, .notPermitted?: .permission
    default: .io
    }
  }

  /// One byte beyond the limit says that there is more.
  private static func read(_ file: FileDescriptor, upToBytes limit: Int) throws -> [UInt8] {
    var content: [UInt8] = []
    while content.count <= limit {
      let wanted = min(limit + 1 - content.count, 1 << 20)
      // SAFETY: the buffer is valid for the call, which says how much of it it filled.
      let chunk = unsafe try [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
        count = unsafe try readSome(file, into: UnsafeMutableRawBufferPointer(buffer))
      }
      if chunk.isEmpty { break }
      content += chunk
    }
    return content
  }

  /// Waits where the descriptor does not.
  private static func readSome(
    _ file: FileDescriptor,
    into buffer: UnsafeMutableRawBufferPointer
  ) throws -> Int {
    while true {
      do {
        // SAFETY: the buffer is valid for the call.
        return unsafe try file.read(into: buffer)
      } catch Errno.resourceTemporarilyUnavailable {
        var wanted = pollfd(fd: file.rawValue, events: Int16(POLLIN), revents: 0)
        // SAFETY: one structure, which the call fills.
        _ = unsafe poll(&wanted, 1, -1)
      }
    }
  }
}
