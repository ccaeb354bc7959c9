import NVMeAtomic

/// Knows what was written and told, and holds each image to it.
final class CrashWitness {
  /// A write that was begun.
  private struct Write {
    var firstBlock: Int
    var bytes: [UInt8]
    /// Whether it was told that it would survive.
    var isDurable = false
    var hasEnded = false
    var hasFailed = false
  }

  private let drive: SimulatedDrive
  private let mostWays: Int
  private var random: SplitMix64
  private var cut: PowerCut
  private var writes: [Write] = []
  /// Of each block of an image: the write that it holds, 0 for none, its number plus one else.
  private var holders: [Int]
  var tally = CrashExplorer.Tally()
  /// What an image showed first that must not be.
  private(set) var problem: String?

  init(_ drive: SimulatedDrive, seed: UInt64, mostWays: Int) {
    self.drive = drive
    self.mostWays = mostWays
    random = SplitMix64(seed)
    cut = PowerCut(drive)
    holders = [Int](repeating: 0, count: drive.geometry.blocks)
  }

  // MARK: What is written

  /// Fills the memory with what the next write is to hold; its number.
  func begin(firstBlock: Int, blocks: Int, _ memory: UnsafeMutableRawBufferPointer) -> Int {
    let (number, block) = (writes.count, drive.geometry.blockBytes)
    var fill = SplitMix64(UInt64(number) &+ 1)
    for place in Swift.stride(from: 0, to: memory.count, by: 8) {
      // The number and the place of each block, then what nobody else writes.
      let word =
        switch place % block {
        case 0: UInt64(number + 1)
        case 8: UInt64(firstBlock + place / block)
        default: fill.next()
        }
      // SAFETY: the place is within the memory, which the caller lends.
      unsafe memory.storeBytes(of: word, toByteOffset: place, as: UInt64.self)
    }
    // SAFETY: as above.
    unsafe writes.append(Write(firstBlock: firstBlock, bytes: [UInt8](memory)))
    tally.writes += 1
    return number
  }

  /// The write was told of.
  func end(_ number: Int, isDurable: Bool) {
    writes[number].hasEnded = true
    if isDurable { writes[number].isDurable = true }
  }

  /// Nobody knows whether the write was done.
  func fail(_ number: Int, isOfFlush: Bool) {
    writes[number].hasFailed = true
    if isOfFlush { isClosed = true }
  }

  /// The write was not begun after all, and the last one that was to be.
  func takeBack(_ number: Int) {
    precondition(number == writes.count - 1)
    writes.removeLast()
  }

  /// A flush failed: no more is written.
  private(set) var isClosed = false

  func close() { isClosed = true }

  /// Whether something there was not told as done.
  func hasFailed(in blocks: Range<Int>) -> Bool {
    writes.contains { write in
      let count = write.bytes.count / drive.geometry.blockBytes
      return write.hasFailed && blocks.overlaps(write.firstBlock..<write.firstBlock + count)
    }
  }

  /// What was told of so far.
  var endedNumbers: [Int] { writes.indices.filter { writes[$0].hasEnded } }

  // MARK: What is left

  /// Cuts the power here, in every way that there is or in as many as are looked at.
  func look() {
    guard problem == nil else { return }
    tally.crashPoints += 1
    if let ways = cut.ways(upTo: mostWays) {
      for way in 0..<ways {
        cut.take(way: way)
        check("way \(way) of \(ways)")
      }
    } else {
      for number in 0..<mostWays {
        cut.take(&random)
        check("image \(number) by chance")
      }
    }
  }

  private func check(_ image: @autoclosure () -> String) {
    tally.images += 1
    guard problem == nil else { return }
    if let found = foreignBlock() ?? brokenWrite() {
      problem = "\(found); crash point \(tally.crashPoints), \(image())"
    }
  }

  /// A block that holds what nobody wrote there.
  private func foreignBlock() -> String? {
    let block = drive.geometry.blockBytes
    for place in holders.indices {
      let start = place * block
      let number = word(at: start)
      holders[place] = Int(truncatingIfNeeded: number)
      if number == 0 {
        guard cut.image[start..<start + block].allSatisfy({ $0 == 0 }) else {
          return "block \(place) holds what nobody wrote"
        }
        continue
      }
      guard number <= UInt64(writes.count) else { return "block \(place) holds what nobody wrote" }
      let write = writes[Int(number) - 1]
      let from = (place - write.firstBlock) * block
      guard from >= 0, from < write.bytes.count,
        cut.image[start..<start + block].elementsEqual(write.bytes[from..<from + block])
      else { return "block \(place) holds what write \(number - 1) did not write there" }
    }
    return nil
  }

  private func word(at start: Int) -> UInt64 {
    var word: UInt64 = 0
    for byte in 0..<8 { word |= UInt64(cut.image[start + byte]) << UInt64(8 * byte) }
    return word
  }

  /// A write of which something is there and something older, or that was told durable and is not
  /// there. Newer ones may lie over it.
  private func brokenWrite() -> String? {
    let block = drive.geometry.blockBytes
    for (number, write) in writes.enumerated() {
      var (own, older) = (false, false)
      for place in write.firstBlock..<write.firstBlock + write.bytes.count / block {
        if holders[place] == number + 1 { own = true }
        if holders[place] <= number { older = true }
      }
      if older, write.isDurable { return "write \(number) was told durable, and is lost" }
      if older, own { return "write \(number) is torn" }
    }
    return nil
  }
}
