import ArgumentParser
import SystemPackage
import Testing

@testable import NVMeAtomic
@testable import nvme_atomic

/// The words of every failure: one line, what was wrong, what to do next.
@Suite struct FailureTests {
  private static let boundary = AtomicBoundary(sizeBytes: 16384)

  static let refusals: [PlanRefusal] =
    [
      .empty, .overflows, .buffered, .ordinaryWrite, .otherWriter(.direct), .notWritable(.generic),
      .kernelOffersNone, .notPowerOfTwo(lengthBytes: 12288),
      .belowMinimum(lengthBytes: 512, minimumBytes: 4096),
      .exceedsKernelLimit(lengthBytes: 65536, limitBytes: 16384),
      .exceedsPowerFailLimit(lengthBytes: 65536, limitBytes: 16384),
      .exceedsNormalLimit(lengthBytes: 65536, limitBytes: 16384),
      .exceedsTransferLimit(lengthBytes: 65536, limitBytes: 16384),
      .misaligned(offsetBytes: 512, alignmentBytes: 4096),
      .partialBlock(lengthBytes: 100, blockBytes: 512), .beyondEnd(endBytes: 8192, sizeBytes: 4096),
      .canBeSplit(limitBytes: 4096, by: "max_sectors_kb"), .canBeMerged(commandBytes: 131_072),
      .filesystemMayMove(type: "btrfs"),
      .exceedsFilesystemBlock(lengthBytes: 8192, blockBytes: 4096),
      .noDirectIO, .noDrive, .softwareIsSeenTorn, .normalAtomicityDisabled, .cacheNeverFlushed,
      .metadataFormat(bytes: 8), .journalNotKept,
      .exceedsFileSizeLimit(endBytes: 8192, limitBytes: 4096), .obstacle("it is mounted"),
      .inUse("it is swap space"), .shared("other hosts write there"),
    ] + (boundary.map { [.crossesBoundary($0, startBytes: 0)] } ?? [])

  static let facts: [MissingFact] = [
    .statx, .identify("the drive did not answer"), .identifyInvalid, .writeAtomicityNormal, .start,
    .queue("nomerges"), .filesystem("vfat"), .stacked("a loop device"), .placement, .metadata,
    .paths, .size, .limitsDisagree, .remote(transport: "tcp"),
    .blockSizesDiffer(kernelBytes: 512, driveBytes: 4096),
  ]

  static let assumptions: [Assumption] = [
    .volatileCacheKeepsWritesWhole, .kernelWordOnly(.paths), .fabricsClaim(transport: "rdma"),
    .nothingCaches(.paths), .soleUser("other hosts can"),
  ]

  static let errors: [AtomicWriteError] =
    [
      .target(ProbeError(code: .notFound, message: "no such file", remedy: "check the path")),
      .busy("it is mounted at /mnt"), .existingData(signature: "ext4"), .targetChanged,
      .conflict(offsetBytes: 4096, lengthBytes: 512), .noResources(.lock, SystemError(.noLocks)),
      .notWritten(FailureCause(.invalidArgument)), .outcomeUnknown(FailureCause(.ioError)),
      .shortWrite(writtenBytes: 512, requestedBytes: 4096), .handleFailed,
      .notWritten(.device(NVMeStatus(raw: 0x83))), .outcomeUnknown(.device(NVMeStatus(raw: 0x280))),
      .flushFailed(.device(NVMeStatus(raw: 0x6))), .readFailed(.device(NVMeStatus(raw: 0x281))),
      .noResources(.ring, SystemError(.noMemory)), .noResources(.memory, SystemError(.noMemory)),
      .noResources(.thread, SystemError(.resourceTemporarilyUnavailable)),
      .noResources(.descriptor, SystemError(.tooManyOpenFiles)), .endOfFile(sizeBytes: 4096),
    ] + refusals.map { .refused($0) } + facts.map { .missingFact($0) }
    + assumptions.map { .onlyAssumed($0) }

  /// Nobody keeps a plain write whole.
  @Test(
    arguments: [
      .outcomeUnknown(FailureCause(.ioError)), .flushFailed(FailureCause(.ioError)),
      .shortWrite(writtenBytes: 512, requestedBytes: 4096),
    ] as [AtomicWriteError]
  )
  func aFailedPlainWriteIsNotCalledWhole(error: AtomicWriteError) {
    for path in [WritePath.kernel, .passthrough] {
      #expect(!Failure(error, target: "x", path: path).line.contains("mix"))
    }
    #expect(Failure(error, target: "x", path: .plain).line.contains("may hold a mix"))
    #expect(!Failure(error, target: "x", path: .plain).line.contains("all old or all new"))
  }

  @Test(arguments: errors)
  func failureIsOneLineWithARemedy(error: AtomicWriteError) {
    let failure = Failure(error, target: "/dev/nvme0n1")
    #expect(failure.line == "nvme-atomic: /dev/nvme0n1: \(failure.message); \(failure.remedy)")
    #expect(!failure.line.contains { $0.isNewline })
    #expect(!failure.line.contains("Optional("))
    for text in [failure.message, failure.remedy] {
      #expect(!text.isEmpty)
      #expect(text.first?.isWhitespace == false && text.last?.isWhitespace == false)
      #expect(!text.hasSuffix("."))
    }
  }

  @Test(arguments: errors)
  func exitCodeFollowsTheOutcome(error: AtomicWriteError) {
    let failure = Failure(error, target: "x")
    #expect(failure.outcome == error.outcome)
    #expect(failure.exitCode == ExitCode(error.outcome == .unknown ? 3 : 2))
  }

  /// A refusal never says that it succeeded in nothing: each has words of its own.
  @Test func everyRefusalHasItsOwnWords() {
    #expect(Set(Self.refusals.map(\.description)).count == Self.refusals.count)
    #expect(Set(Self.facts.map(\.description)).count == Self.facts.count)
    #expect(Set(Self.assumptions.map(\.description)).count == Self.assumptions.count)
  }

  @Test(
    arguments: [
      (.target(ProbeError(code: .permission, message: "no", remedy: "sudo")), .permission),
      (.busy("it is mounted"), .busy), (.existingData(signature: "xfs"), .refused),
      (.targetChanged, .conflict), (.conflict(offsetBytes: 0, lengthBytes: 1), .conflict),
      (.refused(.kernelOffersNone), .unsupported),
      (.refused(.exceedsKernelLimit(lengthBytes: 2, limitBytes: 1)), .exceedsLimit),
      (.refused(.misaligned(offsetBytes: 1, alignmentBytes: 2)), .exceedsLimit),
      (.refused(.notPowerOfTwo(lengthBytes: 3)), .exceedsLimit),
      (.refused(.beyondEnd(endBytes: 2, sizeBytes: 1)), .exceedsLimit),
      (.refused(.empty), .refused),
      (.refused(.cacheNeverFlushed), .unsupported), (.missingFact(.statx), .unsupported),
      (.onlyAssumed(.volatileCacheKeepsWritesWhole), .refused),
      (.notWritten(FailureCause(.invalidArgument)), .io),
      (.notWritten(.device(NVMeStatus(raw: 0x83))), .deviceStatus),
      (.outcomeUnknown(.device(NVMeStatus(raw: 0x280))), .deviceStatus),
      (.flushFailed(.device(NVMeStatus(raw: 0x6))), .deviceStatus),
      (.readFailed(.device(NVMeStatus(raw: 0x281))), .deviceStatus),
      (.refused(.inUse("it is mounted")), .busy), (.refused(.shared("hosts")), .refused),
      (.missingFact(.remote(transport: "tcp")), .refused),
      (.outcomeUnknown(FailureCause(.ioError)), .io),
      (.shortWrite(writtenBytes: 0, requestedBytes: 1), .io), (.handleFailed, .io),
      (.journal(.exposed("/j")), .refused),
      (.journal(.indistinct("it has no UUID")), .refused),
    ] as [(AtomicWriteError, ErrorCode)]
  )
  func codeIsOneThatScriptsKnow(error: AtomicWriteError, code: ErrorCode) {
    #expect(Failure(error, target: "x").code == code)
  }

  /// The documented words, and no others.
  @Test(
    arguments: [
      (.usage, "usage"), (.notFound, "not-found"), (.permission, "permission"), (.busy, "busy"),
      (.conflict, "conflict"), (.exceedsLimit, "exceeds-limit"), (.unsupported, "unsupported"),
      (.io, "io"), (.deviceStatus, "device-status"), (.journalCorrupt, "journal-corrupt"),
      (.refused, "refused"),
    ] as [(ErrorCode, String)]
  )
  func codesAreSpelledAsDocumented(code: ErrorCode, text: String) {
    #expect(code.rawValue == text)
  }

  @Test func documentHasTheDocumentedKeys() throws {
    let failure = Failure(.outcomeUnknown(FailureCause(.ioError)), target: "/dev/x")
    guard case .object(let pairs) = failure.document(format: "nvme-atomic-write/1") else {
      Issue.record("The document is no object.")
      return
    }
    #expect(pairs.map(\.key) == ["format", "error"])
    guard case .object(let error)? = pairs.last?.value else {
      Issue.record("The error is no object.")
      return
    }
    #expect(error.map(\.key) == ["code", "message", "remedy", "outcome"])
    let text = failure.document(format: "nvme-atomic-write/1").rendered
    #expect(text.contains(#""outcome": "unknown""#))
    #expect(text.contains(#""code": "io""#))
  }
}
