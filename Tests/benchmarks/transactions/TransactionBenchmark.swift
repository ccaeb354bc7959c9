import Foundation
import NVMeAtomic

/// Times transactions beside ordinary writes of the same bytes to the same file.
///
///     transaction-benchmark FOLDER [ROUNDS]
///
/// Rounds run every variant once, in turn; medians are printed as a table.
/// `Tests/benchmarks/exchange` makes the filesystem.
@main struct TransactionBenchmark {
  static let pieceBytes = 1 << 20
  static let pieces = 256
  static let scattered = 10_000
  static let strideBytes = 32 << 10

  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count > 1 else { fatalError("usage: transaction-benchmark FOLDER [ROUNDS]") }
    let bench = try Bench(folder: arguments[1])
    let rounds = arguments.count > 2 ? Int(arguments[2]) ?? 5 : 5
    var figures: [String: [Figure]] = [:]
    for _ in 0..<rounds {
      for variant in Variant.allCases {
        figures[variant.rawValue, default: []].append(try bench.run(variant))
      }
    }
    let title = "\(pieces) MiB in pieces of 1 MiB, durable"
    print("| \(title) | seconds | beside buffered writes | at the device |")
    print("|---|---|---|---|")
    let base = median(figures[Variant.buffered.rawValue]?.map(\.seconds) ?? [])
    for variant in Variant.allCases {
      let all = figures[variant.rawValue] ?? []
      let seconds = all.map(\.seconds)
      let amplified = median(all.map { Double($0.deviceBytes) / Double(pieces * pieceBytes) })
      print(
        "| \(variant.rawValue) | \(spread(seconds)) | \(text(base / median(seconds))) "
          + "| \(String(format: "%.3f", amplified)) bytes for each |"
      )
    }
    try bench.runScattered(rounds)
  }

  static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? .nan : sorted[sorted.count / 2]
  }

  static func text(_ value: Double) -> String { String(format: "%.2f", value) }

  static func spread(_ values: [Double]) -> String {
    let all = [median(values), values.min() ?? 0, values.max() ?? 0]
    let texts = all.map { String(format: "%.3f", $0) }
    return "\(texts[0]) (\(texts[1]) to \(texts[2]))"
  }
}

enum Variant: String, CaseIterable {
  case buffered = "pwrite and fsync"
  case direct = "pwrite with O_DIRECT, and fsync"
  case transaction = "one transaction"
}

struct Figure {
  var seconds: Double
  var deviceBytes: UInt64
}

struct Bench {
  let folder: String
  let path: String
  let statistics: String

  init(folder: String) throws {
    self.folder = folder
    path = folder + "/target"
    var status = stat()
    guard stat(folder, &status) == 0 else { fatalError("no folder \(folder)") }
    let (major, minor) = (status.st_dev >> 8 & 0xfff, status.st_dev & 0xff)
    statistics = "/sys/dev/block/\(major):\(minor)/stat"
  }

  func unitsWritten() throws -> UInt64 {
    let text = try String(contentsOfFile: statistics, encoding: .utf8)
    return UInt64(text.split { $0 == " " || $0 == "\n" }[6]) ?? 0
  }

  /// A file of its own for each run, as exchanging leaves it in pieces.
  func makeFile(byteCount: Int) throws {
    try? FileManager.default.removeItem(atPath: path)
    let chunk = [UInt8](repeating: 1, count: 1 << 20)
    let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
    for place in 0..<byteCount >> 20 { pwrite(descriptor, chunk, chunk.count, place << 20) }
    fsync(descriptor)
    close(descriptor)
    settle()
  }

  func settle() {
    sync()
    usleep(300_000)
  }

  func seconds(_ body: () throws -> Void) rethrows -> Double {
    let begin = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9
  }

  func run(_ variant: Variant) throws -> Figure {
    try makeFile(byteCount: TransactionBenchmark.pieces << 20)
    let buffer = AlignedBuffer(copying: (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    let before = try unitsWritten()
    let taken: Double
    switch variant {
    case .transaction:
      let target = try AtomicTarget(opening: Probe().report(on: path), path: .exchange)
      taken = try seconds {
        var transaction = try AtomicTransaction(on: target)
        for place in 0..<TransactionBenchmark.pieces {
          try buffer.withBytes { bytes throws(AtomicWriteError) in
            try transaction.write(bytes, atBytes: UInt64(place) << 20)
          }
        }
        try transaction.commit()
      }
    case .buffered, .direct:
      let descriptor = open(path, O_RDWR | (variant == .direct ? 0x4000 : 0))
      taken = seconds {
        buffer.withBytes { bytes in
          for place in 0..<TransactionBenchmark.pieces {
            pwrite(descriptor, bytes.baseAddress, bytes.count, place << 20)
          }
        }
        fsync(descriptor)
      }
      close(descriptor)
    }
    sync()
    return Figure(seconds: taken, deviceBytes: (try unitsWritten() - before) * 512)
  }

  // MARK: Scattered ranges

  func runScattered(_ rounds: Int) throws {
    let (count, stride) = (TransactionBenchmark.scattered, TransactionBenchmark.strideBytes)
    let page = [UInt8](repeating: 9, count: 4096)
    var (plain, staging, commit, stall, quiet): ([Double], [Double], [Double], [Double], [Double]) =
      ([], [], [], [], [])
    var extents = 0
    for _ in 0..<rounds {
      let places = (0..<count).map { $0 * stride }.shuffled()
      try makeFile(byteCount: count * stride)
      let descriptor = open(path, O_RDWR)
      plain.append(
        seconds {
          for place in places { pwrite(descriptor, page, page.count, place) }
          fsync(descriptor)
        }
      )
      close(descriptor)
      settle()
      let target = try AtomicTarget(opening: Probe().report(on: path), path: .exchange)
      var transaction = try AtomicTransaction(on: target)
      staging.append(
        try seconds { for place in places { try transaction.write(page, atBytes: UInt64(place)) } }
      )
      let reader = Reader(path, byteCount: count * stride)
      Thread { reader.run() }.start()
      usleep(300_000)
      quiet.append(reader.takeLongest())
      commit.append(try seconds { try transaction.commit() })
      stall.append(reader.takeLongest())
      reader.stop()
      extents = try self.extents()
    }
    let spread = TransactionBenchmark.spread
    print("\n| \(count) ranges of 4 KiB, in any order, durable | seconds |\n|---|---|")
    print("| pwrite and fsync | \(spread(plain)) |\n| staging | \(spread(staging)) |")
    print("| commit | \(spread(commit)) |")
    print("| longest wait of a reader during the commit | \(spread(stall)) |")
    print("| longest wait of a reader before it | \(spread(quiet)) |")
    print("| pieces of the file afterwards | \(extents) |")
  }

  func extents() throws -> Int {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/sbin/xfs_io")
    process.arguments = ["-r", "-c", "fiemap", path]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    return text.split(separator: "\n").count - 1
  }
}

/// Reads pages of a file at random, and remembers the longest wait.
final class Reader: @unchecked Sendable {
  private let path: String
  private let pages: Int
  private let lock = NSLock()
  private var longest = 0.0
  private var isOver = false
  private let ended = DispatchSemaphore(value: 0)

  init(_ path: String, byteCount: Int) {
    self.path = path
    pages = byteCount / 4096
  }

  func takeLongest() -> Double {
    lock.withLock {
      defer { longest = 0 }
      return longest
    }
  }

  func stop() {
    lock.withLock { isOver = true }
    ended.wait()
  }

  func run() {
    defer { ended.signal() }
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    var page = [UInt8](repeating: 0, count: 4096)
    while !lock.withLock({ isOver }) {
      let begin = DispatchTime.now().uptimeNanoseconds
      pread(descriptor, &page, page.count, Int.random(in: 0..<pages) * 4096)
      let taken = Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9
      lock.withLock { longest = max(longest, taken) }
    }
  }
}
