/// A journal as `JournalFormat.md` has it, read once more, in the simplest way: what recovery must
/// make of it.
struct JournalReading {
  private(set) var isInUse = false
  private(set) var transactions = 0
  private(set) var records = 0
  private(set) var dropped = 0
  /// The target by its blocks.
  private(set) var placed: [UInt64: [UInt8]] = [:]
  /// Whether nothing contradicts what was read.
  private(set) var isTrusted = true

  private let bytes: [UInt8]
  private static let block = JournalFuzzer.blockBytes
  private var logEnd: Int { bytes.count - Self.block }

  private struct Superblock {
    var identity: [UInt8]
    var generation: UInt64
    var lap: UInt64
    var firstSequence: UInt64
    var isClean: Bool
  }

  private struct Record {
    var isOf: [UInt8]
    var lap: UInt64
    var sequence: UInt64
    var flushed: UInt64
    var begins: Bool
    var ends: Bool
    var header: Int
    var payload: Int
    var isWhole: Bool
    var ranges: [(offset: UInt64, count: Int, place: Int)]
  }

  /// `nil` where no superblock is whole.
  init?(_ bytes: [UInt8]) {
    self.bytes = bytes
    var newest: Superblock?
    for start in [0, bytes.count - Self.block] {
      if let found = superblock(start), found.generation > newest?.generation ?? 0 {
        newest = found
      }
      if isOther(start) { isTrusted = false }
    }
    guard let newest else { return nil }
    isInUse = !newest.isClean
    var position = Self.block
    var next = newest.firstSequence
    var open: [Record] = []
    while isInUse, position < logEnd, let record = record(position), record.isWhole,
      record.isOf == newest.identity, record.lap == newest.lap, record.sequence == next,
      record.begins == open.isEmpty
    {
      open.append(record)
      position += record.header + record.payload
      next += 1
      if record.ends { take(&open) }
    }
    dropped = open.count
    checkRest(from: position, next, newest)
  }

  private mutating func take(_ open: inout [Record]) {
    transactions += 1
    records += open.count
    for range in open.flatMap(\.ranges) {
      let piece = Array(bytes[range.place..<range.place + range.count])
      FuzzDisk.place(piece, at: range.offset, in: &placed)
    }
    open = []
  }

  /// No header may say that what is missing had been there.
  private mutating func checkRest(from start: Int, _ next: UInt64, _ superblock: Superblock) {
    for position in stride(from: start, to: logEnd, by: Self.block) {
      guard let record = record(position), record.isOf == superblock.identity else { continue }
      if record.lap > superblock.lap { isTrusted = false }
      if record.lap == superblock.lap, superblock.isClean || record.flushed >= next {
        isTrusted = false
      }
    }
  }

  // MARK: Bytes

  private func number(_ place: Int, _ count: Int) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << UInt64(8 * $1) }
  }

  private func isSound(_ range: Range<Int>) -> Bool {
    var copy = Array(bytes[range])
    copy.replaceSubrange(96..<112, with: [UInt8](repeating: 0, count: 16))
    let place = range.lowerBound + 96
    return JournalMender.checksum(copy[...]) == Array(bytes[place..<place + 16])
  }

  /// Whole, and of another version or of another size: such a journal is left alone.
  private func isOther(_ start: Int) -> Bool {
    guard Array(bytes[start..<start + 8]) == Array("NVMATJNL".utf8),
      isSound(start..<start + Self.block)
    else { return false }
    return number(start + 8, 4) != 1 || superblock(start) == nil && isOfAnotherSize(start)
  }

  /// That any journal of another length or granule could have.
  private func isOfAnotherSize(_ start: Int) -> Bool {
    let (length, granule) = (number(start + 40, 8), number(start + 76, 4))
    return hasSoundNumbers(start) && number(start + 32, 8) == 0 && number(start + 12, 4) == 512
      && granule.nonzeroBitCount == 1 && granule <= 512 && length % 512 == 0 && length >= 5 * 512
  }

  private func hasSoundNumbers(_ start: Int) -> Bool {
    [48, 56, 64].allSatisfy { (1..<1 << 63).contains(number(start + $0, 8)) } && hasTexts(start)
  }

  private func hasTexts(_ start: Int) -> Bool {
    let (name, signature) = (number(start + 80, 4), number(start + 84, 4))
    guard name + signature <= 400 else { return false }
    let (first, second) = (start + 112, start + 112 + Int(name))
    return String(validating: bytes[first..<second], as: UTF8.self) != nil
      && String(validating: bytes[second..<second + Int(signature)], as: UTF8.self) != nil
  }

  private func superblock(_ start: Int) -> Superblock? {
    guard Array(bytes[start..<start + 8]) == Array("NVMATJNL".utf8),
      isSound(start..<start + Self.block), number(start + 8, 4) == 1,
      number(start + 12, 4) == 512, number(start + 32, 8) == 0,
      number(start + 40, 8) == UInt64(bytes.count), number(start + 76, 4) == 512,
      hasSoundNumbers(start)
    else { return nil }
    return Superblock(
      identity: Array(bytes[start + 16..<start + 32]),
      generation: number(start + 48, 8),
      lap: number(start + 56, 8),
      firstSequence: number(start + 64, 8),
      isClean: number(start + 72, 4) == 1
    )
  }

  /// A header that is whole; its payload may not be.
  private func record(_ start: Int) -> Record? {
    let length = number(start + 8, 4)
    guard Array(bytes[start..<start + 8]) == Array("NVMATREC".utf8), length >= 512,
      length % 512 == 0, length <= UInt64(logEnd - start),
      isSound(start..<start + Int(length))
    else { return nil }
    let (payload, count) = (number(start + 56, 8), number(start + 64, 4))
    guard payload % 512 == 0, payload <= 4 << 20 - length,
      (112 + 16 * count + 511) / 512 * 512 == length, (1..<1 << 63).contains(number(start + 40, 8))
    else { return nil }
    var record = Record(
      isOf: Array(bytes[start + 16..<start + 32]),
      lap: number(start + 32, 8),
      sequence: number(start + 40, 8),
      flushed: number(start + 48, 8),
      begins: bytes[start + 12] & 1 != 0,
      ends: bytes[start + 12] & 2 != 0,
      header: Int(length),
      payload: Int(payload),
      isWhole: false,
      ranges: []
    )
    guard let ranges = ranges(of: record, Int(count), start) else { return record }
    record.ranges = ranges
    record.isWhole = true
    return record
  }

  /// `nil` where the payload is not whole, or cannot have them.
  private func ranges(
    of record: Record,
    _ count: Int,
    _ start: Int
  ) -> [(offset: UInt64, count: Int, place: Int)]? {
    let end = start + record.header + record.payload
    guard end <= logEnd else { return nil }
    let payload = bytes[start + record.header..<end]
    guard JournalMender.checksum(payload) == Array(bytes[start + 80..<start + 96]) else {
      return nil
    }
    var ranges: [(offset: UInt64, count: Int, place: Int)] = []
    var place = start + record.header
    for index in 0..<count {
      let (offset, length) = (
        number(start + 112 + 16 * index, 8), number(start + 120 + 16 * index, 8)
      )
      guard length > 0, length <= UInt64(end - place), offset % 512 == 0,
        offset <= UInt64(Int64.max) - length
      else { return nil }
      ranges.append((offset, Int(length), place))
      place += (Int(length) + 511) / 512 * 512
    }
    return ranges
  }
}
