import ArgumentParser
import NVMeAtomic

/// `nvme-atomic write`
struct WriteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "write",
    abstract: "Write once, so that a power failure leaves all old or all new bytes.",
    discussion: """
      One RWF_ATOMIC write, planned before any system call and refused where a limit forbids it: \
      nothing is ever split, repeated or downgraded. A block device must be free: not mounted, not \
      held, and without a filesystem or partition table.
      """
  )

  enum Path: String, ExpressibleByArgument, CaseIterable {
    case auto, kernel
  }

  enum Durable: String, ExpressibleByArgument, CaseIterable {
    case none, each, end
  }

  @Argument(help: "The block device or file to write to. It must exist.")
  var target: String

  @Option(help: "Where to write: an offset in bytes, 512, 16k or 1MiB.")
  var at: SizeArgument

  @Option(help: "What to write: a file, or - for standard input.")
  var input: String

  @Option(help: "How to write: auto or kernel; both mean RWF_ATOMIC.")
  var path: Path = .auto

  @Option(help: "When the write must survive a power failure; for one write, end is each.")
  var durable: Durable = .each

  @Flag(help: "Refuse to write where the promise would rest on an assumption.")
  var strict = false

  @Flag(help: "Write to a block device although it carries a filesystem or partition table.")
  var overwriteExistingData = false

  @Flag(help: "Also say what each path makes of the write.")
  var explain = false

  @Flag(help: "Print JSON.")
  var json = false

  static let format = "nvme-atomic-write/1"

  func run() throws {
    do throws(Failure) {
      let before = try probe()
      let bytes = try InputFile.read(input, upToBytes: Self.inputLimit(before))
      // The limits as of now, but no other target: the input may have been waited for.
      let report = try probe()
      guard report.isSameTarget(as: before) else { throw Failure(.targetChanged, target: target) }
      InterruptGuard.holdUntilExit()
      let range = WriteRequest.Range.one(offsetBytes: at.bytes, lengthBytes: UInt64(bytes.count))
      if explain, !json { printVerdicts(report, range) }
      let receipt = try write(bytes, range, report)
      Terminal.print(
        json ? document(receipt, report, range).rendered : WriteText(receipt, target).line
      )
    } catch {
      if json { Terminal.print(error.document(format: Self.format).rendered) }
      Terminal.printError(error.line)
      throw error.exitCode
    }
  }

  private func probe() throws(Failure) -> TargetReport {
    let report = Probe().report(on: target)
    if let error = report.error { throw Failure(.target(error), target: target) }
    return report
  }

  /// More than the limit need not be read to be refused, and nothing where nothing is taken.
  private static func inputLimit(_ report: TargetReport) throws(Failure) -> Int {
    guard let statx = report.limits.statx, statx.acceptsAtomicWrites else {
      throw Failure(.refused(.kernelOffersNone), target: report.path)
    }
    return Int(statx.atomicWriteUnitMax ?? 0)
  }

  private func write(
    _ bytes: [UInt8],
    _ range: WriteRequest.Range,
    _ report: TargetReport
  ) throws(Failure) -> WriteReceipt {
    do throws(AtomicWriteError) {
      let durability: Durability = durable == .none ? .none : .onReturn
      // Refused before the target is opened, let alone written to.
      _ = try AtomicWriter.promise(
        for: range,
        on: report.limits,
        durability: durability,
        isStrict: strict
      )
      var writer = try AtomicWriter(
        opening: report,
        overwritingExistingData: overwriteExistingData
      )
      return try writer.write(
        AlignedBuffer(copying: bytes),
        atBytes: at.bytes,
        durability: durability,
        isStrict: strict
      )
    } catch {
      throw Failure(error, target: target)
    }
  }

  // MARK: Output

  private func plan(_ report: TargetReport, _ range: WriteRequest.Range) -> Plan {
    let promises: Promises = durable == .none ? .powerFailAtomic : [.powerFailAtomic, .durable]
    return Planner(report.limits).plan(
      WriteRequest(range, promises: promises, writer: .rwfAtomic)
    )
  }

  private func printVerdicts(_ report: TargetReport, _ range: WriteRequest.Range) {
    let plan = plan(report, range)
    Terminal.print("kernel: \(plan.kernel.text)")
    Terminal.print("passthrough: \(plan.passthrough.text); never taken unasked")
  }

  private func document(
    _ receipt: WriteReceipt,
    _ report: TargetReport,
    _ range: WriteRequest.Range
  ) -> JSONValue {
    let plan = plan(report, range)
    return .object([
      "format": .string(Self.format),
      "path": .string(receipt.path.rawValue),
      "power_fail_atomic": .string(
        receipt.powerFailAtomic.map { $0.assumptions.isEmpty ? "yes" : "assumed" } ?? "no"
      ),
      "durable": .optional(receipt.isDurable),
      "bytes": .number(receipt.lengthBytes),
      "ranges": .array([
        .object([
          "offset": .number(receipt.offsetBytes), "length": .number(receipt.lengthBytes),
        ])
      ]),
      "backing": .optional(receipt.powerFailAtomic?.backing.rawValue),
      "assumptions": .array(
        (receipt.powerFailAtomic?.assumptions ?? []).map { .string($0.description) }
      ),
      "untorn_for_readers": .string(receipt.untorn.word),
      "explanation": explain
        ? .object([
          "kernel": .string(plan.kernel.text), "passthrough": .string(plan.passthrough.text),
        ]) : .null,
    ])
  }
}
