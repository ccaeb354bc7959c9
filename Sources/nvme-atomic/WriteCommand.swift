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

      With --path exchange, what is written may have any length, lie in several ranges, and make \
      the file longer. All of it is there after a power failure or none; two that write to one \
      block of the filesystem do not both succeed, and the later one exits 2 with a conflict. \
      Nobody else may write to the file meanwhile.

      Commands pass the page cache and every check of the kernel by. They reach what the drive \
      keeps whole and RWF_ATOMIC cannot say: lengths that are no powers of two, offsets off \
      their alignment, drives that only report AWUPF. The promise holds while nobody writes there \
      by a character device, without O_EXCL, or from another host.
      """
  )

  enum Path: String, ExpressibleByArgument, CaseIterable {
    case auto, kernel, passthrough, exchange, journal, plain
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
      """
      Where to write: an offset in bytes, 512, 16k or 1MiB. It may be given several times, each \
      with an --input of its own: all of them are one transaction.
      """,
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
      How to write: auto, the first that applies of kernel, exchange and journal in a fixed order \
      that --explain prints; kernel, RWF_ATOMIC; passthrough, NVMe commands of its own, \
      never taken unasked; exchange, staged in a file without a name whose blocks XFS exchanges \
      for the target's, of any length and offset; journal, the same on any file or block device, \
      written to a journal first; or plain, an ordinary direct write that is not \
      atomic, for comparison.
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

  @OptionGroup var journal: JournalOptions

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

  /// What `auto` has chosen; no option.
  var automatic: AutomaticChoice?

  static let format = "nvme-atomic-write/1"

  func validate() throws {
    if allowShared, path != .passthrough {
      throw ValidationError("--allow-shared goes with --path passthrough.")
    }
    if strict, path == .plain {
      throw ValidationError("--strict asks for a promise, and --path plain gives none.")
    }
    if journal.isGiven, path != .journal, path != .auto {
      throw ValidationError("--journal and --journal-region go with --path journal or auto.")
    }
    if size != nil, path == .journal || journal.isGiven {
      throw ValidationError("--path journal writes to what is there; make the file first.")
    }
    try validatePairs()
    if load.isAsked {
      guard at == nil, input == nil else {
        throw ValidationError("--at and --input write once; they do not go with a load.")
      }
      guard path != .exchange else {
        throw ValidationError(
          "--path exchange takes --at and --input, once or several times, and no load."
        )
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

  private func validatePairs() throws {
    guard offsets.count == inputs.count || offsets.isEmpty || inputs.isEmpty else {
      throw ValidationError("Each --at has an --input: the first the first, and so on.")
    }
    guard inputs.count(where: { $0 == "-" }) <= 1 else {
      throw ValidationError("Standard input can be read once.")
    }
    guard offsets.count <= 1 && inputs.count <= 1 || path.takesTransactions || path == .auto
    else {
      throw ValidationError(
        "Several --at and --input are one transaction, for --path auto, exchange or journal."
      )
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
      let command = path == .auto ? try withPathChosen(place) : self
      try command.carryOut(place)
    } catch {
      if json { Terminal.print(error.document(format: Self.format).rendered) }
      Terminal.printError(error.line)
      throw error.exitCode
    }
  }

  private func carryOut(_ place: borrowing NewTarget) throws(Failure) {
    if load.isAsked {
      try runLoad(place)
    } else if path.takesTransactions {
      try runTransaction(place)
    } else {
      try runOnce(place)
    }
  }

  var writePath: WritePath {
    switch path {
    case .auto, .kernel: .kernel
    case .passthrough: .passthrough
    case .exchange: .exchange
    case .journal: .journal
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
    Terminal.print("exchange: \(Planner(report.limits).exchange.text)")
    Terminal.print("journal: \(Planner(report.limits).journal.text)")
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
      "exchange": .string(Planner(report.limits).exchange.text),
      "journal": .string(Planner(report.limits).journal.text),
      "auto": .optional(automatic?.rule),
    ])
  }
}

extension WriteCommand.Path {
  /// Whether several ranges are one write.
  var takesTransactions: Bool { self == .exchange || self == .journal }
}
