import Foundation
import TestSupport
import Testing

/// A file to write to, and a log that lies elsewhere.
struct CrashPlace {
  let target: String
  let log = HostRig.path("tmpfs/\(UUID().uuidString).log")

  init(_ folder: String) {
    target = HostRig.path("\(folder)/\(UUID().uuidString)")
  }

  func remove() {
    for file in [target, log, target + ".nvme-atomic-journal"] {
      try? FileManager.default.removeItem(atPath: file)
    }
  }

  /// Goes on until so many lines are there, and is killed.
  func runAndKill(_ options: String..., lines: Int = 40) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Tool.path)
    process.arguments =
      ["verify", "crash", target, "--log", log, "--size", "8m", "--seed", "5"] + options
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    let end = Date() + 60
    while Date() < end, process.isRunning, (try? logLines.count) ?? 0 <= lines {
      Thread.sleep(forTimeInterval: 0.01)
    }
    #expect(process.isRunning, "it ended by itself")
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    #expect(try logLines.count > lines)
  }

  var logLines: [Substring] {
    get throws { try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n") }
  }

  func check(_ options: String...) throws -> (Tool, [String: Any]) {
    let tool = try Tool(
      ["verify", "crash", target, "--check", "--log", log, "--json"] + options
    )
    let checker = try Checker.schema("[" + tool.output + "]")
    #expect(checker.status == 0, "\(checker.output)\(checker.errors)")
    return (tool, try tool.json())
  }

  /// Half of one of the control's writes is another one's, as a power cut may leave it.
  func tearControl(_ document: [String: Any]) throws {
    let workload = try #require(document["workload"] as? [String: Any])
    func number(_ key: String) -> Int { (workload[key] as? NSNumber)?.intValue ?? 0 }
    let start = number("offset") + number("blocks") * number("block_size")
    let file = try #require(FileHandle(forUpdatingAtPath: target))
    try file.seek(toOffset: UInt64(start))
    try file.write(contentsOf: Data(count: number("control_size") / 2))
    try file.synchronize()
    try file.close()
  }

  func change(at offset: Int, _ bytes: [UInt8]) throws {
    let file = try #require(FileHandle(forUpdatingAtPath: target))
    try file.seek(toOffset: UInt64(offset))
    try file.write(contentsOf: Data(bytes))
    try file.synchronize()
    try file.close()
  }

  static func with(_ folder: String, _ body: (CrashPlace) throws -> Void) throws {
    let place = CrashPlace(folder)
    defer { place.remove() }
    try body(place)
  }

  static func found(_ document: [String: Any], _ key: String) -> Int {
    ((document["found"] as? [String: Any])?[key] as? NSNumber)?.intValue ?? -1
  }

  static func codes(_ document: [String: Any]) -> [String] {
    (document["findings"] as? [[String: Any]] ?? []).compactMap { $0["code"] as? String }
  }
}
