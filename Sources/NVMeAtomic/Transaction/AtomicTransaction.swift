/// Any number of writes to places of one target, of which a power failure leaves all or none.
///
/// ``write(_:atBytes:)-(UnsafeRawBufferPointer,_)`` stages, ``read(into:atBytes:)`` sees what is
/// staged, ``commit(durability:)`` publishes everything at once, and ``rollback()`` or the end of
/// the value drops it. After either the transaction is empty and can be used again. Ranges may have
/// any offset and length, overlap (the later one wins), lie far apart, and make the file longer.
///
/// On ``WritePath/exchange`` what is staged lies in a file without a name on the same filesystem,
/// and XFS exchanges its blocks for those of the target. Several transactions may be open at once,
/// in one process or in many. They conflict by blocks of the filesystem: the first to read or stage
/// a byte of a block has it until its commit or rollback, and another gets
/// ``AtomicWriteError/conflict(offsetBytes:lengthBytes:)`` at once. Only one at a time can make the
/// file longer. Who writes to the file without this library, by mapping it above all, is not
/// noticed, and must not: what he writes may be lost.
///
/// On ``WritePath/journal`` a commit is written to the journal first, and in place together with
/// what comes after it; ``AtomicTarget/checkpoint()`` does that at once. One process at a time has
/// the target; its transactions conflict by granules, a block of the filesystem or a logical block
/// of the device. Commits are durable whatever is asked for.
public struct AtomicTransaction: ~Copyable {
  /// What is written to, which other transactions may share.
  public let target: AtomicTarget
  private var backend: TransactionBackend

  /// Begins with nothing staged.
  ///
  /// - Parameter target: One that was opened with ``WritePath/exchange`` or ``WritePath/journal``.
  /// - Throws: ``AtomicWriteError/refused(_:)`` for a target opened with another path;
  ///   ``AtomicWriteError/targetChanged``; ``AtomicWriteError/noResources(_:_:)``.
  /// - Complexity: The file is opened once more, as locks belong to who has opened it.
  public init(on target: AtomicTarget) throws(AtomicWriteError) {
    backend =
      switch target.path {
      case .exchange: .exchange(try ExchangeStage(target))
      case .journal: .journal(try JournalStage(target))
      case .kernel, .passthrough, .plain:
        throw .refused(.obstacle("a \(target.path.rawValue) target takes no transactions"))
      }
    self.target = target
  }

  /// Stages bytes at `offset`; nothing of the target changes.
  ///
  /// - Throws: ``AtomicWriteError/conflict(offsetBytes:lengthBytes:)`` where another transaction
  ///   has read or staged some of it; ``AtomicWriteError/refused(_:)`` for no bytes, and beyond
  ///   what the process or the filesystem takes; ``AtomicWriteError/notWritten(_:)`` where there is
  ///   no space. What was staged before stays; of these bytes some may be staged where the space
  ///   gave out, so that only ``rollback()`` makes sense then.
  /// - Complexity: One lock the first time, and one `pwritev2(2)`.
  public mutating func write(
    _ bytes: UnsafeRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    // SAFETY: the bytes are the caller's for the call.
    unsafe try backend.write(bytes, atBytes: offset)
  }

  /// Stages bytes at `offset`; see ``write(_:atBytes:)-(UnsafeRawBufferPointer,_)``.
  public mutating func write(
    _ bytes: RawSpan,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    // SAFETY: the span outlives the call.
    unsafe try bytes.withUnsafeBytes { buffer throws(AtomicWriteError) in
      unsafe try write(buffer, atBytes: offset)
    }
  }

  /// Stages bytes at `offset`; see ``write(_:atBytes:)-(UnsafeRawBufferPointer,_)``.
  public mutating func write(_ bytes: [UInt8], atBytes offset: UInt64) throws(AtomicWriteError) {
    // SAFETY: the array outlives the call.
    var failure: AtomicWriteError?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(AtomicWriteError) {
        unsafe try write(buffer, atBytes: offset)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  /// Reads what the file would hold if everything staged were published: staged bytes, else the
  /// target's. What was read cannot be changed by another transaction before this one has ended.
  ///
  /// - Returns: How many bytes there are; fewer than asked for where the file would end.
  /// - Throws: ``AtomicWriteError/conflict(offsetBytes:lengthBytes:)`` where another transaction
  ///   has read or staged some of it; ``AtomicWriteError/readFailed(_:)``.
  public mutating func read(
    into buffer: UnsafeMutableRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) -> Int {
    // SAFETY: the memory is the caller's for the call.
    unsafe try backend.read(into: buffer, atBytes: offset)
  }

  /// Publishes everything staged, all or nothing, and begins anew.
  ///
  /// - Parameter durability: With ``Durability/none`` a power failure may take the transaction
  ///   back as a whole, but no part of it.
  /// - Returns: What was written, and what it was kept to.
  /// - Throws: ``AtomicWriteError/notWritten(_:)`` and everything else whose
  ///   ``AtomicWriteError/outcome`` is *not written*: what is staged stays, to be committed again
  ///   or dropped, unless it could not be written to the device.
  ///   ``AtomicWriteError/outcomeUnknown(_:)``: all or nothing is published, nobody knows which,
  ///   and nothing is staged any more; the ranges take no write until they were read, and after a
  ///   durable commit the target takes none at all.
  /// - Complexity: Grows with the number of separate ranges. Readers and writers of the file wait
  ///   while XFS exchanges. Cannot be cancelled once that has begun, and waits where the filesystem
  ///   is frozen.
  @discardableResult
  public mutating func commit(
    durability: Durability = .onReturn
  ) throws(AtomicWriteError) -> TransactionReceipt {
    try backend.commit(durability)
  }

  /// Drops everything staged, and gives its blocks free for others.
  public mutating func rollback() {
    backend.rollback()
  }
}

/// What a transaction was kept to.
public struct TransactionReceipt: Hashable, Sendable {
  /// The path taken.
  public var path: WritePath
  /// Where in the target, in ascending order; ranges that touch are one. Empty where nothing was
  /// staged.
  public var ranges: [Range<UInt64>]
  /// How many bytes of the target were written; one that was staged twice counts once.
  public var bytes: UInt64
  /// Who keeps it whole over a power failure, and what that rests on.
  public var powerFailAtomic: PathPromise?
  /// Whether one `read(2)` sees all of the transaction or nothing, of what it reads.
  public var untorn: PathVerdict
  /// Whether it has reached stable storage; `nil` where that was asked for and cannot be told.
  public var isDurable: Bool?
}

/// How a transaction is carried out.
enum TransactionBackend: ~Copyable {
  case exchange(ExchangeStage)
  case journal(JournalStage)

  mutating func write(
    _ bytes: UnsafeRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    switch consume self {
    case .exchange(var stage):
      let failure: AtomicWriteError?
      do throws(AtomicWriteError) {
        // SAFETY: the bytes are the caller's for the call.
        unsafe try stage.write(bytes, atBytes: offset)
        failure = nil
      } catch {
        failure = error
      }
      self = .exchange(stage)
      if let failure { throw failure }
    case .journal(var stage):
      let failure: AtomicWriteError?
      do throws(AtomicWriteError) {
        // SAFETY: as above.
        unsafe try stage.write(bytes, atBytes: offset)
        failure = nil
      } catch {
        failure = error
      }
      self = .journal(stage)
      if let failure { throw failure }
    }
  }

  mutating func read(
    into buffer: UnsafeMutableRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) -> Int {
    switch consume self {
    case .exchange(var stage):
      let result: Result<Int, AtomicWriteError>
      do throws(AtomicWriteError) {
        // SAFETY: the memory is the caller's for the call.
        result = .success(unsafe try stage.read(into: buffer, atBytes: offset))
      } catch {
        result = .failure(error)
      }
      self = .exchange(stage)
      return try result.get()
    case .journal(var stage):
      let result: Result<Int, AtomicWriteError>
      do throws(AtomicWriteError) {
        // SAFETY: as above.
        result = .success(unsafe try stage.read(into: buffer, atBytes: offset))
      } catch {
        result = .failure(error)
      }
      self = .journal(stage)
      return try result.get()
    }
  }

  mutating func commit(
    _ durability: Durability
  ) throws(AtomicWriteError) -> TransactionReceipt {
    switch consume self {
    case .exchange(var stage):
      let result: Result<TransactionReceipt, AtomicWriteError>
      do throws(AtomicWriteError) {
        result = .success(try stage.commit(durability))
      } catch {
        result = .failure(error)
      }
      self = .exchange(stage)
      return try result.get()
    case .journal(var stage):
      let result: Result<TransactionReceipt, AtomicWriteError>
      do throws(AtomicWriteError) {
        result = .success(try stage.commit(durability))
      } catch {
        result = .failure(error)
      }
      self = .journal(stage)
      return try result.get()
    }
  }

  mutating func rollback() {
    switch consume self {
    case .exchange(var stage):
      stage.rollback()
      self = .exchange(stage)
    case .journal(var stage):
      stage.rollback()
      self = .journal(stage)
    }
  }
}
