import Foundation
import Testing

/// The program under strace, which fails a system call, or kills the program as it makes one.
enum TracedTool {
  /// A system call of a run: its name, and which one of that name it is.
  struct Call: Hashable, CustomStringConvertible {
    var name: String
    var number: Int

    var description: String { "\(name) \(number)" }
    var killing: String { "\(name):signal=KILL:when=\(number)" }
    func failing(with errno: String) -> String { "\(name):error=\(errno):when=\(number)" }
  }

  /// Without io_uring there are system calls, each of which can fail.
  static let withoutRing = "io_uring_setup:error=ENOSYS"

  static func run(_ arguments: [String], injecting faults: [String] = []) throws -> Tool {
    // It is stopped at the system calls that fail, and at no other one; strace sends no signals so.
    let isKilled = faults.contains { $0.contains(":signal=") }
    let calls = faults.compactMap { $0.split(separator: ":").first }.joined(separator: ",")
    let options =
      ["-f", "-qq", "-e", "signal=none", "-o", "/dev/null", "-e", "trace=" + calls]
      + (isKilled ? [] : ["--seccomp-bpf"])
    return try Tool(
      program: "/usr/bin/strace",
      options + faults.flatMap { ["-e", "inject=" + $0] } + [Tool.path] + arguments
    )
  }

  /// Every system call of a run of the program, in their order, from the first look at its target
  /// on.
  static func calls(
    of arguments: [String],
    injecting faults: [String] = []
  ) throws -> [Call] {
    let log = HostRig.path("tmpfs/trace-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(atPath: log) }
    let options = ["-f", "-qq", "-e", "signal=none", "-o", log]
    let tool = try Tool(
      program: "/usr/bin/strace",
      options + faults.flatMap { ["-e", "inject=" + $0] } + [Tool.path] + arguments
    )
    try #require(tool.status == 0, "\(tool.errors)")
    var (counts, hasBegun) = ([String: Int](), false)
    return try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").compactMap {
      // A number of the thread, a name, and its arguments.
      let thread = $0.prefix { $0 != " " }
      let call = $0.dropFirst(thread.count).drop { $0 == " " }
      guard let end = call.firstIndex(of: "("), !call.hasPrefix("<"), !call.hasPrefix("+")
      else { return nil }
      let name = String(call[..<end])
      let number = counts["\(thread) \(name)", default: 0] + 1
      counts["\(thread) \(name)"] = number
      hasBegun = hasBegun || name != "execve" && call.contains(arguments[1])
      return hasBegun ? Call(name: name, number: number) : nil
    }
  }
}

extension [TracedTool.Call] {
  /// Without the zeros that a new journal is filled with, but for the first and the last ones.
  var withoutZeros: [TracedTool.Call] {
    let writes = count { $0.name == "pwritev2" }
    return filter { $0.name != "pwritev2" || writes < 64 || $0.number < 3 || $0.number > 62 }
  }
}

/// A file that holds one version in several places, none of them whole blocks.
final class VersionedFile {
  static let places = [100..<5100, 65_530..<65_540, 131_072..<139_264, 299_000..<300_001]
  /// Where every version writes what it has.
  static let byteCount = 300_001

  let file: JournalledFile
  private let input: String

  init(on filesystem: String = "ext4", journalBytes: UInt64? = 1 << 20) throws {
    file = try JournalledFile(
      Self.byteCount,
      fill: 0x5a,
      on: filesystem,
      journalBytes: journalBytes
    )
    input = HostRig.path("tmpfs/version-\(UUID().uuidString)")
    try Self.bytes(0).write(to: URL(fileURLWithPath: file.path))
  }

  deinit { removeInputs() }

  /// All of it.
  static func bytes(_ version: UInt8) -> Data {
    var bytes = Data(repeating: 0x5a, count: byteCount)
    for place in places { bytes.replaceSubrange(place, with: content(version, place.count)) }
    return bytes
  }

  static func content(_ version: UInt8, _ count: Int) -> Data {
    Data(repeating: version, count: count)
  }

  static func pieces(_ version: UInt8) -> [(offset: Int, bytes: [UInt8])] {
    places.map { ($0.lowerBound, [UInt8](content(version, $0.count))) }
  }

  /// What has the program write a version.
  func arguments(_ version: UInt8) throws -> [String] {
    var arguments = ["write", file.path, "--path", "journal"]
    for (index, place) in Self.places.enumerated() {
      let name = "\(input)-\(index)"
      try Self.content(version, place.count).write(to: URL(fileURLWithPath: name))
      arguments += ["--at", "\(place.lowerBound)", "--input", name]
    }
    return arguments
  }

  private func removeInputs() {
    for index in Self.places.indices {
      try? FileManager.default.removeItem(atPath: "\(input)-\(index)")
    }
  }

  /// Which version there is; `nil` for a mix, or other bytes.
  func version() throws -> UInt8? {
    let data = try Data(contentsOf: URL(fileURLWithPath: file.path))
    guard data.count > Self.places[0].lowerBound else { return nil }
    let version = data[Self.places[0].lowerBound]
    return data == Self.bytes(version) ? version : nil
  }
}
