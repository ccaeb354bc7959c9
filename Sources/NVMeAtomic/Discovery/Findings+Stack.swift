/// What the layers between a target and its drives do to atomic writes.
extension Findings {
  /// Findings about each layer, from the target down.
  var stack: [Finding] {
    guard let kind = facts.diskKind, kind != "namespace", let stack = target.stack else {
      return []
    }
    let layers = stack.layers.filter { $0.kind != "multipath" }
    return layers.flatMap { dropped(by: $0) + narrowed(by: $0) } + narrowedBySeams(stack)
  }

  // MARK: Nothing passes

  private func dropped(by layer: StackLayer) -> [Finding] {
    if layer.queue.atomicWriteUnitMaxBytes ?? 0 > 0 { return [] }
    let (cause, remedy) = dropCause(layer)
    return [
      Finding(
        .stackedDeviceDropsAtomics,
        offersNothing ? .blocking : .warning,
        .stack,
        "\(name(layer)) passes no atomic writes on to hardware: \(cause).",
        remedy: remedy
      )
    ]
  }

  private func dropCause(_ layer: StackLayer) -> (String, String) {
    let direct = "put the data on an NVMe namespace or partition directly"
    if layer.queue.atomicWriteUnitMaxBytes == nil {
      return ("this kernel has no RWF_ATOMIC", "boot Linux 6.14 or newer")
    }
    switch layer.kind {
    case "loop": return ("a loop device takes none", direct)
    case "dm", "md": break
    default: return ("this device takes none", direct)
    }
    guard let type = layer.type else { return ("its type could not be read", direct) }
    if let foreign = type.split(separator: "+").first(where: { !Self.passing.contains($0) }) {
      return ("\(layer.kind == "md" ? "md" : "the target") \(foreign) takes none", direct)
    }
    if let member = layer.members.first(where: { $0.queue.atomicWriteUnitMaxBytes ?? 0 == 0 }) {
      return ("its member \(member.device) takes none", "replace \(member.device)")
    }
    let boundaries = Set(layer.members.map { $0.queue.atomicWriteBoundaryBytes ?? 0 }).sorted()
    if boundaries.count > 1 {
      let texts = boundaries.map { $0 == 0 ? "none" : "\(ByteText($0))" }
      return (
        "the boundaries of its members differ (\(texts.joined(separator: ", ")))",
        "build it from drives with the same boundary"
      )
    }
    if let member = layer.members.first(where: { $0.startBytes % $0.alignmentBytes != 0 }) {
      return (
        "it begins at \(member.startBytes) on \(member.device), off a multiple of "
          + "\(ByteText(member.alignmentBytes))",
        "build it to begin at a multiple of \(ByteText(member.alignmentBytes))"
      )
    }
    if let chunk = layer.chunkBytes, let boundary = boundaries.first, boundary > 0 {
      return (
        "its chunk of \(ByteText(chunk)) does not go into the boundary of \(ByteText(boundary))",
        "build it with a chunk of \(ByteText(boundary))"
      )
    }
    return ("this kernel passes none through \(type)", "boot the newest kernel there is")
  }

  /// What some kernel passes atomic writes through (`DM_TARGET_ATOMIC_WRITES`, `drivers/md/`).
  private static let passing: Set<Substring> = [
    "linear", "striped", "mirror", "crypt", "multipath", "raid0", "raid1", "raid10",
  ]

  // MARK: Less passes

  private func narrowed(by layer: StackLayer) -> [Finding] {
    let units = layer.members.compactMap(\.queue.atomicWriteUnitMaxBytes)
    guard units.count == layer.members.count, let least = units.min(), let most = units.max(),
      let own = layer.queue.atomicWriteUnitMaxBytes, own > 0, own < most || own > least
    else { return [] }
    let smallest = layer.members.first { $0.queue.atomicWriteUnitMaxBytes == least }?.device ?? ""
    if own > least {
      // The kernel stacks what hardware keeps, and forgets what a queue can carry.
      let message =
        "\(name(layer)) offers atomic writes of up to \(ByteText(own)), of which its member "
        + "\(smallest) takes \(ByteText(least)) only."
      return [narrows(message, "build it from drives with the same limits")]
    }
    let cause: String
    var remedy: String?
    if own < least, let chunk = layer.chunkBytes, chunk.powerOfTwoFactor <= own {
      cause = "its chunk is \(ByteText(chunk))"
      remedy = "build it with a chunk of \(ByteText(least))"
    } else if own < least {
      cause = "its members take \(ByteText(least)), and the kernel's rule for stacks gives less"
    } else {
      cause = "its member \(smallest) takes \(ByteText(least)), others more"
    }
    let message = "\(name(layer)) passes atomic writes of up to \(ByteText(own)): \(cause)."
    return [narrows(message, remedy)]
  }

  /// The kernel's limits know nothing of seams at which a write would have to be divided.
  private func narrowedBySeams(_ stack: StackLimits) -> [Finding] {
    guard let offered = queue.atomicWriteUnitMaxBytes, stack.granuleBytes < offered else {
      return []
    }
    return [
      narrows(
        "The pieces below \(facts.diskNode) begin at multiples of \(ByteText(stack.granuleBytes)) "
          + "only: the kernel offers \(ByteText(offered)) and refuses, or loses, what would lie "
          + "across a seam.",
        "build it from pieces whose starts and lengths are multiples of \(ByteText(offered))"
      )
    ]
  }

  private func narrows(_ message: String, _ remedy: String?) -> Finding {
    Finding(.stackedDeviceNarrowsAtomics, .warning, .stack, message, remedy: remedy)
  }

  private func name(_ layer: StackLayer) -> String {
    "\(layer.device) (\(layer.type.map { "\(layer.kind) \($0)" } ?? layer.kind))"
  }
}

/// The namespaces of a target that rests on several, or on one by several paths.
extension Findings {
  /// Each namespace's own findings, those that several share once.
  var namespaces: [Finding] {
    var found: [(finding: Finding, devices: [String])] = []
    for entry in report.namespaces {
      let own = Findings(TargetReport(of: entry), facts(of: entry))
      let name = entry.path ?? entry.device.lastComponent
      for finding in own.drive + own.vendorTornWrite + own.documented + own.kernel {
        let index = found.firstIndex {
          $0.finding.code == finding.code && $0.finding.message == finding.message
        }
        guard let index else {
          found.append((finding, [name]))
          continue
        }
        found[index].devices.append(name)
        found[index].finding.remedy = join(found[index].finding.remedy, finding.remedy)
      }
    }
    // Where there is one drive, nobody asks which.
    return found.map { finding, devices in
      var finding = finding
      if report.namespaces.count == 1 { return finding }
      finding.message = "On \(devices.joined(separator: ", ")): \(finding.message)"
      return finding
    } + outdatedHead + disagreeingPaths
  }

  private func join(_ left: String?, _ right: String?) -> String? {
    guard let left, let right, left != right else { return left ?? right }
    // A comment behind a command stays behind the last one.
    let (first, second) = (Remedy(left), Remedy(right))
    return first.command + "; " + second.command + second.comment
  }

  private func facts(of entry: NamespaceEntry) -> FindingFacts {
    var facts = FindingFacts()
    facts.diskNode = entry.device
    facts.diskKind = "namespace"
    facts.pathDisks = report.namespaces.filter { $0.device == entry.device }.compactMap(\.path)
    return facts
  }

  private var outdatedHead: [Finding] {
    guard facts.headIsOutdated, let path = facts.pathDisks.first else { return [] }
    return [
      Finding(
        .pathsDisagree,
        .warning,
        .kernel,
        "Requests to \(facts.diskNode) pass through \(path), whose limits are other ones: a head "
          + "keeps the smallest of all paths it ever had, until the namespace is removed."
      )
    ]
  }

  /// Paths to one namespace whose limits are not the same.
  private var disagreeingPaths: [Finding] {
    let devices = report.namespaces.map(\.device)
    return devices.indices.filter { devices.firstIndex(of: devices[$0]) == $0 }.flatMap { first in
      let paths = report.namespaces.filter { $0.device == devices[first] }
      let units = paths.map { "\($0.path ?? "") \(text($0.queue.atomicWriteUnitMaxBytes))" }
      guard Set(paths.map(\.queue)).count > 1 || Set(paths.map(\.drive)).count > 1 else {
        return [Finding]()
      }
      return [
        Finding(
          .pathsDisagree,
          .warning,
          .device,
          "The paths to \(devices[first]) differ, and the smallest limit counts: RWF_ATOMIC up to "
            + "\(units.joined(separator: ", "))."
        )
      ]
    }
  }

  private func text(_ bytes: UInt64?) -> String {
    bytes.map { "\(ByteText($0))" } ?? "unknown"
  }
}

/// A remedy in two parts: what is typed, and the comment behind it.
private struct Remedy {
  var command: String
  var comment: String

  init(_ text: String) {
    let parts = text.split(separator: "   #", maxSplits: 1)
    command = String(parts[0])
    comment = parts.count > 1 ? "   #" + parts[1] : ""
  }
}

extension TargetReport {
  /// A namespace below a stack, as if it were the target.
  fileprivate init(of entry: NamespaceEntry) {
    self.init(path: entry.device)
    kind = .namespace
    controller = entry.controller
    namespace = entry.namespace
    writeAtomicityNormalDisabled = entry.writeAtomicityNormalDisabled
    limits = TargetLimits(kind: .namespace, drive: entry.drive)
    limits.queue = entry.queue
    limits.fabric = entry.fabric
    queue = entry.queue
  }
}
