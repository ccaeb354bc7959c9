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
        "write", "/dev/x", "--at", "1m", "--input", "page", "--path", "kernel", "--durable", "none",
        "--strict", "--overwrite-existing-data", "--explain", "--json",
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
