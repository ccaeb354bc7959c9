/// Ordinary direct writes: atomic only where nothing can split, merge or move them.
extension Planner {
  func plain(_ request: WriteRequest) throws(Objection) -> PathPromise {
    try require(request.writer != .buffered, else: .buffered)
    try require(request.writer == .direct, else: .otherWriter(request.writer))
    try require(
      target.kind.isBlockDevice || target.kind.isFile,
      else: .notWritable(target.kind)
    )
    try checkWhole(request)
    if target.kind.isFile {
      try checkOneFilesystemBlock(request)
      try checkFreshBlocks()
    }
    if let stack = target.stack { return try plainThroughStack(request, stack) }
    let device = try knownDrive()
    try require(device.metadataBytes == 0, elseMissing: .metadata)
    try checkBlocks(request, UInt64(device.logicalBlockSize.bytes))
    try checkPowerFail(request, device)
    try checkNotSplit(request)
    let block = UInt64(device.logicalBlockSize.bytes)
    // A merged command has any length and place, which a vendor's promise does not allow.
    let merged = device.withoutVendor
    try checkNotMerged(
      request,
      block,
      upTo: merged.powerFailBytes,
      boundary: merged.powerFailBoundary
    )
    try checkUntorn(request, device, backing: .hardware)
    if request.promises.contains(.untorn), let normal = device.normalBytes {
      try checkNotMerged(request, block, upTo: normal, boundary: device.normalBoundary)
    }
    return PathPromise(backing: .hardware, assumptions: try assumptions(request, device))
  }

  /// One block of a filesystem that writes in place is never split, and nothing longer is trusted.
  private func checkOneFilesystemBlock(_ request: WriteRequest) throws(Objection) {
    guard let filesystem = target.filesystem else { throw .missing(.filesystem("unknown")) }
    if case .none = target.drive { throw .refused(.noDrive) }
    switch filesystem.type {
    case "ext4": try checkExt4(request)
    case "xfs":
      guard let reflink = filesystem.reflink, filesystem.realtime == false else {
        throw .missing(.filesystem("XFS whose geometry could not be read"))
      }
      try require(!reflink, else: .filesystemMayMove(type: "xfs"))
    case "btrfs", "f2fs", "zfs", "bcachefs", "nilfs2":
      throw .refused(.filesystemMayMove(type: filesystem.type))
    default: throw .missing(.filesystem(filesystem.type))
    }
    try checkDirectIO(request)
    guard let block = filesystem.blockSize, block > 0 else {
      throw .missing(.filesystem(filesystem.type))
    }
    let length = request.lengthBytes
    switch request.range {
    case .everyPage(let size):
      try require(
        block % size == 0,
        else: .exceedsFilesystemBlock(lengthBytes: size, blockBytes: block)
      )
    case .one(let offset, _):
      try require(
        offset / block == (offset + length - 1) / block,
        else: .exceedsFilesystemBlock(lengthBytes: length, blockBytes: block)
      )
    }
  }

  /// `block/blk-merge.c`: ordinary writes are cut at `max_sectors_kb`, `chunk_sectors` and
  /// `max_segments`; direct I/O builds one bio from at most 256 pages.
  func checkNotSplit(_ request: WriteRequest) throws(Objection) {
    let length = request.lengthBytes
    guard let kilobytes = target.queue.maxSectorsKB else {
      throw .missing(.queue("max_sectors_kb"))
    }
    let longest = kilobytes.multipliedOrMax(by: 1024)
    try require(length <= longest, else: .canBeSplit(limitBytes: longest, by: "max_sectors_kb"))
    try checkNotSplitAtPhysicalBlock(request, longest)
    guard let segments = target.queue.maxSegments else { throw .missing(.queue("max_segments")) }
    // A buffer that is not page-aligned touches one page more.
    let pages = min(segments, 256)
    let scattered = pages > 0 ? (pages - 1).multipliedOrMax(by: 4096) : 0
    try require(length <= scattered, else: .canBeSplit(limitBytes: scattered, by: "max_segments"))
    guard let chunk = target.queue.chunkSectors else { throw .missing(.queue("chunk_sectors")) }
    if let lines = AtomicBoundary(sizeBytes: chunk.multipliedOrMax(by: 512)) {
      try checkBoundary(request, lines)
    }
  }

  /// `block/blk-merge.c:get_max_io_size` moves the limit back to the edge of a physical block, if
  /// there is one on the way: a write just below the limit is cut unless it begins at an edge or
  /// meets none.
  private func checkNotSplitAtPhysicalBlock(
    _ request: WriteRequest,
    _ limit: UInt64
  ) throws(Objection) {
    guard let physical = target.queue.physicalBlockSize else {
      throw .missing(.queue("physical_block_size"))
    }
    guard limit - request.lengthBytes < physical,
      let edges = AtomicBoundary(sizeBytes: physical)
    else { return }
    guard let start = target.startBytes else { throw .missing(.start) }
    var isAligned = start % physical == 0
    switch request.range {
    case .one(let offset, _): isAligned = isAligned && offset % physical == 0
    case .everyPage(let size): isAligned = isAligned && size % physical == 0
    }
    if target.kind.isFile {
      isAligned = isAligned && (target.filesystem?.blockSize ?? 1) % physical == 0
    }
    let whole = limit / physical * physical
    if isAligned, request.lengthBytes <= whole { return }
    do throws(Objection) {
      try checkBoundary(request, edges)
    } catch {
      throw .refused(.canBeSplit(limitBytes: whole, by: "physical_block_size"))
    }
  }

  /// Neighbouring requests are merged up to `max_sectors_kb` unless `nomerges` is 2; the command
  /// that results is atomic only as a whole.
  private func checkNotMerged(
    _ request: WriteRequest,
    _ block: UInt64,
    upTo limit: UInt64,
    boundary: AtomicBoundary?
  ) throws(Objection) {
    guard let nomerges = target.queue.nomerges else { throw .missing(.queue("nomerges")) }
    if nomerges == 2 { return }
    guard let kilobytes = target.queue.maxSectorsKB else {
      throw .missing(.queue("max_sectors_kb"))
    }
    let command = kilobytes.multipliedOrMax(by: 1024)
    // A write that fills a command to the last block has no room for a neighbour.
    if command - min(command, request.lengthBytes) < block { return }
    try require(command <= limit && boundary == nil, else: .canBeMerged(commandBytes: command))
  }
}
