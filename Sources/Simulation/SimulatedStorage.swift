package import LinuxIO
import NVMeAtomic
package import SystemPackage

/// Carries a writer's operations to a simulated drive, which ends them in whatever order chance
/// gives. Whoever looks on is told after each step, and may cut the power there.
@safe package struct SimulatedStorage: AtomicStorage, ~Copyable {
  /// What goes wrong between writer and drive, for the explorer to notice.
  package enum Mutant: String, Sendable, CaseIterable {
    /// Flushes are not sent.
    case dropsFlushes = "drops-flushes"
    /// FUA is left out.
    case dropsFUA = "drops-fua"
    /// A write is sent as two commands.
    case splits
    /// A flush is told as done when it is sent.
    case flushesEarly = "flushes-early"
  }

  private enum Command {
    case write([UInt32])
    case read
    /// With what had ended when it arrived.
    case flush([UInt32])
  }

  package let depth: Int
  private let drive: SimulatedDrive
  private let mutant: Mutant?
  private let onStep: () -> Void
  /// One of so many commands fails; 0: none.
  private let failsOneOf: UInt64
  private var random: SplitMix64
  private var batch: [StorageOperation] = []
  private var onItsWay: [(operation: StorageOperation, command: Command)] = []
  private var told: [StorageCompletion] = []

  package init(
    _ drive: SimulatedDrive,
    depth: Int,
    seed: UInt64,
    mutant: Mutant? = nil,
    failsOneOf: UInt64 = 0,
    onStep: @escaping () -> Void
  ) {
    self.drive = drive
    self.depth = depth
    self.mutant = mutant
    self.failsOneOf = failsOneOf
    self.onStep = onStep
    random = SplitMix64(seed)
  }

  package mutating func push(_ operation: StorageOperation) {
    precondition(batch.count + onItsWay.count <= depth)
    batch.append(operation)
  }

  package mutating func submit(waitingFor count: Int) throws(Errno) {
    for operation in batch { arrive(operation) }
    batch = []
    precondition(onItsWay.count + told.count >= count, "would wait for ever")
    var wanted = max(count - told.count, 0)
    if !onItsWay.isEmpty {
      wanted = max(wanted, Int(random.below(UInt64(onItsWay.count + 1))))
    }
    for _ in 0..<min(wanted, onItsWay.count) { endOne() }
  }

  package mutating func next() -> StorageCompletion? {
    told.isEmpty ? nil : told.removeFirst()
  }

  package func dropPages(offset: UInt64, count: UInt64) {}

  private mutating func arrive(_ operation: StorageOperation) {
    switch operation.kind {
    case .flush: arriveFlush(operation)
    case .read: onItsWay.append((operation, .read))
    case .write, .atomicWrite:
      let block = drive.geometry.blockBytes
      let blocks = Int(operation.byteCount) / block
      let first = Int(operation.offsetBytes) / block
      // SAFETY: the operation's memory lives until it completes, and has as many bytes.
      let bytes = unsafe [UInt8](
        UnsafeRawBufferPointer(start: operation.memory, count: blocks * block)
      )
      // An ordinary write may be cut anywhere on its way down.
      var pieces = [0..<blocks]
      let isCut = operation.kind == .write || mutant == .splits
      if isCut, blocks > 1 {
        let cut = 1 + Int(random.below(UInt64(blocks - 1)))
        pieces = [0..<cut, cut..<blocks]
      }
      let numbers = pieces.map { piece in
        drive.begin(
          firstBlock: first + piece.lowerBound,
          bytes: Array(bytes[piece.lowerBound * block..<piece.upperBound * block]),
          isForced: operation.isDurable && mutant != .dropsFUA
        )
      }
      onItsWay.append((operation, .write(numbers)))
    }
    onStep()
  }

  private mutating func arriveFlush(_ operation: StorageOperation) {
    if mutant == .dropsFlushes {
      told.append(StorageCompletion(token: operation.token, result: .complete))
      return
    }
    let ended = drive.ended
    if mutant == .flushesEarly {
      told.append(StorageCompletion(token: operation.token, result: .complete))
      return
    }
    onItsWay.append((operation, .flush(ended)))
  }

  private mutating func endOne() {
    let (operation, command) = onItsWay.remove(at: Int(random.below(UInt64(onItsWay.count))))
    if failsOneOf > 0, random.below(failsOneOf) == 0 { return fail(operation, command) }
    switch command {
    case .write(let numbers):
      takeAgain(operation, numbers)
      for number in numbers {
        drive.end(number)
        onStep()
      }
    case .flush(let ended):
      drive.flush(ended)
      onStep()
    case .read:
      let first = Int(operation.offsetBytes) / drive.geometry.blockBytes
      let bytes = drive.visible(firstBlock: first, count: Int(operation.byteCount))
      // SAFETY: the operation's memory lives until it completes, and has as many bytes.
      unsafe UnsafeMutableRawBufferPointer(start: operation.memory, count: bytes.count)
        .copyBytes(from: bytes)
    }
    told.append(StorageCompletion(token: operation.token, result: .complete))
  }

  /// A drive takes the bytes of a write from memory whenever it likes, be it at its end: whoever
  /// has changed them meanwhile has written something else.
  private func takeAgain(_ operation: StorageOperation, _ numbers: [UInt32]) {
    var place = 0
    for number in numbers {
      // SAFETY: the operation's memory lives until it completes, and has as many bytes.
      let rest = unsafe UnsafeRawBufferPointer(
        start: operation.memory?.advanced(by: place),
        count: Int(operation.byteCount) - place
      )
      place += unsafe drive.takeAgain(number, from: rest)
    }
  }

  /// Nobody knows what of a failed command was done.
  private mutating func fail(_ operation: StorageOperation, _ command: Command) {
    switch command {
    case .write(let numbers):
      let isDone = random.below(2) == 0
      for number in numbers { drive.fail(number, isDone: isDone) }
    case .flush(let ended):
      drive.flush(ended.filter { _ in random.below(2) == 0 })
    case .read: break
    }
    onStep()
    // Write Fault: NVM Command Set Specification 1.2, section 3.1.
    told.append(StorageCompletion(token: operation.token, result: .device(0x280)))
  }
}
