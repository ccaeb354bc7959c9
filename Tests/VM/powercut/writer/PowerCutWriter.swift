import Glibc
import NVMeAtomic

/// Writes what it is told to by the library, and tells when that is done, until the power is cut.
///
///     power-cut-writer TARGET PATH [--journal-region OFFSET:LENGTH] [--allow-shared]
///         [--queue DEPTH:PORT] [--single PORT] [--transaction PORT] ...
///
/// Each port is a lane, with a thread of its own. A request there is a number of ranges, 4 bytes,
/// and of each its offset, 8, its length, 4, and its bytes, least significant byte first; no range
/// ends the lane. By a queue and singly each range is a write of its own, and the answer to each is
/// its number in the request, 4 bytes; by a transaction all are one, and the answer is 0.
/// Everything is durable when it is told, but for plain writes. The answer to what failed is
/// FFFFFFFFh, a length, 4 bytes, and text.
@main
struct PowerCutWriter {
  static func main() {
    do {
      let target = try Arguments(CommandLine.arguments).open()
      let lanes = target.lanes.map { lane in
        LaneThread { Lane(port: lane.port, target: target.target).serve(lane.kind) }
      }
      for lane in lanes { lane.join() }
      try target.target.close()
    } catch let error as AtomicWriteError {
      fail("\(error)")
    } catch {
      fail("usage: power-cut-writer TARGET PATH ...: \(error)")
    }
  }

  static func fail(_ text: String) -> Never {
    print("power-cut-writer: \(text)")
    exit(3)
  }
}

enum LaneKind {
  case queue(depth: Int)
  case single
  case transaction
}

struct UsageError: Error {
  var argument: String
}

/// What the command line says.
struct Arguments {
  var path = ""
  var way = WritePath.kernel
  var journal = JournalPlace.automatic
  var allowsShared = false
  var lanes: [(kind: LaneKind, port: String)] = []

  init(_ arguments: [String]) throws {
    guard arguments.count > 2, let way = WritePath(rawValue: arguments[2]) else {
      throw UsageError(argument: "path")
    }
    (path, self.way) = (arguments[1], way)
    var rest = arguments.dropFirst(3)
    while let option = rest.popFirst() {
      if option == "--allow-shared" {
        allowsShared = true
        continue
      }
      guard let value = rest.popFirst() else { throw UsageError(argument: option) }
      let parts = value.split(separator: ":", maxSplits: 1).map(String.init)
      switch option {
      case "--journal-region":
        guard parts.count == 2, let offset = UInt64(parts[0]), let length = UInt64(parts[1])
        else { throw UsageError(argument: option) }
        journal = .region(offsetBytes: offset, lengthBytes: length)
      case "--queue":
        guard parts.count == 2, let depth = Int(parts[0]) else {
          throw UsageError(argument: option)
        }
        lanes.append((.queue(depth: depth), parts[1]))
      case "--single": lanes.append((.single, value))
      case "--transaction": lanes.append((.transaction, value))
      default: throw UsageError(argument: option)
      }
    }
  }

  func open() throws -> (target: AtomicTarget, lanes: [(kind: LaneKind, port: String)]) {
    let target = try AtomicTarget(
      opening: Probe().report(on: path),
      path: way,
      allowingShared: allowsShared,
      journal: journal
    )
    return (target, lanes)
  }
}

/// One port, and what is carried out for it.
struct Lane {
  let port: Int32
  let target: AtomicTarget

  init(port: String, target: AtomicTarget) {
    self.port = open(port, O_RDWR)
    self.target = target
    if self.port < 0 { PowerCutWriter.fail("\(port): errno \(errno)") }
  }

  func serve(_ kind: LaneKind) {
    do {
      switch kind {
      case .queue(let depth): try serveQueue(depth)
      case .single: try serveSingle()
      case .transaction: try serveTransactions()
      }
    } catch {
      tell(.max)
      let text = Array("\(error)".utf8)
      tell(UInt32(text.count))
      write(text)
    }
  }

  private var durability: Durability { target.path == .plain ? .none : .onReturn }

  private func serveQueue(_ depth: Int) throws(AtomicWriteError) {
    var queue = try AtomicWriteQueue(target, depth: depth, durability: durability)
    while let ranges = nextRequest() {
      for (number, range) in ranges.enumerated() {
        if queue.inFlight == depth { try tellNext(&queue) }
        let buffer = AlignedBuffer(copying: range.bytes)
        if let refused = queue.submit(buffer, atBytes: range.offset, tag: UInt64(number)) {
          throw refused.error
        }
      }
      while queue.inFlight > 0 { try tellNext(&queue) }
    }
  }

  private func tellNext(_ queue: inout AtomicWriteQueue) throws(AtomicWriteError) {
    guard let done = try queue.next() else { return }
    if let error = done.error { throw error }
    tell(UInt32(done.tag))
  }

  private func serveSingle() throws(AtomicWriteError) {
    var writer = AtomicWriter(target)
    while let ranges = nextRequest() {
      for (number, range) in ranges.enumerated() {
        let buffer = AlignedBuffer(copying: range.bytes)
        _ = try writer.write(buffer, atBytes: range.offset, durability: durability)
        tell(UInt32(number))
      }
    }
  }

  private func serveTransactions() throws(AtomicWriteError) {
    var transaction = try AtomicTransaction(on: target)
    while let ranges = nextRequest() {
      for range in ranges { try transaction.write(range.bytes, atBytes: range.offset) }
      try transaction.commit(durability: durability)
      tell(0)
    }
  }

  // MARK: The port

  private func nextRequest() -> [(offset: UInt64, bytes: [UInt8])]? {
    let count = Int(number(4))
    if count == 0 { return nil }
    return (0..<count).map { _ in
      let offset = number(8)
      return (offset, read(Int(number(4))))
    }
  }

  private func number(_ byteCount: Int) -> UInt64 {
    read(byteCount).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private func read(_ byteCount: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    var done = 0
    while done < byteCount {
      let count = bytes.withUnsafeMutableBytes {
        Glibc.read(port, $0.baseAddress.map { $0 + done }, byteCount - done)
      }
      // The other side is gone, and with it whoever would listen.
      if count <= 0 { PowerCutWriter.fail("the port ended") }
      done += count
    }
    return bytes
  }

  private func tell(_ number: UInt32) {
    write((0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) })
  }

  private func write(_ bytes: [UInt8]) {
    let count = bytes.withUnsafeBytes { Glibc.write(port, $0.baseAddress, bytes.count) }
    if count != bytes.count { PowerCutWriter.fail("the port takes no more") }
  }
}

/// A thread that is waited for.
final class LaneThread {
  private var thread = pthread_t()

  init(_ body: @escaping @Sendable () -> Void) {
    let box = Unmanaged.passRetained(Body(body))
    let failure = pthread_create(&thread, nil, Self.run, box.toOpaque())
    if failure != 0 { PowerCutWriter.fail("no thread: errno \(failure)") }
  }

  func join() {
    pthread_join(thread, nil)
  }

  private static let run: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
    guard let box = $0 else { return nil }
    Unmanaged<Body>.fromOpaque(box).takeRetainedValue().body()
    return nil
  }

  private final class Body: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
      self.body = body
    }
  }
}
