import CNVMeAtomic

/// How operations reach a target: numbers only. Whoever owns the descriptors outlives the storage.
package struct OperationRoute: Sendable {
  /// The file or block device, or the `ng` character device of a namespace.
  package let descriptor: CInt
  /// Flags of each write to a file or block device besides those of the operation.
  package let writeFlags: WriteFlags
  /// Where commands go; `nil` for a file or block device.
  package let namespace: NamespaceAddress?

  /// `pwritev2(2)` and `IORING_OP_WRITE`. The flags go with each atomic write.
  package init(descriptor: CInt, writeFlags: WriteFlags) {
    self.descriptor = descriptor
    self.writeFlags = writeFlags
    namespace = nil
  }

  /// NVMe commands by `NVME_IOCTL_IO64_CMD` and `NVME_URING_CMD_IO`.
  package init(generic descriptor: CInt, _ namespace: NamespaceAddress) {
    self.descriptor = descriptor
    writeFlags = []
    self.namespace = namespace
  }
}

/// Turns bytes of a target into blocks of its namespace.
package struct NamespaceAddress: Hashable, Sendable {
  package var nsid: UInt32
  /// Where the target begins in its namespace, in logical blocks; not 0 on a partition.
  package var firstBlock: UInt64
  /// A logical block has two to this power bytes.
  package var blockShift: UInt8

  package init(nsid: UInt32, firstBlock: UInt64, blockShift: UInt8) {
    self.nsid = nsid
    self.firstBlock = firstBlock
    self.blockShift = blockShift
  }

  /// NVM Command Set Specification 1.2, sections 3.2.4 and 3.2.6: starting LBA in dwords 10 and 11,
  /// the number of blocks minus one in bits 15:0 of dword 12, FUA in bit 30.
  func command(_ operation: StorageOperation) -> nvmeatomic_command {
    let isFlush = operation.kind == .flush
    var dword12: UInt32 = 0
    if !isFlush { dword12 = operation.byteCount >> UInt32(blockShift) - 1 }
    if operation.isDurable { dword12 |= NVMEATOMIC_FUA }
    // SAFETY: the operation's memory lives until it completes, and has as many bytes.
    return unsafe nvmeatomic_command(
      opcode: isFlush
        ? NVMEATOMIC_FLUSH : operation.kind == .read ? NVMEATOMIC_READ : NVMEATOMIC_WRITE,
      nsid: nsid,
      bytes: operation.memory,
      count: operation.byteCount,
      first_block: isFlush ? 0 : firstBlock + operation.offsetBytes >> UInt64(blockShift),
      dword12: dword12
    )
  }
}

extension OperationRoute {
  /// The flags of one write.
  func flags(_ operation: StorageOperation) -> WriteFlags {
    var flags: WriteFlags = operation.kind == .atomicWrite ? writeFlags.union(.atomic) : []
    if operation.isDurable { flags.formUnion(.dataSync) }
    return flags
  }
}

extension OperationRoute {
  /// `posix_fadvise(3)` with `POSIX_FADV_DONTNEED`: advice, whose failure changes nothing.
  ///
  /// The kernel drops no folio of which a part lies outside of the range (`find_lock_entries` in
  /// `mm/filemap.c`), and makes them up to 2 MiB long where somebody reads on.
  func dropPages(offset: UInt64, count: UInt64) {
    guard namespace == nil else { return }
    let folio: UInt64 = 2 << 20
    let start = offset / folio * folio
    let length = (offset - start + count + folio - 1) / folio * folio
    _ = nvmeatomic_drop_pages(descriptor, Int64(start), Int64(length))
  }
}
