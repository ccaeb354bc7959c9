import NVMeAtomic
import SystemPackage

/// Several writes, or one of any length, as one transaction.
extension WriteCommand {
  func runTransaction(_ place: borrowing NewTarget) throws(Failure) {
    let report = try probe(place)
    try checkStrictly(report)
    let receipt: TransactionReceipt
    do throws(Failure) {
      receipt = try carryOut(place, report)
    } catch {
      throw place.failure(error)
    }
    try place.giveName()
    if explain, !json { printVerdicts(report, asked(receipt), durabilityOfOne) }
    try Terminal.printReport(
      json ? document(receipt, report).rendered : WriteText(receipt, target).line,
      of: target
    )
  }

  private func checkStrictly(_ report: TargetReport) throws(Failure) {
    let planner = Planner(report.limits)
    let verdict = path == .journal ? planner.journal : planner.exchange
    guard strict, let promise = verdict.promise, let assumption = promise.assumptions.first
    else { return }
    throw failure(.onlyAssumed(assumption))
  }

  /// Nothing is left of a transaction that is ended while it reads its inputs.
  private func carryOut(
    _ place: borrowing NewTarget,
    _ report: TargetReport
  ) throws(Failure) -> TransactionReceipt {
    try InputFile.checkReadable(inputs)
    try checkEnds()
    let open = try openTarget(report)
    if strict, let assumption = open.journalPromise?.assumptions.first {
      throw failure(.onlyAssumed(assumption))
    }
    var transaction = try begin(open)
    for (offset, input) in zip(offsets, inputs) {
      try stage(input, at: offset.bytes, in: &transaction)
    }
    // The inputs may have been waited for.
    guard try probe(place).isSameTarget(as: report) else { throw failure(.targetChanged) }
    InterruptGuard.holdUntilExit()
    do throws(AtomicWriteError) {
      let receipt = try transaction.commit(durability: durabilityOfOne)
      try open.close()
      return receipt
    } catch {
      throw failure(error)
    }
  }

  /// What can be refused before a journal is made for it.
  private func checkEnds() throws(Failure) {
    for (offset, input) in zip(offsets, inputs) {
      guard input != "-", let status = try? FilePath(input).stat(), status.type == .regular else {
        continue
      }
      let count = UInt64(clamping: status.size)
      let end = offset.bytes.addingReportingOverflow(count)
      try checkSize(end: end)
      if count == 0 { throw failure(.refused(.empty)) }
    }
  }

  private func begin(_ target: AtomicTarget) throws(Failure) -> AtomicTransaction {
    do throws(AtomicWriteError) {
      return try AtomicTransaction(on: target)
    } catch {
      throw failure(error)
    }
  }

  private func stage(
    _ input: String,
    at offset: UInt64,
    in transaction: inout AtomicTransaction
  ) throws(Failure) {
    var place = offset
    // SAFETY: the piece is lent for the call.
    let readAhead = automatic?.readAhead
    unsafe try InputFile.forEachPiece(input, readAhead: readAhead) { piece throws(Failure) in
      let end = place.addingReportingOverflow(UInt64(piece.count))
      try checkSize(end: end)
      do throws(AtomicWriteError) {
        unsafe try transaction.write(piece, atBytes: place)
      } catch {
        throw failure(error)
      }
      place = end.partialValue
    }
    if place == offset { throw failure(.refused(.empty)) }
  }

  /// What the paths that write one range at a time are asked about.
  private func asked(_ receipt: TransactionReceipt) -> WriteRequest.Range {
    let (begin, end) = (receipt.ranges.first?.lowerBound, receipt.ranges.last?.upperBound)
    return .one(offsetBytes: begin ?? 0, lengthBytes: (end ?? 0) - (begin ?? 0))
  }

  private func document(_ receipt: TransactionReceipt, _ report: TargetReport) -> JSONValue {
    .object([
      "format": .string(Self.format),
      "path": .string(receipt.path.rawValue),
      "power_fail_atomic": .string(receipt.powerFailAtomic.word),
      "durable": .optional(receipt.isDurable),
      "bytes": .number(receipt.bytes),
      "ranges": .array(
        receipt.ranges.map {
          .object(["offset": .number($0.lowerBound), "length": .number(UInt64($0.count))])
        }
      ),
      "backing": .optional(receipt.powerFailAtomic?.backing.rawValue),
      "assumptions": .array(
        (receipt.powerFailAtomic?.assumptions ?? []).map { .string($0.description) }
      ),
      "untorn_for_readers": .string(receipt.untorn.word),
      "explanation": explanation(report, asked(receipt), durabilityOfOne),
    ])
  }
}
