@testable import NVMeAtomic

/// Where the planner means to be more careful than drive and kernel demand. Anything else that it
/// refuses although the write would be kept is a mistake.
enum Caution: CaseIterable {
  /// Power-fail atomicity is asked of every write, wanted or not.
  case powerFailAlways
  /// AWUPF is kept inside the boundary too: drives disagree about that sentence.
  case controllerUnitInsideBoundary
  /// Where merging is on, a boundary is never trusted to lie outside of every merged command.
  case mergedNearBoundary
  /// Neighbours may be of any size, not only of the write's own.
  case mergedWithAnySize
  /// FUA is not trusted where the kernel was told that there is nothing to flush.
  case passthroughWithoutFlushes
  /// The kernel's lines hold for passthrough too.
  case passthroughInsideKernelLines
  /// A page of a file is judged by the filesystem block around it.
  case pageByItsBlock
  /// Several blocks of a file may lie anywhere, also where clusters would keep them aligned.
  case clustersAnywhere
  /// Just below the split limit a write has to begin at a physical block, or to lie within one.
  case nearTheSplitLimit
  /// Atomic writes are not merged across what only the drive knows of.
  case mergedByAnotherRule

  func applies(to request: WriteRequest, through path: WritePath, in world: World) -> Bool {
    let (drive, queue) = (world.drive, world.target.queue)
    let merges = queue.nomerges != 2
    let longest = (queue.maxSectorsKB ?? 0) * 1024
    let hasRoom = merges && longest >= request.lengthBytes + drive.block
    let wantsUntorn = request.promises.contains(.untorn)
    let block = world.target.filesystem?.blockSize ?? 0
    switch self {
    case .powerFailAlways:
      var asked = request
      asked.promises.insert(.powerFailAtomic)
      return Truth.fate(of: asked, through: path, in: world) != .kept
    case .controllerUnitInsideBoundary:
      var careful = world
      careful.drive.isControllerUnitInside = true
      var asked = request
      asked.promises.insert(.powerFailAtomic)
      return Truth.fate(of: asked, through: path, in: careful) != .kept
    case .mergedNearBoundary:
      let lines = drive.nabspf != 0 || wantsUntorn && drive.nabsn != 0
      return path == .plain && hasRoom && lines
    case .mergedWithAnySize:
      let limit = min(drive.powerFail, wantsUntorn ? drive.normal ?? 0 : .max)
      return path == .plain && hasRoom && longest > limit
    case .passthroughWithoutFlushes:
      return path == .passthrough && request.promises.contains(.durable)
        && drive.cache != false && queue.writeBack == false
    case .passthroughInsideKernelLines:
      let boundary = queue.atomicWriteBoundaryBytes ?? 0
      return path == .passthrough && boundary != 0
        && drive.powerFailLines != Lines(size: boundary)
    case .pageByItsBlock:
      return world.target.kind == .file && request.lengthBytes < block
    case .clustersAnywhere:
      return world.target.kind == .file && request.lengthBytes > block
        && (drive.nabspf != 0 || wantsUntorn && drive.nabsn != 0)
    case .nearTheSplitLimit:
      let physical = queue.physicalBlockSize ?? 0
      return path == .plain && physical > drive.block && request.lengthBytes + physical > longest
    case .mergedByAnotherRule:
      let unit = queue.atomicWriteUnitMaxBytes ?? 0
      let boundary = queue.atomicWriteBoundaryBytes ?? 0
      let limit = min(drive.powerFail, wantsUntorn ? drive.normal ?? 0 : .max)
      let lines = [drive.powerFailLines, wantsUntorn ? drive.normalLines : nil].compactMap(\.self)
      return path == .kernel && merges
        && (unit > limit || lines.contains { $0 != Lines(size: boundary) })
    }
  }
}
