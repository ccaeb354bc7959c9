import NVMeAtomic

/// A probe as metrics, for the textfile collector of Prometheus' node exporter.
///
/// What is not known has no series: a number that stands for "unknown" would be taken for a limit.
/// `nvme_atomic_known` says which of them are missing for that reason.
struct ProbePrometheus {
  let kernelRelease: String?
  let targets: [TargetReport]

  /// Text exposition format 0.0.4, which ends with a line feed.
  var rendered: String {
    var metrics = Metrics()
    metrics.add(
      "tool_info",
      "The program that wrote this, and the kernel it asked.",
      ["version": NVMeAtomicCommand.version, "kernel_release": kernelRelease]
    )
    // A target named twice would be the same series twice, which no collector takes.
    var seen: Set<String> = []
    for report in targets where seen.insert(report.path).inserted { add(report, &metrics) }
    return metrics.rendered
  }

  private func add(_ report: TargetReport, _ metrics: inout Metrics) {
    metrics.add(
      "probe_success",
      "Whether the target could be probed.",
      ["device": report.path],
      report.error == nil ? 1 : 0
    )
    if let error = report.error {
      metrics.add(
        "probe_failure",
        "Why the target could not be probed, as the code of probe --json.",
        ["device": report.path, "code": error.code.rawValue]
      )
      return
    }
    addTarget(report, &metrics)
    for entry in report.namespaces { addNamespace(entry, below: report.path, &metrics) }
    addDevice(report, &metrics)
    addQueue(report, &metrics)
    addKernel(report, &metrics)
    addKnown(report, &metrics)
    addFindings(report, &metrics)
    if let answer = report.answer { addAnswer(answer, report.path, &metrics) }
  }

  // MARK: Layers

  private func addTarget(_ report: TargetReport, _ metrics: inout Metrics) {
    metrics.add(
      "target_info",
      "What the target is.",
      [
        "device": report.path, "kind": report.kind?.rawValue,
        "filesystem": report.limits.filesystem?.type,
        "controller": report.kind == .controller ? report.controller?.name : nil,
      ]
    )
  }

  /// What a stack rests on; several paths to one namespace are told apart.
  private func addNamespace(
    _ entry: NamespaceEntry,
    below device: String,
    _ metrics: inout Metrics
  ) {
    let controller = entry.controller
    metrics.add(
      "namespace_info",
      "A namespace below the target, or a path to one.",
      [
        "device": device, "namespace": entry.device, "path": entry.path,
        "nsid": entry.namespace.nsid.map { "\($0)" }, "controller": controller?.name,
        "transport": controller?.transport,
        "model": controller?.identify?.model ?? controller?.model,
        "serial": controller?.identify?.serial ?? controller?.serial,
        "firmware": controller?.identify?.firmware ?? controller?.firmware,
      ]
    )
    metrics.add(
      "namespace_power_fail_bytes",
      "The longest write that this namespace keeps whole over a power failure.",
      ["device": device, "namespace": entry.device, "path": entry.path],
      entry.drive.limits?.powerFailBytes
    )
  }

  /// Those of the one namespace below; several have no limits in common that mean anything.
  private static func deviceLimits(_ report: TargetReport) -> DeviceLimits? {
    let only = report.namespaces.count == 1 ? report.namespaces.first : nil
    return (only?.drive ?? report.limits.drive).limits
  }

  private func addDevice(_ report: TargetReport, _ metrics: inout Metrics) {
    guard let limits = Self.deviceLimits(report) else { return }
    let rows: [(String, String, UInt64?)] = [
      (
        "power_fail_bytes", "The longest write that the drive keeps whole over a power failure.",
        limits.powerFailBytes
      ),
      (
        "power_fail_boundary_bytes", "Lines that such a write must not cross; 0 is none.",
        limits.powerFailBoundary?.sizeBytes ?? 0
      ),
      (
        "normal_bytes", "The longest write that the drive keeps whole against other commands.",
        limits.normalBytes
      ),
      (
        "normal_boundary_bytes", "Lines that such a write must not cross; 0 is none.",
        limits.normalBoundary?.sizeBytes ?? 0
      ),
      ("boundary_offset_bytes", "Where the lines begin.", limits.boundaryOffsetBytes),
      ("max_transfer_bytes", "The longest write that is one command.", limits.maximumTransferBytes),
    ]
    for (name, help, value) in rows {
      metrics.add("device_" + name, help, ["device": report.path], value)
    }
  }

  private func addQueue(_ report: TargetReport, _ metrics: inout Metrics) {
    let queue = report.queue
    let rows: [(String, String, UInt64?)] = [
      (
        "unit_min_bytes", "queue/atomic_write_unit_min_bytes of the disk.",
        queue.atomicWriteUnitMinBytes
      ),
      (
        "unit_max_bytes", "queue/atomic_write_unit_max_bytes of the disk.",
        queue.atomicWriteUnitMaxBytes
      ),
      ("max_bytes", "queue/atomic_write_max_bytes of the disk.", queue.atomicWriteMaxBytes),
      (
        "boundary_bytes", "queue/atomic_write_boundary_bytes of the disk; 0 is none.",
        queue.atomicWriteBoundaryBytes
      ),
    ]
    for (name, help, value) in rows {
      metrics.add("queue_" + name, help, ["device": report.path], value)
    }
  }

  private func addKernel(_ report: TargetReport, _ metrics: inout Metrics) {
    let device: Labels = ["device": report.path]
    metrics.add(
      "torn_free_bytes",
      "The largest aligned power of two that the hardware keeps whole through RWF_ATOMIC.",
      device,
      report.limits.tornFreeBytes
    )
    let path = report.kernelPath
    guard let isAvailable = path.available else { return }
    let rows: [(String, String, UInt64?)] = [
      ("available", "Whether RWF_ATOMIC keeps anything whole.", isAvailable ? 1 : 0),
      ("min_bytes", "The shortest write that RWF_ATOMIC takes.", path.minimumBytes),
      ("max_bytes", "The longest write that RWF_ATOMIC keeps whole.", path.maximumBytes),
      (
        "hardware_max_bytes", "The longest that the drive may keep; 0 if none.",
        path.hardwareMaximumBytes
      ),
      (
        "software_max_bytes", "The longest that the filesystem keeps in software; 0 if none.",
        path.softwareMaximumBytes
      ),
      (
        "boundary_bytes", "Lines that an atomic write must not cross; 0 is none.",
        path.boundaryBytes
      ),
    ]
    for (name, help, value) in rows { metrics.add("kernel_" + name, help, device, value) }
  }

  // MARK: Conclusions

  private func addKnown(_ report: TargetReport, _ metrics: inout Metrics) {
    let facts = [
      ("device_limits", Self.deviceLimits(report) != nil),
      ("kernel", report.kernelPath.available != nil),
      ("torn_free_bytes", report.limits.tornFreeBytes != nil),
    ]
    for (fact, isKnown) in facts {
      metrics.add(
        "known",
        "Whether this is known; the series of what is not are absent.",
        ["device": report.path, "fact": fact],
        isKnown ? 1 : 0
      )
    }
  }

  private func addFindings(_ report: TargetReport, _ metrics: inout Metrics) {
    for finding in report.findings {
      metrics.add(
        "finding",
        "What is worth knowing, by the codes of probe --json.",
        [
          "device": report.path, "code": finding.code.rawValue,
          "severity": finding.severity.rawValue,
        ]
      )
    }
  }

  private func addAnswer(_ answer: Answer, _ device: String, _ metrics: inout Metrics) {
    var labels: Labels = ["device": device]
    switch answer.question.range {
    case .everyPage(let size): labels["page_size"] = "\(size)"
    case .one(let offset, let length):
      (labels["offset"], labels["length"]) = ("\(offset)", "\(length)")
    }
    labels["writer"] = answer.question.writer.rawValue
    metrics.add(
      "answer",
      "Whether the write is kept whole over a power failure; absent when not known.",
      labels,
      answer.isAtomic.map { $0 ? 1 : 0 }
    )
    for state in AnswerState.allCases {
      labels["state"] = state.rawValue
      metrics.add(
        "answer_state",
        "1 for the answer that was given: yes, assumed, no or unknown.",
        labels,
        AnswerState(answer) == state ? 1 : 0
      )
    }
  }
}

/// The answers that are told apart.
private enum AnswerState: String, CaseIterable {
  case yes, assumed, no, unknown

  init(_ answer: Answer) {
    switch answer.isAtomic {
    case true?: self = answer.isAssumed ? .assumed : .yes
    case false?: self = .no
    case nil: self = .unknown
    }
  }
}
