@testable import NVMeAtomic

/// Short texts of counterexamples: what is 0 or false is left out, what is unknown shows as `?`.
private func list(_ fields: [(String, Any?)]) -> String {
  fields.compactMap { name, value in
    guard let value else { return "\(name)=?" }
    let text = "\(value)"
    return text == "0" || text == "false" ? nil : "\(name)=\(text)"
  }.joined(separator: " ")
}

extension Drive: CustomStringConvertible {
  var description: String {
    let fields: [(String, Any?)] = [
      ("block", block), ("nsabp", definesFields), ("awun", awun), ("awupf", awupf),
      ("nawun", nawun), ("nawupf", nawupf), ("nabsn", nabsn), ("nabo", nabo), ("nabspf", nabspf),
      ("mdts", mdts), ("metadata", metadata), ("dn", disabled), ("cache", cache),
    ]
    return list(fields)
  }
}

extension World: CustomStringConvertible {
  var description: String {
    let queue = target.queue
    let text = list([
      ("start", target.startBytes), ("size", target.sizeBytes),
      ("unit_min", queue.atomicWriteUnitMinBytes), ("unit_max", queue.atomicWriteUnitMaxBytes),
      ("max", queue.atomicWriteMaxBytes), ("boundary", queue.atomicWriteBoundaryBytes),
      ("pbs", queue.physicalBlockSize), ("max_sectors_kb", queue.maxSectorsKB),
      ("max_hw_sectors_kb", queue.maxHWSectorsKB), ("max_segments", queue.maxSegments),
      ("chunk_sectors", queue.chunkSectors), ("nomerges", queue.nomerges),
      ("write_back", queue.writeBack),
    ])
    return "\(target.kind) (\(drive)) \(text) \(statxText) \(filesystemText)"
  }

  private var statxText: String {
    guard let statx = target.statx else { return "no statx" }
    return list([
      ("statx_min", statx.atomicWriteUnitMin), ("statx_max", statx.atomicWriteUnitMax),
      ("statx_opt", statx.atomicWriteUnitMaxOpt), ("dio_offset_align", statx.dioOffsetAlign),
    ])
  }

  private var filesystemText: String {
    guard let filesystem = target.filesystem else { return "" }
    let facts = list([("block", filesystem.blockSize), ("realtime", filesystem.realtime)])
    return "\(filesystem.type) \(facts) reflink=\(filesystem.reflink.map(\.description) ?? "?")"
  }
}

extension WriteRequest {
  var text: String {
    let names: [(Promises, String)] = [
      (.powerFailAtomic, "power-fail"), (.untorn, "untorn"), (.durable, "durable"),
    ]
    let wanted = names.filter { promises.contains($0.0) }.map(\.1).joined(separator: "+")
    return switch range {
    case .one(let offset, let length): "\(writer) \(offset)+\(length) \(wanted)"
    case .everyPage(let size): "\(writer) every \(size) \(wanted)"
    }
  }
}
