import LinuxIO
import Synchronization
import SystemPackage

/// The descriptors of a target.
final class JournalTarget: Sendable, MarkedFile {
  /// Opened for direct I/O, a block device exclusively; of a file it holds ``RangeLock/placing``.
  let direct: OwnedFileDescriptor
  private let isSettled = Atomic(false)
  /// The same file by way of the page cache, for bytes that end within a granule; it holds the
  /// lock, which goes with it at once, whatever a ring still keeps open.
  let cached: OwnedFileDescriptor

  init(direct: consuming OwnedFileDescriptor, cached: consuming OwnedFileDescriptor) {
    self.direct = direct
    self.cached = cached
  }

  deinit {
    // A process that another thread starts has this descriptor too until it runs its program.
    cached.unlock(RangeLock.journal)
    if isSettled.load(ordering: .relaxed) { direct.unlock(RangeLock.placing) }
  }

  /// No write in place is on its way any more, nor will be: nobody has to wait for a ring to go.
  func settle() { isSettled.store(true, ordering: .relaxed) }

  func writeMark(_ text: String) throws(Errno) { try cached.setMark(text) }
  func eraseMark() throws(Errno) { try cached.removeMark() }
  func synchronizeMark() throws(Errno) { try cached.synchronize() }
}

/// The descriptors of a target and its journal.
final class JournalFiles: Sendable {
  let target: JournalTarget
  /// `nil` where the journal is a region of the target.
  let journal: OwnedFileDescriptor?
  /// What keeps others from the journal: its own lock, and for a block device its name, which
  /// several nodes may have.
  private let lock: OwnedFileDescriptor?
  private let claim: NameClaim?
  /// What the target must not be written to.
  let region: Range<UInt64>?
  /// `nil` for a file.
  let deviceBytes: UInt64?
  /// That the journal's file is in; another one for a region.
  let folder: String

  init(
    target: JournalTarget,
    claim: NameClaim?,
    journal: consuming OwnedFileDescriptor?,
    lock: consuming OwnedFileDescriptor?,
    region: Range<UInt64>?,
    deviceBytes: UInt64?,
    folder: String
  ) {
    self.target = target
    self.journal = journal
    self.lock = lock
    self.claim = claim
    self.region = region
    self.deviceBytes = deviceBytes
    self.folder = folder
  }

  deinit {
    // Closing it would not do, as above.
    switch lock {
    case .some(let lock): lock.unlock(RangeLock.journal)
    case .none: break
    }
  }

  /// Where the journal's operations go.
  var logDescriptor: CInt {
    switch journal {
    case .some(let journal): journal.rawValue
    case .none: target.direct.rawValue
    }
  }

  /// Whether the journal lies on another device than the target, or where that cannot be told.
  var isJournalElsewhere: Bool {
    switch journal {
    case .none: return false
    case .some(let journal):
      guard deviceBytes == nil, let one = try? FileStatus(of: target.direct),
        let other = try? FileStatus(of: journal)
      else { return true }
      return one.device != other.device
    }
  }

  func sizeBytes() throws(AtomicWriteError) -> UInt64 {
    if let deviceBytes { return deviceBytes }
    return try JournalFile.status(of: target.direct).sizeBytes
  }

  /// What of a file needs no more space, as far as one look at all of it tells.
  ///
  /// - Throws: ``AtomicWriteError/busy(_:)`` for one that nobody may write to just now.
  func allocated(_ sizeBytes: UInt64) throws(AtomicWriteError) -> ByteRanges {
    var ranges = ByteRanges()
    guard deviceBytes == nil, sizeBytes > 0,
      (try? target.direct.isAllocated(byteCount: sizeBytes)) == true
    else { return ranges }
    // It needs none, and is refused for other reasons.
    try reserve([0..<1], &ranges)
    ranges.insert(0..<sizeBytes)
    return ranges
  }

  /// Sets space aside for ranges of a file, where it may have none yet: a transaction that is done
  /// and finds no room in place would be of no use.
  ///
  /// What was asked for once is not asked for again, as nobody else writes here.
  func reserve(
    _ ranges: [Range<UInt64>],
    _ reserved: inout ByteRanges
  ) throws(AtomicWriteError) {
    if deviceBytes != nil { return }
    for range in ranges where !reserved.contains(range) {
      do throws(Errno) {
        try target.direct.reserve(range)
      } catch {
        switch error {
        // Whoever has no such call writes there as it can.
        case .notSupportedOnSocket, .noFunction: return
        case .textFileBusy: throw .busy("it is in use as swap space or as a running program")
        default: throw .notWritten(FailureCause(error))
        }
      }
      reserved.insert(range)
    }
  }

  /// Writes the last bytes of a file by way of the page cache.
  func writeTail(_ bytes: UnsafeRawBufferPointer, _ offset: UInt64) -> StorageResult {
    do throws(Errno) {
      // SAFETY: the bytes are the caller's for the call.
      return .bytes(unsafe try target.cached.write(bytes, atBytes: Int64(offset), []))
    } catch {
      return .host(error)
    }
  }

  /// Reads bytes of any offset by direct reads; those beyond the end of a file are zero.
  func read(
    _ range: Range<UInt64>,
    into memory: UnsafeMutableRawBufferPointer,
    _ granuleBytes: UInt64,
    _ scratch: inout AlignedBuffer
  ) throws(AtomicWriteError) {
    var place = range.lowerBound
    while place < range.upperBound {
      let begin = place / granuleBytes * granuleBytes
      let most = min(range.upperBound, begin + UInt64(scratch.byteCount))
      let wanted = (begin..<most).rounded(toUnit: granuleBytes)
      let found = try readGranules(wanted, into: &scratch)
      let skipped = Int(place - begin)
      let count = Int(most - place)
      // SAFETY: within the memory, which the caller lends.
      let target = unsafe UnsafeMutableRawBufferPointer(
        rebasing: memory[Int(place - range.lowerBound)..<Int(most - range.lowerBound)]
      )
      unsafe target.initializeMemory(as: UInt8.self, repeating: 0)
      let known = max(0, min(count, found - skipped))
      // SAFETY: as above, and within what was read.
      unsafe scratch.withBytes { bytes in
        unsafe target.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: bytes[skipped..<skipped + known])
        )
      }
      place = most
    }
  }

  private func readGranules(
    _ range: Range<UInt64>,
    into scratch: inout AlignedBuffer
  ) throws(AtomicWriteError) -> Int {
    let result: Result<Int, Errno>
    // SAFETY: the bytes are lent for the call.
    result = unsafe scratch.withMutableBytes { bytes in
      do throws(Errno) {
        let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<range.count])
        return .success(
          unsafe try target.direct.readOnce(into: piece, atBytes: Int64(range.lowerBound))
        )
      } catch {
        return .failure(error)
      }
    }
    switch result {
    case .success(let count):
      // Direct reads end short at the end of a file, and nowhere else.
      let size = try sizeBytes()
      guard count == range.count || range.lowerBound + UInt64(count) >= size else {
        throw .readFailed(FailureCause(.ioError))
      }
      return count
    case .failure(let error): throw .readFailed(FailureCause(error))
    }
  }
}
