/// Rules that several paths share.
extension Planner {
  func require(_ condition: Bool, else refusal: PlanRefusal) throws(Objection) {
    guard condition else { throw .refused(refusal) }
  }

  func require(_ condition: Bool, elseMissing fact: MissingFact) throws(Objection) {
    guard condition else { throw .missing(fact) }
  }

  func knownDrive() throws(Objection) -> DeviceLimits {
    try known(target.drive)
  }

  func known(_ drive: DriveKnowledge) throws(Objection) -> DeviceLimits {
    switch drive {
    case .none: throw .refused(.noDrive)
    case .unknown(let fact): throw .missing(fact)
    case .known(let device): return device
    }
  }

  func checkWhole(_ request: WriteRequest) throws(Objection) {
    try require(request.lengthBytes > 0, else: .empty)
    guard case .one(let offset, let length) = request.range else {
      if target.kind.isBlockDevice || target.kind == .generic {
        guard let size = target.sizeBytes else { throw .missing(.size) }
        try require(
          request.lengthBytes <= size,
          else: .beyondEnd(endBytes: request.lengthBytes, sizeBytes: size)
        )
      }
      return
    }
    let (end, overflow) = offset.addingReportingOverflow(length)
    // Offsets are signed in the kernel.
    try require(!overflow && end <= UInt64(Int64.max), else: .overflows)
    // The kernel shortens what would end beyond ext4's largest file (`fs/ext4/super.c`).
    if target.filesystem?.type == "ext4", let block = target.filesystem?.blockSize {
      try require(end <= block.multipliedOrMax(by: UInt64(UInt32.max)), else: .overflows)
    }
    if target.kind.isBlockDevice || target.kind == .generic {
      guard let size = target.sizeBytes else { throw .missing(.size) }
      try require(end <= size, else: .beyondEnd(endBytes: end, sizeBytes: size))
    }
  }

  func checkAlignment(_ request: WriteRequest, to alignment: UInt64) throws(Objection) {
    guard case .one(let offset, _) = request.range else { return }
    try require(
      offset % alignment == 0,
      else: .misaligned(offsetBytes: offset, alignmentBytes: alignment)
    )
  }

  /// What is not aligned to `stx_dio_offset_align` is refused, or goes through the page cache
  /// (`fs/ext4/file.c:ext4_should_use_dio`, encryption).
  func checkDirectIO(_ request: WriteRequest) throws(Objection) {
    guard let alignment = target.statx?.dioOffsetAlign.map(UInt64.init) else {
      throw .missing(.statx)
    }
    try require(alignment > 0, else: .noDirectIO)
    try checkBlocks(request, alignment)
  }

  func checkBlocks(_ request: WriteRequest, _ block: UInt64) throws(Objection) {
    try require(
      request.lengthBytes % block == 0,
      else: .partialBlock(lengthBytes: request.lengthBytes, blockBytes: block)
    )
    try checkAlignment(request, to: block)
  }

  /// Unit and lines of the drive, and with `ofKernel` the kernel's lines: commands of ours pass
  /// those by.
  func checkPowerFail(
    _ request: WriteRequest,
    _ device: DeviceLimits,
    ofKernel: Bool = true
  ) throws(Objection) {
    let length = request.lengthBytes
    if device.powerFailSource == .vendor {
      let specified = device.withoutVendor
      // What the specification's fields keep needs no word of the vendor.
      guard length > specified.powerFailBytes else {
        return try checkPowerFail(request, specified, ofKernel: ofKernel)
      }
      return try checkVendorPowerFail(request, device)
    }
    try require(
      length <= device.powerFailBytes,
      else: .exceedsPowerFailLimit(lengthBytes: length, limitBytes: device.powerFailBytes)
    )
    // The kernel's own lines, which its driver refuses to cross, are checked where it is asked.
    if ofKernel, request.writer == .rwfAtomic,
      target.kind.isBlockDevice || place(of: request) != nil
    {
      guard let kernelBoundary = target.queue.atomicWriteBoundaryBytes else {
        throw .missing(.queue("atomic_write_boundary_bytes"))
      }
      if let lines = AtomicBoundary(sizeBytes: kernelBoundary) { try checkBoundary(request, lines) }
    }
    if let boundary = device.powerFailBoundary { try checkBoundary(request, boundary) }
  }

  func checkUntorn(
    _ request: WriteRequest,
    _ device: DeviceLimits,
    backing: Backing
  ) throws(Objection) {
    guard request.promises.contains(.untorn) else { return }
    guard let disabled = device.normalAtomicityDisabled, let normal = device.normalBytes else {
      throw .missing(.writeAtomicityNormal)
    }
    try require(!disabled, else: .normalAtomicityDisabled)
    let length = request.lengthBytes
    try require(
      length <= normal,
      else: .exceedsNormalLimit(lengthBytes: length, limitBytes: normal)
    )
    try require(backing == .hardware, elseMissing: .placement)
    if let boundary = device.normalBoundary { try checkBoundary(request, boundary) }
  }

  /// Addresses are absolute: a partition's begin is added, a file's blocks may lie anywhere.
  func checkBoundary(
    _ request: WriteRequest,
    _ boundary: AtomicBoundary
  ) throws(Objection) {
    guard let start = target.startBytes else { throw .missing(.start) }
    if target.kind.isFile { return try checkBoundaryBelowFile(request, boundary, from: start) }
    switch request.range {
    case .everyPage(let size):
      try require(
        boundary.containsEveryPage(ofBytes: size, fromBytes: start),
        else: .crossesBoundary(boundary, startBytes: start)
      )
    case .one(let offset, let length):
      let (absolute, overflow) = start.addingReportingOverflow(offset)
      try require(
        !overflow && boundary.contains(startBytes: absolute, lengthBytes: length),
        else: .crossesBoundary(boundary, startBytes: start)
      )
    }
  }

  /// Either the kernel refuses what crosses, or every block of the filesystem lies whole.
  private func checkBoundaryBelowFile(
    _ request: WriteRequest,
    _ boundary: AtomicBoundary,
    from start: UInt64
  ) throws(Objection) {
    if request.writer == .rwfAtomic, target.kernelKeeps(boundary),
      request.lengthBytes <= boundary.sizeBytes
    {
      return
    }
    if let place = place(of: request) {
      let (absolute, overflow) = start.addingReportingOverflow(place)
      return try require(
        !overflow && boundary.contains(startBytes: absolute, lengthBytes: request.lengthBytes),
        else: .crossesBoundary(boundary, startBytes: start)
      )
    }
    guard let block = target.filesystem?.blockSize, request.lengthBytes <= block else {
      throw .missing(.placement)
    }
    if boundary.containsEveryPage(ofBytes: block, fromBytes: start) { return }
    // Of one block it cannot be told, of all of them some cross.
    if case .one = request.range { throw .missing(.placement) }
    throw .refused(.crossesBoundary(boundary, startBytes: start))
  }

  /// Whether the kernel's flushes reach what a volatile cache holds; of a drive that could not be
  /// asked the kernel's word is all there is.
  ///
  /// XFS moves blocks in its log, and a log in a cache that is never flushed keeps nothing.
  func checkFlushed() throws(Objection) -> [Assumption] {
    if let stack = target.stack { return try checkStackFlushed(stack) }
    if case .known(let device) = target.drive, device.volatileWriteCache == false { return [] }
    guard let writeBack = target.queue.writeBack else { throw .missing(.queue("write_cache")) }
    if writeBack { return [] }
    guard case .unknown(let fact) = target.drive else { throw .refused(.cacheNeverFlushed) }
    return [.nothingCaches(fact)]
  }

  /// Whether `RWF_DSYNC` and `fdatasync(2)` reach stable storage, whatever is written.
  var synchronizing: PathVerdict {
    verdict { () throws(Objection) in
      if target.kind.isFile {
        let type = target.filesystem?.type ?? "an unknown filesystem"
        guard let filesystem = target.filesystem, ["xfs", "ext4"].contains(type) else {
          throw .missing(.filesystem(type))
        }
        if type == "ext4" {
          try checkBarriers(filesystem)
          try checkJournalIsHere(filesystem)
        } else if filesystem.externalLog != false || filesystem.realtime != false {
          throw .missing(.filesystem(filesystem.undescribedKind))
        }
      }
      return PathPromise(backing: .unknown, assumptions: try checkFlushed())
    }
  }

  /// Another device may cache what nobody flushes, and is not described.
  private func checkJournalIsHere(_ ext4: FileSystemReport) throws(Objection) {
    if ext4.journal != false, ext4.externalJournal != false {
      throw .missing(.filesystem(ext4.undescribedKind))
    }
  }

  /// Blocks that a file had not written before are in use once the journal or the log says so, and
  /// shared ones are moved there: where a cache may let that overtake the data, what survives is
  /// neither old nor new.
  func checkFreshBlocks() throws(Objection) {
    let ext4 = target.filesystem.flatMap { $0.type == "ext4" ? $0 : nil }
    if let ext4 { try checkJournalIsHere(ext4) }
    guard target.mayCache else { return }
    _ = try checkFlushed()
    guard let ext4 else { return }
    try checkBarriers(ext4)
    try require(ext4.journal == true, else: .journalNotKept)
  }

  private func checkBarriers(_ filesystem: FileSystemReport) throws(Objection) {
    guard let barriers = filesystem.barriers else {
      throw .missing(.filesystem("ext4 with unknown mount options"))
    }
    try require(barriers, else: .journalNotKept)
  }

  /// ext4 makes a range of several mappings one by a forced commit of its journal
  /// (`fs/ext4/inode.c:ext4_map_blocks_atomic_write_slow`); without a journal that does nothing,
  /// and without barriers neither commit nor fsync flushes the drive.
  func checkExt4(_ request: WriteRequest) throws(Objection) {
    guard let filesystem = target.filesystem, filesystem.type == "ext4" else { return }
    guard let extents = filesystem.extents, extents else {
      throw .missing(.filesystem("ext4 without extents"))
    }
    guard let block = filesystem.blockSize else { throw .missing(.filesystem("ext4")) }
    let isLong = request.lengthBytes > block
    guard isLong || request.promises.contains(.durable) else { return }
    try checkBarriers(filesystem)
    guard let journal = filesystem.journal else {
      throw .missing(.filesystem("ext4 with an unknown journal"))
    }
    if isLong { try require(journal, else: .journalNotKept) }
    try checkJournalIsHere(filesystem)
  }

  func assumptions(
    _ request: WriteRequest,
    _ device: DeviceLimits
  ) throws(Objection) -> [Assumption] {
    let claim: [Assumption] = target.fabric.map { [.fabricsClaim(transport: $0)] } ?? []
    guard device.volatileWriteCache != false else { return claim }
    if request.promises.contains(.durable) {
      _ = try checkFlushed()
      return claim
    }
    return claim + [.volatileCacheKeepsWritesWhole]
  }
}
