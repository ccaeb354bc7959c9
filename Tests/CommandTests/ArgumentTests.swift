import ArgumentParser
import Testing

@testable import nvme_atomic

@Suite struct ArgumentTests {
  @Test(
    arguments: [
      ["scan"], ["probe"], ["probe", "/dev/x", "--what"],
      // Half a question, two questions, none.
      ["probe", "/dev/x", "--at", "0"], ["probe", "/dev/x", "--length", "4k"],
      ["probe", "/dev/x", "--page-size", "4k", "--at", "0", "--length", "4k"],
      ["probe", "/dev/x", "--page-size", "4k", "--at", "0"],
      ["probe", "/dev/x", "--writer", "direct"], ["probe", "/dev/x", "--strict"],
      // All and some.
      ["probe", "--all", "/dev/x"], ["probe", "/dev/x", "--all"], ["probe", "--all", "--strict"],
      // Two forms, a file for none, none for a file.
      ["probe", "/dev/x", "--json", "--prometheus"], ["probe", "/dev/x", "--output", "x"],
      ["probe", "/dev/x", "--json", "--output", ""], ["probe", "/dev/x", "--json", "--output"],
      // Sizes.
      ["probe", "/dev/x", "--page-size", "0"], ["probe", "/dev/x", "--page-size", "0k"],
      ["probe", "/dev/x", "--at", "0", "--length", "0"],
      ["probe", "/dev/x", "--page-size", "-1"], ["probe", "/dev/x", "--page-size", "16q"],
      ["probe", "/dev/x", "--page-size", ""], ["probe", "/dev/x", "--page-size"],
      ["probe", "/dev/x", "--page-size", "18446744073709551616"],
      ["probe", "/dev/x", "--at", "x", "--length", "4k"],
      // Writers.
      ["probe", "/dev/x", "--page-size", "4k", "--writer", "mmap"],
      ["probe", "/dev/x", "--page-size", "4k", "--writer", ""],
      ["probe", "/dev/x", "--page-size", "4k", "--writer", "rwfAtomic"],
      ["probe", "/dev/x", "--page-size", "4k", "--writer"],
      // Writing.
      ["write"], ["write", "/dev/x"], ["write", "/dev/x", "--at", "0"],
      ["write", "/dev/x", "--input", "-"],
      ["write", "/dev/x", "/dev/y", "--at", "0", "--input", "-"],
      ["write", "/dev/x", "--at", "-1", "--input", "-"],
      ["write", "/dev/x", "--at", "0", "--input", "-", "--path", "fast"],
      ["write", "/dev/x", "--at", "0", "--input", "-", "--durable", "maybe"],
      // Verifying.
      ["verify", "tearing"], ["verify", "/dev/x"], ["verify", "tearing", "a", "b"],
      ["verify", "tearing", "/dev/x", "--path", "journal"],
      ["verify", "tearing", "/dev/x", "--allow-shared"],
      ["verify", "tearing", "/dev/x", "--threads", "0"],
      ["verify", "tearing", "/dev/x", "--threads", "65"],
      ["verify", "tearing", "/dev/x", "--readers", "0"],
      ["verify", "tearing", "/dev/x", "--block-size", "0"],
      ["verify", "tearing", "/dev/x", "--block-size", "100"],
      ["verify", "tearing", "/dev/x", "--block-size", "2g"],
      ["verify", "tearing", "/dev/x", "--runtime", "0"],
      ["verify", "tearing", "/dev/x", "--range", "0"],
      ["verify", "crash"], ["verify", "crash", "/dev/x"], ["verify", "crash", "--log", "l"],
      ["verify", "crash", "/dev/x", "--log", "tcp:host"],
      ["verify", "crash", "/dev/x", "--log", "tcp::7000"],
      ["verify", "crash", "/dev/x", "--log", "tcp:host:0"],
      ["verify", "crash", "/dev/x", "--log", "tcp:host:7000", "--check"],
      ["verify", "crash", "/dev/x", "--log", "l", "--same-boot"],
      ["verify", "crash", "/dev/x", "--log", "l", "--check", "--simulate"],
      ["verify", "crash", "/dev/x", "--log", "l", "--check", "--path", "kernel"],
      ["verify", "crash", "/dev/x", "--log", "l", "--check", "--seed", "1"],
      ["verify", "crash", "/dev/x", "--log", "l", "--listen", "7000"],
      ["verify", "crash", "--log", "l", "--listen", "0"],
      ["verify", "crash", "--simulate", "/dev/x"],
      ["verify", "crash", "--simulate", "--log", "l"],
      ["verify", "crash", "--simulate", "--count", "1"],
      ["verify", "crash", "/dev/x", "--log", "l", "--block-size", "100"],
      ["verify", "crash", "/dev/x", "--log", "l", "--range", "512:1m"],
      ["verify", "crash", "/dev/x", "--log", "l", "--threads", "0"],
      ["verify", "crash", "/dev/x", "--log", "l", "--ranges", "0"],
      ["verify", "crash", "/dev/x", "--log", "l", "--ranges", "2", "--path", "kernel"],
      ["verify", "crash", "/dev/x", "--log", "l", "--count", "0"],
      ["verify", "crash", "/dev/x", "--log", "l", "--allow-shared"],
      ["verify", "crash", "/dev/x", "--log", "l", "--journal", "j", "--path", "plain"],
      ["verify", "crash", "/dev/x", "--log", "l", "--path", "journal", "--durable", "none"],
      ["verify", "crash", "/dev/x", "--log", ""], ["verify", "crash", "/dev/x", "--log", "-"],
      // Transactions: not whole, by a path that takes none, of one input twice, as a load.
      ["write", "/dev/x", "--path", "exchange", "--at", "0"],
      ["write", "/dev/x", "--path", "exchange", "--at", "0", "--input", "x", "--at", "1"],
      ["write", "/dev/x", "--path", "exchange", "--at", "0", "--input", "x", "--input", "y"],
      [
        "write", "/dev/x", "--at", "0", "--input", "x", "--at", "1", "--input", "y", "--path",
        "kernel",
      ],
      ["write", "/dev/x", "--path", "kernel", "--journal", "j", "--at", "0", "--input", "x"],
      ["write", "/dev/x", "--path", "journal", "--size", "1m", "--at", "0", "--input", "x"],
      ["recover", "/dev/x", "--journal", "j", "--journal-region", "0:1m"],
      ["recover"], ["recover", "/dev/x", "--journal-region", "1m"], ["journal", "init"],
      ["journal", "init", "/dev/x", "--journal-region", "0:1m", "--size", "1m"],
      [
        "write", "/dev/x", "--path", "plain", "--at", "0", "--input", "x", "--at", "1", "--input",
        "y",
      ],
      [
        "write", "/dev/x", "--path", "exchange", "--at", "0", "--input", "-", "--at", "1",
        "--input", "-",
      ],
      ["write", "/dev/x", "--path", "exchange", "--block-size", "16k", "--count", "1"],
      // Loads: not whole, mixed with one write, impossible.
      ["write", "/dev/x", "--block-size", "16k"], ["write", "/dev/x", "--count", "1"],
      ["write", "/dev/x", "--seed", "1"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--at", "0"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--input", "-"],
      ["write", "/dev/x", "--block-size", "0", "--count", "1"],
      ["write", "/dev/x", "--block-size", "100", "--count", "1"],
      ["write", "/dev/x", "--block-size", "2g", "--count", "1"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "0"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--queue-depth", "2"],
      [
        "write", "/dev/x", "--block-size", "16k", "--count", "1", "--queue-depth", "2", "--engine",
        "sync",
      ],
      [
        "write", "/dev/x", "--block-size", "16k", "--count", "1", "--queue-depth", "0", "--engine",
        "io_uring",
      ],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--engine", "libaio"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--threads", "0"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--pattern", "zigzag"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--range", "16k"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--range", "8k:1m"],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1", "--range", "0:0"],
      ["write", "/dev/x", "--block-size", "16k", "--runtime", "0s"],
      ["write", "/dev/x", "--block-size", "16k", "--runtime", "soon"],
    ] as [[String]]
  )
  func wrongUsageEndsWith64(arguments: [String]) {
    let error = #expect(throws: (any Error).self) {
      _ = try NVMeAtomicCommand.parseAsRoot(arguments)
    }
    if let error { #expect(NVMeAtomicCommand.exitCode(for: error) == ExitCode(64)) }
  }

  /// Without a subcommand there is help, which is no failure.
  @Test func noArgumentsShowHelp() throws {
    var command = try NVMeAtomicCommand.parseAsRoot([])
    let error = #expect(throws: (any Error).self) { try command.run() }
    if let error { #expect(NVMeAtomicCommand.exitCode(for: error) == ExitCode(0)) }
  }

  @Test(
    arguments: [
      ["probe", "/dev/x"], ["probe", "/dev/x", "/dev/y", "--json"],
      ["probe", "/dev/x", "--page-size", "16k"],
      ["probe", "/dev/x", "--page-size", "16KiB", "--writer", "direct", "--strict"],
      ["probe", "/dev/x", "--page-size", "16k", "--writer", "rwf-atomic"],
      ["probe", "/dev/x", "--page-size", "16k", "--writer", "buffered"],
      ["probe", "/dev/x", "--at", "0", "--length", "1"],
      ["probe", "--all"], ["probe", "--all", "--prometheus", "--output", "x.prom"],
      ["probe", "--json", "--all", "--page-size", "16k", "--writer", "direct"],
      ["write", "/dev/x", "--at", "0", "--input", "-"],
      [
        "write", "/dev/x", "--path", "exchange", "--at", "0", "--input", "-", "--at", "5",
        "--input",
        "x", "--durable", "end", "--strict", "--size", "1m",
      ],
      [
        "write", "/dev/x", "--at", "1m", "--input", "page", "--path", "kernel", "--durable", "none",
        "--strict", "--overwrite-existing-data", "--explain", "--json",
      ],
      ["verify", "tearing", "/dev/x"],
      ["verify", "crash", "/dev/x", "--log", "l"],
      ["verify", "crash", "/dev/x", "--log", "tcp:[::1]:7000", "--count", "9", "--json"],
      [
        "verify", "crash", "/dev/x", "--log", "l", "--path", "journal", "--journal", "j",
        "--ranges", "3", "--threads", "2", "--range", "16k:8m", "--block-size", "4k", "--runtime",
        "5s", "--seed", "1", "--durable", "each", "--size", "9m", "--overwrite-existing-data",
      ],
      ["verify", "crash", "/dev/x", "--check", "--log", "l", "--same-boot", "--journal", "j"],
      ["verify", "crash", "--listen", "7000", "--log", "l"],
      ["verify", "crash", "--simulate", "--seed", "1", "--json"],
      [
        "verify", "tearing", "/dev/x", "--path", "passthrough", "--allow-shared", "--range",
        "1m:8m",
        "--block-size", "512", "--block-size", "12k", "--runtime", "500ms", "--threads", "64",
        "--readers", "1", "--overwrite-existing-data", "--size", "1g", "--json",
      ],
      ["write", "/dev/x", "--block-size", "16k", "--count", "1"],
      ["write", "/dev/x", "--block-size", "512", "--runtime", "500ms", "--path", "plain"],
      [
        "write", "/dev/x", "--block-size", "16k", "--count", "9", "--runtime", "2m", "--pattern",
        "sequential", "--queue-depth", "32", "--engine", "io_uring", "--threads", "2", "--range",
        "1m:64k", "--seed", "7", "--durable", "end", "--json",
      ],
    ] as [[String]]
  )
  func rightUsageParses(arguments: [String]) throws {
    _ = try NVMeAtomicCommand.parseAsRoot(arguments)
  }

  @Test func sizesReachTheirOptions() throws {
    let probe = try #require(
      try NVMeAtomicCommand.parseAsRoot(["probe", "/dev/x", "--at", "1m", "--length", "16k"])
        as? ProbeCommand
    )
    #expect(probe.at?.bytes == 1 << 20)
    #expect(probe.length?.bytes == 16384)
    #expect(probe.pageSize == nil)
    let write = try #require(
      try NVMeAtomicCommand.parseAsRoot(["write", "/dev/x", "--at", "8k", "--input", "-"])
        as? WriteCommand
    )
    #expect(write.at?.bytes == 8192)
    #expect(write.durable == nil)
    #expect(!write.load.isAsked)
    #expect(write.path == .auto)
    #expect(!write.overwriteExistingData)
  }
}
