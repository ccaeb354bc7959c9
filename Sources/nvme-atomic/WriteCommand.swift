import ArgumentParser
import NVMeAtomic

/// `nvme-atomic write`
struct WriteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "write",
    abstract: "Write so that a power failure leaves all old or all new bytes of each write.",
    discussion: """
      Once, with --at and --input; or as a load, with --block-size and --count or --runtime, which \
      measures what atomic writes cost and overwrites the target with blocks of its own.

      Each write is one RWF_ATOMIC write, or with --path passthrough one NVMe Write command, \
      planned before any system call and refused where a limit forbids it: nothing is ever split, \
      repeated after a short write, or downgraded. A block device must be free: not mounted, not \
      held, and without a filesystem or partition table.

      Commands pass the page cache and every check of the kernel by. They reach what the drive \
      keeps whole and RWF_ATOMIC cannot say: lengths that are no powers of two, offsets off \
      their alignment, drives that only report AWUPF. The promise holds while nobody writes there \
      by a character device, without O_EXCL, or from another host.
      """
  )

  enum Path: String, ExpressibleByArgument, CaseIterable {
    case auto, kernel, passthrough, plain
  }

  enum Durable: String, ExpressibleByArgument, CaseIterable {
    case none, each, end
  }

  @Argument(
    help: """
      The block device or file to write to, or for passthrough a namespace's ng character device. \
      It must exist, unless --size is given.
      """
  )
  var target: String

  @Option(
    name: .customLong("at"),
    help: ArgumentHelp(
      "Where to write: an offset in bytes, 512, 16k or 1MiB.",
      valueName: "at"
    )
  )
  var offsets: [SizeArgument] = []

  @Option(
    name: .customLong("input"),
    help: ArgumentHelp("What to write: a file, or - for standard input.", valueName: "input")
  )
  var inputs: [String] = []

  @Option(
    help: """
      Make the file with this size if it is not there; one that is there must have it. A single \
      write makes the file whole or not at all; a load makes it before the first write.
      """
  )
  var size: SizeArgument?

  @Option(
    help: """
      How to write: auto or kernel, which mean RWF_ATOMIC; passthrough, NVMe commands of its own, \
      never taken unasked; or plain, an ordinary direct write that is not atomic, for comparison.
      """
  )
  var path: Path = .auto

  @Option(
    help: """
      When writes must survive a power failure: never, each on its own, or all at the end. The \
      default is each for one write and none for a load.
      """
  )
  var durable: Durable?

  @Flag(help: "Refuse to write where the promise would rest on an assumption.")
  var strict = false

  @Flag(help: "Write to a block device although it carries a filesystem or partition table.")
  var overwriteExistingData = false

  @Flag(
    help: """
      Passthrough: write to a namespace that other hosts can reach; you answer for none of them \
      writing there.
      """
  )
  var allowShared = false

  @Flag(help: "Also say what each path makes of the write.")
  var explain = false

  @Flag(help: "Print JSON.")
  var json = false

  @OptionGroup(title: "Load Options")
  var load: LoadOptions

  static let format = "nvme-atomic-write/1"

  func validate() throws {
    if allowShared, path != .passthrough {
      throw ValidationError("--allow-shared goes with --path passthrough.")
    }
    if strict, path == .plain {
      throw ValidationError("--strict asks for a promise, and --path plain gives none.")
    }
    guard offsets.count <= 1, inputs.count <= 1 else {
      throw ValidationError("--at and --input are given once each: one command, one write.")
    }
    if load.isAsked {
      guard at == nil, input == nil else {
        throw ValidationError("--at and --input write once; they do not go with a load.")
      }
      try load.validateLoad()
    } else {
      guard at != nil, input != nil else {
        throw ValidationError(
          "Give --at and --input, or --block-size and --count or --runtime for a load."
        )
      }
    }
  }

  var at: SizeArgument? { offsets.first }
  var input: String? { inputs.first }

  func run() throws {
    do throws(Failure) {
      do throws(AtomicWriteError) {
        try ProgramStart.checkDescriptors()
      } catch {
        throw failure(error)
      }
      let place = try NewTarget(target, sizeBytes: size?.bytes)
      if load.isAsked { try runLoad(place) } else { try runOnce(place) }
    } catch {
      if json { Terminal.print(error.document(format: Self.format).rendered) }
      Terminal.printError(error.line)
      throw error.exitCode
    }
  }

  var writePath: WritePath {
    switch path {
    case .auto, .kernel: .kernel
    case .passthrough: .passthrough
    case .plain: .plain
    }
  }

  func probe(_ place: borrowing NewTarget) throws(Failure) -> TargetReport {
    let report = Probe().report(on: place.path)
    if let error = report.error { throw Failure(.target(error), target: target) }
    return report
  }

  // MARK: What paths make of a write

  private func plan(
    _ report: TargetReport,
    _ range: WriteRequest.Range,
    _ durability: Durability
  ) -> Plan {
    let promises: Promises =
      durability == .none ? .powerFailAtomic : [.powerFailAtomic, .durable]
    var request = WriteRequest(range, promises: promises, writer: .rwfAtomic)
    request.allowsShared = allowShared
    return Planner(report.limits).plan(request)
  }

  func printVerdicts(
    _ report: TargetReport,
    _ range: WriteRequest.Range,
    _ durability: Durability
  ) {
    let plan = plan(report, range, durability)
    Terminal.print("kernel: \(plan.kernel.text)")
    Terminal.print("passthrough: \(plan.passthrough.text); never taken unasked")
  }

  func failure(_ error: AtomicWriteError) -> Failure {
    Failure(error, target: target, path: writePath)
  }

  /// With `--explain`, else null.
  func explanation(
    _ report: TargetReport,
    _ range: WriteRequest.Range,
    _ durability: Durability
  ) -> JSONValue {
    guard explain else { return .null }
    let plan = plan(report, range, durability)
    return .object([
      "kernel": .string(plan.kernel.text), "passthrough": .string(plan.passthrough.text),
    ])
  }
}
