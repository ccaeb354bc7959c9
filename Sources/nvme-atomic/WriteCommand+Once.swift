import NVMeAtomic

/// One write.
extension WriteCommand {
  func runOnce(_ place: borrowing NewTarget) throws(Failure) {
    guard let at, let input else { return }
    let before = try probe(place)
    let bytes = try InputFile.read(
      input,
      upToBytes: inputLimit(before),
      what: writePath == .plain
        ? "what this command writes at once" : "the largest atomic write here",
      readAhead: automatic?.readAhead
    )
    try checkSize(end: at.bytes.addingReportingOverflow(UInt64(bytes.count)))
    // The limits as of now, but no other target: the input may have been waited for.
    let report = try probe(place)
    guard report.isSameTarget(as: before) else { throw failure(.targetChanged) }
    InterruptGuard.holdUntilExit()
    let range = WriteRequest.Range.one(offsetBytes: at.bytes, lengthBytes: UInt64(bytes.count))
    if explain, !json { printVerdicts(report, range, durabilityOfOne) }
    let receipt: WriteReceipt
    do throws(Failure) {
      receipt = try writeOnce(bytes, range, report)
    } catch {
      throw place.failure(error)
    }
    try place.giveName()
    try Terminal.printReport(
      json ? document(receipt, report, range).rendered : WriteText(receipt, target).line,
      of: target
    )
  }

  /// `--size` is what the file is to have, no less.
  func checkSize(end: (partialValue: UInt64, overflow: Bool)) throws(Failure) {
    guard let size, end.overflow || end.partialValue > size.bytes else { return }
    throw Failure(
      target: target,
      code: .exceedsLimit,
      message: "the write ends beyond --size \(size.bytes)",
      remedy: "give a larger --size, or write before its end",
      outcome: .notWritten
    )
  }

  var durabilityOfOne: Durability { durable == Durable.none ? .none : .onReturn }

  /// More than the limit need not be read to be refused, and nothing where nothing is taken.
  private func inputLimit(_ report: TargetReport) throws(Failure) -> Int {
    // What a plain write takes at most is nobody's promise; a limit there is all the same.
    if writePath == .plain { return 1 << 30 }
    if writePath == .passthrough {
      let limits = PassthroughPathLimits(report.limits, allowsShared: allowShared)
      // Where there is none, the planner says why.
      guard let most = limits.maximumBytes, most > 0 else { return 1 << 20 }
      return Int(most)
    }
    guard let statx = report.limits.statx, statx.acceptsAtomicWrites else {
      throw failure(.refused(.kernelOffersNone))
    }
    return Int(statx.atomicWriteUnitMax ?? 0)
  }

  private func writeOnce(
    _ bytes: [UInt8],
    _ range: WriteRequest.Range,
    _ report: TargetReport
  ) throws(Failure) -> WriteReceipt {
    do throws(AtomicWriteError) {
      let durability = durabilityOfOne
      // Refused before the target is opened, let alone written to.
      if writePath != .plain {
        _ = try AtomicWriter.promise(
          for: range,
          on: report.limits,
          path: writePath,
          durability: durability,
          isStrict: strict,
          allowsShared: allowShared
        )
      }
      var writer = try AtomicWriter(
        opening: report,
        path: writePath,
        overwritingExistingData: overwriteExistingData,
        allowingShared: allowShared
      )
      return try writer.write(
        AlignedBuffer(copying: bytes),
        atBytes: at?.bytes ?? 0,
        durability: durability,
        isStrict: strict
      )
    } catch {
      throw failure(error)
    }
  }

  private func document(
    _ receipt: WriteReceipt,
    _ report: TargetReport,
    _ range: WriteRequest.Range
  ) -> JSONValue {
    .object([
      "format": .string(Self.format),
      "path": .string(receipt.path.rawValue),
      "power_fail_atomic": .string(receipt.powerFailAtomic.word),
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
      "explanation": explanation(report, range, durabilityOfOne),
    ])
  }
}

extension PathPromise? {
  /// `yes`, `assumed` or `no`.
  var word: String {
    map { $0.assumptions.isEmpty ? "yes" : "assumed" } ?? "no"
  }
}
