import LinuxIO
import NVMeAtomic
import SystemPackage

/// A drive in memory that ends operations in any order, joins neighbours of one batch as the kernel
/// does, and loses what was not flushed when the power fails. Replaces kernel and drive below the
/// write engine.
package struct MemoryStorage: AtomicStorage, ~Copyable {
  /// What happened, in order; shared with the test that looks on.
  package final class Journal {
    package enum Event: Equatable {
      case pushed(UInt32, StorageOperation.Kind)
      case handedOver(count: Int)
      case ended(UInt32)
      case droppedPages(UInt64)
    }

    package var events: [Event] = []
    /// What a reader sees.
    package var bytes: [UInt8]
    /// What a power failure leaves.
    package var stable: [UInt8]
    /// Results that operations of this number, counted from 0, end with instead.
    package var results: [Int: StorageResult] = [:]
    /// Largest request that the driver takes of neighbours joined in one batch; 0: none are joined.
    package var joinedLimit = 0
    /// Whether somebody has read what is there, so that writes are refused until that is dropped.
    package var hasPages = false
    /// Whether nobody lets go of these pages.
    package var keepsPages = false
    /// Operations that were on their way at the same time at most.
    package var mostInFlight = 0

    package init(byteCount: Int) {
      bytes = [UInt8](repeating: 0, count: byteCount)
      stable = bytes
    }
  }

  private struct InFlight {
    var operation: StorageOperation
    var result: StorageResult?
    /// For a flush: what had completed when it began, all that it makes durable.
    var completed: [UInt8] = []
  }

  package let depth: Int
  package let journal: Journal
  private var batch: [StorageOperation] = []
  private var inFlight: [InFlight] = []
  private var told: [StorageCompletion] = []
  private var random: SplitMix64
  private var operationCount = 0

  package init(_ journal: Journal, depth: Int, seed: UInt64) {
    self.journal = journal
    self.depth = depth
    random = SplitMix64(seed)
  }

  package mutating func push(_ operation: StorageOperation) {
    precondition(batch.count + inFlight.count <= depth, "more than there is room for")
    journal.events.append(.pushed(operation.token, operation.kind))
    batch.append(operation)
    journal.mostInFlight = max(journal.mostInFlight, batch.count + inFlight.count)
  }

  package mutating func submit(waitingFor count: Int) throws(Errno) {
    if !batch.isEmpty { journal.events.append(.handedOver(count: batch.count)) }
    for operation in batch {
      var result = journal.results[operationCount]
      operationCount += 1
      if result == nil, isJoinedTooFar(operation) { result = .host(.invalidArgument) }
      if journal.hasPages, [.write, .atomicWrite].contains(operation.kind) {
        // The kernel looks at them before it sends anything on its way.
        journal.events.append(.ended(operation.token))
        told.append(
          StorageCompletion(
            token: operation.token,
            result: .host(.resourceTemporarilyUnavailable)
          )
        )
        continue
      }
      let completed = operation.kind == .flush ? journal.bytes : []
      inFlight.append(InFlight(operation: operation, result: result, completed: completed))
    }
    batch = []
    precondition(inFlight.count + told.count >= count, "would wait for ever")
    // At least as many as are waited for, and any number of others.
    var wanted = max(count - told.count, 0)
    if !inFlight.isEmpty { wanted = max(wanted, Int(random.below(UInt64(inFlight.count + 1)))) }
    for _ in 0..<min(wanted, inFlight.count) { endOne() }
  }

  package mutating func next() -> StorageCompletion? {
    told.isEmpty ? nil : told.removeFirst()
  }

  package func dropPages(offset: UInt64, count: UInt64) {
    journal.events.append(.droppedPages(offset))
    journal.hasPages = journal.keepsPages
  }

  /// Atomic neighbours of one batch grow together; the driver refuses the whole.
  private func isJoinedTooFar(_ operation: StorageOperation) -> Bool {
    guard journal.joinedLimit > 0, operation.kind == .atomicWrite else { return false }
    var (start, end) = (operation.offsetBytes, operation.offsetBytes + UInt64(operation.byteCount))
    var grew = true
    while grew {
      grew = false
      for other in batch where other.kind == .atomicWrite {
        let (first, last) = (other.offsetBytes, other.offsetBytes + UInt64(other.byteCount))
        if last == start { (start, grew) = (first, true) }
        if first == end { (end, grew) = (last, true) }
      }
    }
    return end - start > UInt64(journal.joinedLimit)
  }

  private mutating func endOne() {
    let one = inFlight.remove(at: Int(random.below(UInt64(inFlight.count))))
    let token = one.operation.token
    journal.events.append(.ended(token))
    let result: StorageResult
    if let wanted = one.result { result = wanted } else { result = carryOut(one) }
    told.append(StorageCompletion(token: token, result: result))
  }

  private mutating func carryOut(_ one: InFlight) -> StorageResult {
    let operation = one.operation
    let (start, count) = (Int(operation.offsetBytes), Int(operation.byteCount))
    switch operation.kind {
    case .flush:
      journal.stable = one.completed
      return .bytes(0)
    case .read:
      UnsafeMutableRawBufferPointer(start: operation.memory, count: count)
        .copyBytes(from: journal.bytes[start..<start + count])
    case .write, .atomicWrite:
      let source = UnsafeRawBufferPointer(start: operation.memory, count: count)
      journal.bytes.replaceSubrange(start..<start + count, with: source)
      if operation.isDurable {
        journal.stable.replaceSubrange(start..<start + count, with: source)
        // A flush that is on its way does not bring older bytes back.
        for index in inFlight.indices where inFlight[index].operation.kind == .flush {
          inFlight[index].completed.replaceSubrange(start..<start + count, with: source)
        }
      }
    }
    return .bytes(count)
  }
}
