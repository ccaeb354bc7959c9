import Glibc
import NVMeAtomic
import SystemPackage

/// What is to be written: a file, or standard input.
enum InputFile {
  /// Reads everything, if that is at most `limit` bytes.
  static func read(
    _ path: String,
    upToBytes limit: Int,
    what: String,
    readAhead: [UInt8]? = nil
  ) throws(Failure) -> [UInt8] {
    let content: [UInt8]
    do {
      if path == "-", let readAhead {
        content = readAhead
      } else if path == "-" {
        content = try read(.standardInput, upToBytes: limit)
      } else {
        let file = try FileDescriptor.open(FilePath(path), .readOnly)
        content = try file.closeAfter { try read(file, upToBytes: limit) }
      }
    } catch {
      throw failure(path, error)
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

  /// Whether all of them can be opened: what is made for a write need not be made in vain.
  static func checkReadable(_ paths: [String]) throws(Failure) {
    for path in paths where path != "-" {
      do {
        // Not a pipe, whose other end would notice.
        if let status = try? FilePath(path).stat(), status.type != .regular { continue }
        try FileDescriptor.open(FilePath(path), .readOnly).close()
      } catch {
        throw failure(path, error)
      }
    }
  }

  /// The first bytes of standard input, as many as there are.
  static func readAhead(_ count: Int) throws(Failure) -> [UInt8] {
    do {
      return try read(.standardInput, upToBytes: count - 1)
    } catch {
      throw failure("-", error)
    }
  }

  /// Reads everything into memory for one piece, and lends each piece in turn. All but the last one
  /// are of one size.
  static func forEachPiece(
    _ path: String,
    readAhead: [UInt8]? = nil,
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    if path == "-", let readAhead, !readAhead.isEmpty {
      let ahead = AlignedBuffer(copying: readAhead)
      // SAFETY: the bytes are lent for the call.
      unsafe try ahead.withBytes { bytes throws(Failure) in unsafe try body(bytes) }
    }
    let file: FileDescriptor
    do {
      file = path == "-" ? .standardInput : try FileDescriptor.open(FilePath(path), .readOnly)
    } catch {
      throw failure(path, error)
    }
    defer { if path != "-" { try? file.close() } }
    var piece = AlignedBuffer(byteCount: 1 << 20)
    while true {
      let count: Int
      do {
        // SAFETY: the buffer is valid for the call.
        count = unsafe try piece.withMutableBytes { unsafe try fill($0, from: file) }
      } catch {
        throw failure(path, error)
      }
      if count == 0 { return }
      // SAFETY: at most as many bytes as the buffer has, lent for the call.
      unsafe try piece.withBytes { bytes throws(Failure) in
        unsafe try body(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      }
    }
  }

  /// As many bytes as there are until the end, and as have room.
  private static func fill(
    _ buffer: UnsafeMutableRawBufferPointer,
    from file: FileDescriptor
  ) throws -> Int {
    var done = 0
    while done < buffer.count {
      // SAFETY: within the buffer.
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let got = unsafe try readSome(file, into: rest)
      if got == 0 { break }
      done += got
    }
    return done
  }

  private static func failure(_ path: String, _ error: any Error) -> Failure {
    Failure(
      target: path,
      code: code(error as? Errno),
      message: "cannot read the input: \(error)",
      remedy: "name a readable file, or - for standard input",
      outcome: .notWritten
    )
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
