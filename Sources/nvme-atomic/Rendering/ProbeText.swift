import NVMeAtomic

/// The layered picture of one target, for people.
struct ProbeText {
  let report: TargetReport

  /// Paths and the drive's own words may hold anything; none of it reaches the terminal raw.
  var lines: [String] { rawLines.map(\.printable) }

  private var rawLines: [String] {
    if let error = report.error {
      return ["\(report.path): \(error.message); \(error.remedy)"]
    }
    var lines = report.answer.map { [answerLine($0), ""] } ?? []
    let table = layers.rendered
    lines += [heading] + (table.isEmpty ? [] : [""] + table) + ["", verdict]
    if !report.findings.isEmpty { lines += [""] + report.findings.flatMap(findingLines) }
    return lines
  }

  private var heading: String {
    let kind = report.kind.map { "\($0.rawValue)" } ?? "target"
    let below = below(0, shown: [])
    return "\(report.path): \(kind)" + (below.isEmpty ? "" : " on \(below)")
  }

  /// What lies below an entry of the stack: a chain, or where it forks, what each branch is.
  private func below(_ id: Int, shown: Set<Int>) -> String {
    let children = report.stack.filter { $0.parents.contains(id) && !shown.contains($0.id) }
    let texts = children.map { child in
      let rest = below(child.id, shown: shown.union([id]))
      let type = child.type.map { " (\($0))" } ?? ""
      return child.device + type + (rest.isEmpty ? "" : " → " + rest)
    }
    return texts.count > 1 ? "[" + texts.joined(separator: " | ") + "]" : texts.first ?? ""
  }

  // MARK: Layers

  /// From the hardware up, so that reading down shows where a promise shrinks.
  private var layers: LayerTable {
    var table = LayerTable()
    addDrive(&table)
    addDocumented(&table)
    addQueue(&table)
    addTarget(&table)
    addPaths(&table)
    return table
  }

  private func addDrive(_ table: inout LayerTable) {
    if report.namespaces.count > 1 { return addDrives(&table) }
    guard let controller = report.controller ?? report.namespaces.first?.controller else { return }
    let model = controller.identify?.model ?? controller.model ?? "unknown model"
    let firmware = controller.identify?.firmware ?? controller.firmware ?? "unknown"
    table.add("drive", "\(model), firmware \(firmware), \(controller.name)")
    let drive = report.namespaces.first?.drive ?? report.limits.drive
    guard let device = drive.limits else {
      if case .unknown(let fact) = drive { table.add("", fact.description) }
      return
    }
    table.add(
      "",
      "power failure: \(ByteText(device.powerFailBytes)) whole"
        + boundary(device.powerFailBoundary)
        + " (\(field(device.powerFailSource)))",
      promise: device.powerFailBytesWithinBoundary
    )
    let normal = device.normalBytes.map { "\(ByteText($0)) whole" } ?? "unknown"
    let disabled = device.normalAtomicityDisabled == true
    table.add(
      "",
      "other commands: " + (disabled ? "not kept apart (DN)" : normal)
        + (disabled ? "" : boundary(device.normalBoundary))
        + (disabled
          ? "" : device.normalSource.map { $0 == .namespace ? " (NAWUN)" : " (AWUN)" } ?? "")
    )
    let cache =
      switch device.volatileWriteCache {
      case false?: "no volatile write cache"
      case true?: "volatile write cache on"
      case nil: "volatile write cache, perhaps on"
      }
    let transfer = device.maximumTransferBytes.map { ", one command up to \(ByteText($0))" } ?? ""
    table.add("", "\(ByteText(UInt64(device.logicalBlockSize.bytes))) blocks, \(cache)\(transfer)")
  }

  /// A line for each of several drives or paths.
  private func addDrives(_ table: inout LayerTable) {
    for entry in report.namespaces {
      let name = entry.path ?? entry.device.split(separator: "/").last.map(String.init) ?? ""
      guard let device = entry.drive.limits else {
        if case .unknown(let fact) = entry.drive { table.add(name, fact.description) }
        continue
      }
      let unit = entry.queue.atomicWriteUnitMaxBytes.map { ", RWF_ATOMIC up to \(ByteText($0))" }
      table.add(
        name,
        "power failure: \(ByteText(device.powerFailBytes)) whole"
          + boundary(device.powerFailBoundary) + (unit ?? "")
      )
    }
  }

  private func field(_ source: DeviceLimits.Source) -> String {
    switch source {
    case .namespace: "NAWUPF"
    case .controller: "AWUPF"
    case .vendor: "NTWPU; not for RWF_ATOMIC"
    }
  }

  /// A document is shown beside the drive's own words, and promises nothing.
  private func addDocumented(_ table: inout LayerTable) {
    guard let promise = report.documented else { return }
    let sizes = promise.sizesBytes.map { ByteText($0).description }.joined(separator: ", ")
    table.add(
      "documented",
      (sizes.isEmpty ? "no length" : sizes) + ", by \(promise.provider) for \(promise.product); "
        + "not counted"
    )
  }

  private func boundary(_ boundary: AtomicBoundary?) -> String {
    guard let boundary else { return "" }
    let offset = boundary.offsetBytes == 0 ? "" : " from \(ByteText(boundary.offsetBytes)) on"
    return " within every \(ByteText(boundary.sizeBytes))\(offset)"
  }

  private func addQueue(_ table: inout LayerTable) {
    let queue = report.queue
    guard let minimum = queue.atomicWriteUnitMinBytes, let maximum = queue.atomicWriteUnitMaxBytes
    else {
      if queue.logicalBlockSize != nil { table.add("kernel", "this kernel has no RWF_ATOMIC") }
      return
    }
    guard maximum > 0 else {
      table.add("kernel", "no RWF_ATOMIC on this disk", promise: 0)
      return
    }
    let lines = queue.atomicWriteBoundaryBytes ?? 0
    table.add(
      "kernel",
      "RWF_ATOMIC from \(ByteText(minimum)) to \(ByteText(maximum))"
        + (lines == 0 ? "" : " within every \(ByteText(lines))"),
      promise: maximum
    )
  }

  private func addTarget(_ table: inout LayerTable) {
    guard let statx = report.limits.statx, let kind = report.kind else { return }
    var label = kind.rawValue
    if let filesystem = report.limits.filesystem {
      label = filesystem.type
      let details = [
        filesystem.blockSize.map { "\(ByteText($0)) blocks" },
        filesystem.reflink.map { $0 ? "reflink" : "no reflink" },
        filesystem.exchangeRange == true ? "exchange-range" : nil,
      ]
      let known = details.compactMap { $0 }.joined(separator: ", ")
      if !known.isEmpty {
        table.add(label, known)
        label = ""
      }
    }
    guard statx.acceptsAtomicWrites, let minimum = statx.atomicWriteUnitMin,
      let maximum = statx.atomicWriteUnitMax
    else {
      table.add(label, "takes no RWF_ATOMIC", promise: 0)
      return
    }
    let optimal = statx.atomicWriteUnitMaxOpt ?? 0
    table.add(
      label,
      "RWF_ATOMIC from \(ByteText(UInt64(minimum))) to \(ByteText(UInt64(maximum)))"
        + (optimal > 0 && optimal < maximum
          ? ", by the drive up to \(ByteText(UInt64(optimal)))" : ""),
      promise: UInt64(maximum)
    )
  }

  private func addPaths(_ table: inout LayerTable) {
    let passthrough = report.passthroughPath
    guard report.controller != nil, report.kind?.isFile != true, report.kind != .controller else {
      return
    }
    if passthrough.available == true, let maximum = passthrough.maximumBytes,
      let granule = passthrough.granuleBytes
    {
      table.add(
        "passthrough",
        "one command up to \(ByteText(maximum)) in steps of \(ByteText(granule)), alone on the "
          + "namespace"
      )
    } else {
      table.add("passthrough", passthrough.reason ?? "not known")
    }
  }

  // MARK: Conclusions

  private var verdict: String {
    let path = report.kernelPath
    switch path.available {
    case nil: return "RWF_ATOMIC: not known, because \(path.reason ?? "facts are missing")."
    case false?: return "RWF_ATOMIC: nothing, because \(path.reason ?? "it is not offered")."
    case true?: break
    }
    let maximum = ByteText(path.maximumBytes ?? 0)
    switch path.backing {
    case .hardware: return "RWF_ATOMIC: up to \(maximum) stay whole over a power failure."
    case .software:
      return "RWF_ATOMIC: up to \(maximum) stay whole over a power failure, by XFS in software."
    default:
      return "RWF_ATOMIC: up to \(maximum) stay whole over a power failure; by the drive up to "
        + "\(ByteText(path.hardwareMaximumBytes ?? 0)), by XFS in software above or where the "
        + "range is fragmented."
    }
  }

  private func answerLine(_ answer: Answer) -> String {
    let subject: String
    switch answer.question.range {
    case .everyPage(let size): subject = "\(ByteText(size)) pages"
    case .one(let offset, let length): subject = "\(ByteText(length)) at \(offset)"
    }
    let word =
      switch answer.isAtomic {
      case true?: answer.isAssumed ? "yes, assumed" : "yes"
      case false?: "no"
      case nil: "not known"
      }
    return "\(subject) by a \(answer.question.writer.rawValue) writer: \(word). "
      + "\(answer.because.prefix(1).uppercased() + answer.because.dropFirst())."
  }

  private func findingLines(_ finding: Finding) -> [String] {
    let head = "\(finding.severity.rawValue) \(finding.code.rawValue): \(finding.message)"
    return [head] + (finding.remedy.map { ["  → \($0)"] } ?? [])
  }
}

/// Labelled lines; a line whose promise is smaller than the one before it is marked.
struct LayerTable {
  private var rows: [(label: String, text: String, promise: UInt64?)] = []

  mutating func add(_ label: String, _ text: String, promise: UInt64? = nil) {
    rows.append((label, text, promise))
  }

  var rendered: [String] {
    let width = 2 + (rows.map(\.label.count).max() ?? 0)
    var smallest: UInt64?
    return rows.map { row in
      let label = row.label + String(repeating: " ", count: width - row.label.count)
      var mark = ""
      if let promise = row.promise {
        if let before = smallest, promise < before { mark = "   ← narrowed here" }
        smallest = min(promise, smallest ?? promise)
      }
      return "  \(label)\(row.text)\(mark)"
    }
  }
}
