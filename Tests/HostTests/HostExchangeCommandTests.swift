import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// Transactions by the program.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasExchange, "\(HostRig.noExchange)")
)
struct HostExchangeCommandTests {
  private func input(_ name: String, _ bytes: [UInt8]) throws -> String {
    let path = HostRig.path("tmpfs/exchange-\(name)")
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  private func error(_ tool: Tool) throws -> [String] {
    let error = try #require(try tool.json()["error"] as? [String: Any])
    return ["code", "outcome"].compactMap { error[$0] as? String }
  }

  @Test func severalInputsAreOneTransaction() throws {
    let file = try ExchangeFile(10_000)
    let page = try input("page", pattern(1, byteCount: 5000))
    let tail = try input("tail", pattern(2, byteCount: 3))
    let tool = try Tool(
      [
        "write", file.path, "--path", "exchange", "--json", "--explain", "--durable", "end", "--at",
        "9999", "--input", tail, "--at", "100", "--input", page, "--at", "20k", "--input", "-",
      ],
      input: [7, 8, 9]
    )
    #expect(tool.status == 0, "\(tool.errors)")
    let document = try tool.json()
    #expect(document["path"] as? String == "exchange")
    #expect(document["power_fail_atomic"] as? String == "yes")
    #expect(document["untorn_for_readers"] as? String == "yes")
    #expect(document["backing"] as? String == "software")
    #expect(document["durable"] as? Bool == true)
    #expect(document["bytes"] as? Int == 5006)
    let ranges = try #require(document["ranges"] as? [[String: Int]])
    #expect(
      ranges.map { [$0["offset"], $0["length"]] } == [[100, 5000], [9999, 3], [20480, 3]]
    )
    let explanation = try #require(document["explanation"] as? [String: Any])
    #expect(explanation["exchange"] as? String == "yes, by software")
    let contents = try file.contents
    #expect(contents.count == 20483)
    #expect(Array(contents[100..<5100]) == pattern(1, byteCount: 5000))
    #expect(contents[9999..<10_003].elementsEqual(pattern(2, byteCount: 3) + [0]))
    #expect(contents.suffix(4) == [0, 7, 8, 9])
    let text = try Tool("write", file.path, "--path", "exchange", "--at", "0", "--input", tail)
    #expect(text.output.contains("3 B at 0 by exchanged ranges; power-fail atomic: yes"))
  }

  @Test func aConflictEndsWithTwoAndSaysSo() throws {
    let file = try ExchangeFile(64 << 10)
    var holder = try file.transaction()
    try holder.write([1], atBytes: 5000)
    let tool = try Tool(
      ["write", file.path, "--path", "exchange", "--at", "4k", "--input", "-", "--json"],
      input: [2]
    )
    #expect(tool.status == 2)
    #expect(try error(tool) == ["conflict", "not-written"])
    try holder.commit()
    #expect(try file.contents[4096] == 0x5a)
  }

  @Test func whatCannotBeWrittenWritesNothing() throws {
    let file = try ExchangeFile(8192)
    let page = try input("refused", pattern(1, byteCount: 4096))
    let before = try file.contents
    let arguments = [
      "write", file.path, "--path", "exchange", "--json", "--at", "0", "--input", page,
    ]
    for (more, code) in [
      (["--at", "4k", "--input", "/nonexistent"], "not-found"),
      (["--at", "4k", "--input", "/dev/null"], "refused"),
      (["--at", "4611686018427387900", "--input", page], "exceeds-limit"),
      (["--size", "4096"], "refused"),
    ] {
      let tool = try Tool(arguments + more)
      #expect(tool.status == 2, "\(more): \(tool.errors)")
      #expect(try error(tool) == [code, "not-written"], "\(more)")
    }
    // In blocks of 512 bytes: 12 KiB.
    let limited = "ulimit -f 24; exec '\(Tool.path)' write '\(file.path)' --path exchange"
    let tool = try Tool(
      program: "/bin/sh",
      ["-c", "\(limited) --at 0 --input \(page) --at 12285 --input \(page)"]
    )
    #expect(tool.status == 2 && tool.errors.contains("file size limit"), "\(tool.errors)")
    #expect(try file.contents == before)
  }

  @Test func aNewFileIsMadeWholeOrNotAtAll() throws {
    let path = HostRig.path("exchange/new-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(atPath: path) }
    let page = try input("new", pattern(3, byteCount: 5000))
    let arguments = ["write", path, "--path", "exchange", "--size", "20000", "--at"]
    let late = try Tool(arguments + ["16000", "--input", page])
    #expect(late.status == 2 && late.errors.contains("--size"), "\(late.errors)")
    #expect(!FileManager.default.fileExists(atPath: path))
    let made = try Tool(arguments + ["1000", "--input", page])
    #expect(made.status == 0, "\(made.errors)")
    let expected =
      [UInt8](repeating: 0, count: 1000) + pattern(3, byteCount: 5000)
      + [UInt8](repeating: 0, count: 14_000)
    #expect(try HostRig.contents(path) == expected)
  }
}
