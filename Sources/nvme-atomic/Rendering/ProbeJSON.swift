import NVMeAtomic

/// The document `nvme-atomic-probe/1`. Fields are added, never renamed; unknown is null.
struct ProbeJSON {
  let kernelRelease: String?
  let targets: [TargetReport]

  var document: JSONValue {
    .object([
      "format": .string(ProbeRun.format),
      "tool_version": .string(NVMeAtomicCommand.version),
      "kernel_release": .optional(kernelRelease),
      "targets": .array(targets.map(target)),
    ])
  }

  private func target(_ report: TargetReport) -> JSONValue {
    if let error = report.error {
      return .object([
        "path": .string(report.path), "kind": .optional(report.kind?.rawValue),
        "error": .object([
          "code": .string(error.code.rawValue), "message": .string(error.message),
          "remedy": .string(error.remedy),
        ]),
      ])
    }
    let only = report.namespaces.count == 1 ? report.namespaces.first : nil
    let base: KeyValuePairs<String, JSONValue> = [
      "path": .string(report.path),
      "kind": .optional(report.kind?.rawValue),
      "nvme": nvme(
        only?.controller ?? report.controller,
        only?.namespace,
        only?.writeAtomicityNormalDisabled ?? report.writeAtomicityNormalDisabled
      ),
      "device_limits": deviceLimits((only?.drive ?? report.limits.drive).limits),
      "namespaces": .array(report.namespaces.map(entry)),
      "queue": queue(report.queue),
      "statx": statx(report.limits.statx),
      "filesystem": filesystem(report.limits.filesystem),
      "stack": .array(report.stack.map(stackEntry)),
      "paths": paths(report),
      "torn_free_bytes": .optional(report.limits.tornFreeBytes),
      "findings": .array(report.findings.map(finding)),
      "answer": report.answer.map(answer) ?? .null,
      "documented": report.documented.map(documented) ?? .null,
    ]
    return .object(base)
  }

  // MARK: Device

  private func entry(_ entry: NamespaceEntry) -> JSONValue {
    .object([
      "device": .string(entry.device), "path": .optional(entry.path),
      "nvme": nvme(entry.controller, entry.namespace, entry.writeAtomicityNormalDisabled),
      "device_limits": deviceLimits(entry.drive.limits), "queue": queue(entry.queue),
    ])
  }

  private func nvme(
    _ controller: ControllerReport?,
    _ namespace: NamespaceReport?,
    _ normalDisabled: Bool?
  ) -> JSONValue {
    guard let controller else { return .null }
    let identify = controller.identify
    return .object([
      "controller": .object([
        "name": .string(controller.name),
        "model": .optional(identify?.model ?? controller.model),
        "serial": .optional(identify?.serial ?? controller.serial),
        "firmware": .optional(identify?.firmware ?? controller.firmware),
        "awun": .optional(identify?.awun), "awupf": .optional(identify?.awupf),
        "acwu": .optional(identify?.acwu), "mdts": .optional(identify?.mdts),
        "vwc": .optional(identify?.vwc), "transport": .optional(controller.transport),
      ]),
      "namespace": namespace.map(self.namespace) ?? .null,
      "write_atomicity_normal": .object(["dn": .optional(normalDisabled)]),
    ])
  }

  private func namespace(_ namespace: NamespaceReport) -> JSONValue {
    let identify = namespace.identify
    let vendor = namespace.vendorTornWrite
    return .object([
      "nsid": .optional(namespace.nsid), "nsfeat": .optional(identify?.nsfeat),
      "flbas": .optional(identify?.flbas),
      "lba_size": .optional(identify?.logicalBlockSize?.bytes),
      "metadata_size": .optional(identify?.metadataBytes),
      "nawun": .optional(identify?.nawun), "nawupf": .optional(identify?.nawupf),
      "nacwu": .optional(identify?.nacwu), "nabsn": .optional(identify?.nabsn),
      "nabo": .optional(identify?.nabo), "nabspf": .optional(identify?.nabspf),
      "ntwpu": .optional(vendor?.ntwpu), "ntwpg": .optional(vendor?.ntwpg),
      "ntwpb": .optional(vendor?.ntwpb),
    ])
  }

  private func deviceLimits(_ limits: DeviceLimits?) -> JSONValue {
    guard let limits else { return .null }
    return .object([
      "normal_bytes": .optional(limits.normalBytes),
      "normal_boundary_bytes": .number(limits.normalBoundary?.sizeBytes ?? 0),
      "power_fail_bytes": .number(limits.powerFailBytes),
      "power_fail_boundary_bytes": .number(limits.powerFailBoundary?.sizeBytes ?? 0),
      "boundary_offset_bytes": .number(limits.boundaryOffsetBytes),
      "normal_source": .optional(limits.normalSource?.rawValue),
      "power_fail_source": .string(limits.powerFailSource.rawValue),
      "max_transfer_bytes": .optional(limits.maximumTransferBytes),
    ])
  }

  /// A document's word, apart from all that the device says.
  private func documented(_ promise: DocumentedPromise) -> JSONValue {
    .object([
      "provider": .string(promise.provider), "product": .string(promise.product),
      "sizes_bytes": .array(promise.sizesBytes.map { .number($0) }),
      "conditions": .string(promise.conditions), "source": .string(promise.source),
    ])
  }

  // MARK: Kernel

  private func queue(_ queue: QueueLimits) -> JSONValue {
    if queue == QueueLimits() { return .null }
    return .object([
      "atomic_write_unit_min_bytes": .optional(queue.atomicWriteUnitMinBytes),
      "atomic_write_unit_max_bytes": .optional(queue.atomicWriteUnitMaxBytes),
      "atomic_write_max_bytes": .optional(queue.atomicWriteMaxBytes),
      "atomic_write_boundary_bytes": .optional(queue.atomicWriteBoundaryBytes),
      "logical_block_size": .optional(queue.logicalBlockSize),
      "physical_block_size": .optional(queue.physicalBlockSize),
      "max_sectors_kb": .optional(queue.maxSectorsKB),
      "max_hw_sectors_kb": .optional(queue.maxHWSectorsKB),
      "max_segments": .optional(queue.maxSegments),
      "chunk_sectors": .optional(queue.chunkSectors),
      "nomerges": .optional(queue.nomerges),
      "write_cache": .optional(queue.writeBack.map { $0 ? "write back" : "write through" }),
    ])
  }

  private func statx(_ statx: StatxLimits?) -> JSONValue {
    guard let statx else { return .null }
    return .object([
      "atomic_write_unit_min": .optional(statx.atomicWriteUnitMin),
      "atomic_write_unit_max": .optional(statx.atomicWriteUnitMax),
      "atomic_write_unit_max_opt": .optional(statx.atomicWriteUnitMaxOpt),
      "atomic_write_segments_max": .optional(statx.atomicWriteSegmentsMax),
      "dio_mem_align": .optional(statx.dioMemAlign),
      "dio_offset_align": .optional(statx.dioOffsetAlign),
    ])
  }

  private func filesystem(_ filesystem: FileSystemReport?) -> JSONValue {
    guard let filesystem else { return .null }
    return .object([
      "type": .string(filesystem.type), "block_size": .optional(filesystem.blockSize),
      "reflink": .optional(filesystem.reflink),
      "exchange_range": .optional(filesystem.exchangeRange),
    ])
  }

  private func stackEntry(_ entry: StackEntry) -> JSONValue {
    .object([
      "id": .number(UInt64(entry.id)),
      "parents": .array(entry.parents.map { .number(UInt64($0)) }),
      "device": .string(entry.device), "kind": .string(entry.kind),
      "start_bytes": .optional(entry.startBytes), "type": .optional(entry.type),
      "chunk_bytes": .optional(entry.chunkBytes),
      "atomic_write_unit_max_bytes": .optional(entry.atomicWriteUnitMaxBytes),
    ])
  }

  // MARK: Conclusions

  private func paths(_ report: TargetReport) -> JSONValue {
    let kernel = report.kernelPath
    let passthrough = report.passthroughPath
    let exchange = report.exchangePath
    let journal = report.journalPath
    return .object([
      "kernel": .object([
        "available": .optional(kernel.available), "min_bytes": .optional(kernel.minimumBytes),
        "max_bytes": .optional(kernel.maximumBytes),
        "hardware_max_bytes": .optional(kernel.hardwareMaximumBytes),
        "software_max_bytes": .optional(kernel.softwareMaximumBytes),
        "boundary_bytes": .optional(kernel.boundaryBytes),
        "backing": .string(kernel.backing.rawValue), "reason": .optional(kernel.reason),
      ]),
      "passthrough": .object([
        "available": .optional(passthrough.available),
        "max_bytes": .optional(passthrough.maximumBytes),
        "granule_bytes": .optional(passthrough.granuleBytes),
        "boundary_bytes": .optional(passthrough.boundaryBytes),
        "boundary_offset_bytes": .optional(passthrough.boundaryOffsetBytes),
        "reason": .optional(passthrough.reason),
      ]),
      "exchange": .object([
        "available": .optional(exchange.available), "reason": .optional(exchange.reason),
      ]),
      "journal": .object([
        "available": .bool(journal.available), "reason": .optional(journal.reason),
      ]),
    ])
  }

  private func finding(_ finding: Finding) -> JSONValue {
    .object([
      "code": .string(finding.code.rawValue), "severity": .string(finding.severity.rawValue),
      "layer": .string(finding.layer.rawValue), "message": .string(finding.message),
      "remedy": .optional(finding.remedy),
    ])
  }

  private func answer(_ answer: Answer) -> JSONValue {
    let page: UInt64?
    let offset: UInt64?
    let length: UInt64?
    switch answer.question.range {
    case .everyPage(let size): (page, offset, length) = (size, nil, nil)
    case .one(let begin, let count): (page, offset, length) = (nil, begin, count)
    }
    return .object([
      "page_size": .optional(page), "writer": .string(answer.question.writer.rawValue),
      "atomic": .optional(answer.isAtomic), "path": .optional(answer.path?.rawValue),
      "because": .string(answer.because), "offset": .optional(offset),
      "length": .optional(length), "backing": .optional(answer.backing?.rawValue),
      "power_fail_atomic": .optional(
        answer.isAtomic.map { $0 ? (answer.isAssumed ? "assumed" : "yes") : "no" }
      ),
      "extents": answer.mapping.map { .array($0.extents.map(extent)) } ?? .null,
      "extents_complete": .optional(answer.mapping?.isComplete),
    ])
  }

  private func extent(_ extent: FileExtent) -> JSONValue {
    .object([
      "logical_bytes": .number(extent.logicalBytes),
      // 0 would be a place.
      "physical_bytes": .optional(extent.hasPlace ? extent.physicalBytes : nil),
      "length_bytes": .number(extent.lengthBytes),
      "flags": .array(extent.flags.names.map { .string($0) }),
    ])
  }
}
