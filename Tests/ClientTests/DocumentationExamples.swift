import NVMeAtomic

/// What README and articles show, so that it compiles. `DocumentationTests` compares the texts.
enum DocumentationExamples {
  static func readme() throws {
    let report = Probe().report(on: "/dev/nvme0n1")
    print(report.kernelPath.maximumBytes as Any)
    var writer = try AtomicWriter(opening: report)
    let page = AlignedBuffer(copying: [UInt8](repeating: 0xdb, count: 16384))
    let receipt = try writer.write(page, atBytes: 16384, durability: .onReturn)
    _ = receipt
  }

  static func overview() throws {
    let report = Probe().report(on: "/var/lib/db/data")
    if let error = report.error { print(error.message, error.remedy) }
    if let bytes = report.limits.tornFreeBytes { print("whole up to \(bytes) bytes") }
    for finding in report.findings { print(finding.code.rawValue, finding.message) }

    let request = WriteRequest(.everyPage(sizeBytes: 16384), writer: .direct)
    switch Planner(report.limits).plan(request).plain {
    case .holds(let promise): print("yes", promise.assumptions)
    case .fails(let refusal): print("no", refusal)
    case .unknown(let fact): print("not known", fact)
    }

    var writer = try AtomicWriter(opening: report)
    let page = AlignedBuffer(copying: [UInt8](repeating: 0xdb, count: 16384))
    let receipt = try writer.write(page, atBytes: 16384, durability: .onReturn)
    print(receipt.powerFailAtomic?.backing as Any, receipt.isDurable as Any)

    let target = try AtomicTarget(opening: report)
    var queue = try AtomicWriteQueue(target, depth: 32, durability: .onReturn, bufferBytes: 16384)
    for page in 0..<32 {
      guard var buffer = queue.takeBuffer() else { break }
      buffer.withMutableBytes { $0.copyBytes(from: repeatElement(UInt8(page), count: 16384)) }
      if let refused = queue.submit(buffer, atBytes: UInt64(page) * 16384, tag: UInt64(page)) {
        print(refused.error)
      }
    }
    while let done = try queue.next() {
      print(done.tag, done.error as Any)
    }

    let namespace = Probe().report(on: "/dev/ng0n1")
    var commands = try AtomicWriter(opening: namespace, path: .passthrough)
    let record = AlignedBuffer(byteCount: 12288)
    _ = try commands.write(record, atBytes: 512, durability: .onReturn)
  }

  static func transactions() throws {
    let target = try AtomicTarget(opening: Probe().report(on: "data.db"), path: .exchange)
    var transaction = try AtomicTransaction(on: target)
    try transaction.write([UInt8](repeating: 1, count: 100), atBytes: 4090)
    try transaction.write([2, 3], atBytes: 1_000_000)
    let done = try transaction.commit(durability: .onReturn)
    print(done.ranges, done.powerFailAtomic as Any, done.isDurable as Any)
  }

  static func journal() throws {
    let target = try AtomicTarget(opening: Probe().report(on: "data.db"), path: .journal)
    var transaction = try AtomicTransaction(on: target)
    try transaction.write([UInt8](repeating: 1, count: 100), atBytes: 4090)
    try transaction.write([2, 3], atBytes: 1_000_000)
    let done = try transaction.commit()
    print(done.ranges, done.powerFailAtomic as Any, done.isDurable as Any)
    try target.close()
  }

  static func tearing() throws {
    let target = try AtomicTarget(opening: Probe().report(on: "/dev/nvme0n1"))
    var options = TearingOptions()
    options.sizesBytes = [16384]
    let found = try TearingVerification(target, options).run()
    print(found.conclusion, found.because)
    for part in found.parts { print(part.step.sizeBytes, part.count, part.evidence) }
  }
}
