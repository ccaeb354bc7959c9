import CFuzzer
import Foundation
import Fuzzers
import Testing

/// Runs the fuzzers on what is known to reach far, and has libFuzzer run one where it is linked.
///
/// Serialised: libFuzzer takes over the process.
@Suite(.serialized) struct FuzzTests {
  private static let corpora = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("fuzz/corpus")

  private static func corpus(_ fuzzer: Fuzzer) throws -> [(name: String, bytes: [UInt8])] {
    let folder = corpora.appendingPathComponent(fuzzer.rawValue)
    return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { name in
      (name, Array(try Data(contentsOf: folder.appendingPathComponent(name))))
    }
  }

  @Test(arguments: Fuzzer.allCases)
  func nothingKnownIsAFinding(fuzzer: Fuzzer) throws {
    #expect(!fuzzer.seeds.isEmpty)
    for (index, seed) in fuzzer.seeds.enumerated() {
      #expect(fuzzer.problem(with: seed) == nil, "seed \(index)")
    }
    let corpus = try Self.corpus(fuzzer)
    #expect(!corpus.isEmpty)
    for (name, bytes) in corpus {
      #expect(fuzzer.problem(with: bytes) == nil, "Tests/fuzz/corpus/\(fuzzer)/\(name)")
    }
  }

  /// Small enough to be looked at, and to be replayed with every test run.
  @Test(arguments: Fuzzer.allCases)
  func corporaAreSmall(fuzzer: Fuzzer) throws {
    let corpus = try Self.corpus(fuzzer)
    #expect(corpus.map(\.bytes.count).reduce(0, +) < 64 << 10)
    #expect(corpus.count <= 200)
  }

  /// By `NVME_ATOMIC_FUZZ_ARGUMENTS`: the fuzzer's name, a folder for its seeds, and libFuzzer's
  /// own arguments, by lines. Ends the process, as libFuzzer does.
  @Test(.enabled(if: FuzzRun.fromEnvironment != nil, "only Tests/fuzz/run asks for it"))
  func libFuzzerFindsNothing() throws {
    let run = try #require(FuzzRun.fromEnvironment)
    for (index, seed) in run.fuzzer.seeds.enumerated() {
      try Data(seed).write(to: run.seeds.appendingPathComponent("seed-\(index)"))
    }
    FuzzRun.current = run.fuzzer
    var arguments = (["fuzz"] + run.arguments).map { strdup($0) } + [nil]
    let count = CInt(arguments.count - 1)
    let status = arguments.withUnsafeMutableBufferPointer { arguments in
      fuzzer_run(count, arguments.baseAddress) { bytes, count in
        FuzzRun.take(Array(UnsafeBufferPointer(start: bytes, count: count)))
      }
    }
    #expect(status == 0, "libFuzzer is not linked, or has found something")
  }
}

/// One run of libFuzzer.
struct FuzzRun {
  var fuzzer: Fuzzer
  var seeds: URL
  var arguments: [String]

  /// libFuzzer's callback has no place for it.
  nonisolated(unsafe) static var current = Fuzzer.journal

  static var fromEnvironment: FuzzRun? {
    let value = ProcessInfo.processInfo.environment["NVME_ATOMIC_FUZZ_ARGUMENTS"]
    guard let words = value?.split(separator: "\n").map(String.init), words.count >= 2,
      let fuzzer = Fuzzer(rawValue: words[0])
    else { return nil }
    return FuzzRun(
      fuzzer: fuzzer,
      seeds: URL(fileURLWithPath: words[1]),
      arguments: Array(words.dropFirst(2))
    )
  }

  /// A finding ends the process, for libFuzzer to keep the bytes.
  static func take(_ bytes: [UInt8]) -> CInt {
    if let problem = current.problem(with: bytes) { fatalError("finding: \(problem)") }
    return 0
  }
}
