import ArgumentParser
import NVMeAtomic

/// `nvme-atomic verify tearing`
struct VerifyTearingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tearing",
    abstract: "Hunt for torn reads, with threads that write and threads that read.",
    discussion: """
      Overwrites the begin of the target, or of --range, with blocks that say which write they are \
      of, and reads them meanwhile: each size from the smallest to the largest that the path \
      takes, and then, as a control, ordinary writes of more than the drive keeps whole. It says \
      how many reads were on their way while a write of the same range was, and what they saw.

      Torn data are made on purpose first, and must be noticed. Where the control is never seen \
      torn, nothing was shown. What readers see while the power is on is all that is looked at: it \
      says nothing about power failures.

      Exit codes: 0 none seen torn within the limits, and the control was; 1 torn data found; \
      2 inconclusive, or nobody promises readers anything here; 3 failed in the middle; 130 \
      interrupted, with the results so far.
      """
  )

  enum Path: String, ExpressibleByArgument, CaseIterable {
    case kernel, passthrough, plain

    var writePath: WritePath {
      switch self {
      case .kernel: .kernel
      case .passthrough: .passthrough
      case .plain: .plain
      }
    }
  }

  @Argument(
    help: """
      The block device or file to overwrite, or for passthrough a namespace's ng character device. \
      It must exist, unless --size is given.
      """
  )
  var target: String

  @Option(
    help: """
      How to write: kernel, RWF_ATOMIC; passthrough, NVMe commands of its own; or plain, ordinary \
      direct writes.
      """
  )
  var path: Path = .kernel

  @Option(help: "Make the file with this size if it is not there; one that is there must have it.")
  var size: SizeArgument?

  @Option(help: "Write within OFFSET:LENGTH only. The default is the whole target.")
  var range: RangeArgument?

  @Option(
    name: .customLong("block-size"),
    help: ArgumentHelp(
      """
      Bytes of each write, 16k; may be given several times. The default is each power of two that \
      the path takes.
      """,
      valueName: "block-size"
    )
  )
  var blockSizes: [SizeArgument] = []

  @Option(
    help: """
      How long to write and read each size: 10s, 500ms or 2m. A control that is rarely seen torn \
      goes on for up to four times as long, or ten seconds.
      """
  )
  var runtime = TimeArgument(seconds: 5)

  @Option(help: "Threads that write.")
  var threads = 2

  @Option(help: "Threads that read.")
  var readers = 2

  @Flag(help: "Write to a block device although it carries a filesystem or partition table.")
  var overwriteExistingData = false

  @Flag(
    help: """
      Passthrough: write to a namespace that other hosts can reach; you answer for none of them \
      writing there.
      """
  )
  var allowShared = false

  @Flag(help: "Print JSON.")
  var json = false

  static let format = "nvme-atomic-verify-tearing/1"

  func validate() throws {
    if allowShared, path != .passthrough {
      throw ValidationError("--allow-shared goes with --path passthrough.")
    }
    guard (1...64).contains(threads) else { throw ValidationError("--threads is 1 to 64.") }
    guard (1...64).contains(readers) else { throw ValidationError("--readers is 1 to 64.") }
    for size in blockSizes {
      guard size.bytes >= 512, size.bytes % 512 == 0, size.bytes <= 1 << 30 else {
        throw ValidationError("--block-size is a multiple of 512 bytes, up to 1 GiB.")
      }
    }
  }

  func run() throws {
    do throws(Failure) {
      do throws(AtomicWriteError) {
        try ProgramStart.checkDescriptors()
      } catch {
        throw failure(error)
      }
      let place = try NewTarget(target, sizeBytes: size?.bytes)
      // The target is let go before the process ends: its page cache is then emptied.
      let exitCode = try carryOut(place)
      if exitCode != .success { Terminal.exit(exitCode) }
    } catch {
      if json { Terminal.print(error.document(format: Self.format).rendered) }
      Terminal.printError(error.line)
      throw error.exitCode
    }
  }

  private func carryOut(_ place: borrowing NewTarget) throws(Failure) -> ExitCode {
    ProgramStart.noteStopSignals()
    let report = Probe().report(on: place.path)
    if let error = report.error { throw failure(.target(error)) }
    let (verification, options) = try verification(report)
    try place.giveName()
    let progress = TearingProgress(options)
    let result = verification.run(
      shouldStop: { ProgramStart.isToStop },
      progress: progress.tell
    )
    progress.end()
    let summary = TearingSummary(
      target: target,
      path: path.writePath,
      options: options,
      range: verification.rangeBytes,
      blockBytes: verification.blockBytes,
      result: result,
      failure: result.failure.map { ended(by: $0.error, at: $0.offsetBytes, result) }
    )
    if let failure = summary.failure { Terminal.printError(failure.line) }
    try Terminal.printReport(json ? summary.document.rendered : summary.text, of: target)
    return summary.exitCode
  }

  /// Every check that comes before the first write.
  private func verification(
    _ report: TargetReport
  ) throws(Failure) -> (TearingVerification, TearingOptions) {
    var options = TearingOptions()
    options.sizesBytes = blockSizes.map(\.bytes)
    options.offsetBytes = range?.offset.bytes ?? 0
    options.lengthBytes = range?.length.bytes
    options.writers = threads
    options.readers = readers
    options.runtimeNanoseconds = runtime.nanoseconds
    do throws(AtomicWriteError) {
      let target = try AtomicTarget(
        opening: report,
        path: path.writePath,
        overwritingExistingData: overwriteExistingData,
        allowingShared: allowShared
      )
      return (try TearingVerification(target, options), options)
    } catch {
      throw failure(error)
    }
  }

  /// Exit code 2 says that nothing was written, so that it is not for a run that has written.
  private func ended(
    by error: AtomicWriteError,
    at offset: UInt64,
    _ result: TearingResult
  ) -> Failure {
    var failure = failure(error)
    failure.message = "at \(offset): \(failure.message)"
    guard result.selfCheck != nil, failure.outcome == .notWritten else { return failure }
    failure.message += "; others were written before"
    failure.outcome = .unknown
    return failure
  }

  private func failure(_ error: AtomicWriteError) -> Failure {
    Failure(error, target: target, path: path.writePath)
  }
}
