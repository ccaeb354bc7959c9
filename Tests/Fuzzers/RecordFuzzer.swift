import LinuxIO

@testable import NVMeAtomic

/// What is read of a journal block by block, and the mark that leads to it.
enum RecordFuzzer {
  static func run(_ input: inout FuzzInput) throws(Finding) {
    let (kind, size) = (input.byte(), input.byte())
    let geometry = JournalGeometry(
      startBytes: kind & 0x80 == 0 ? 8192 : input.number(),
      lengthBytes: kind & 0x80 == 0 ? 1 << 20 : input.number(),
      blockBytes: 512 << UInt64(size & 3),
      granuleBytes: kind & 0x40 == 0 ? 512 : 1 << UInt64(input.byte() & 63)
    )
    switch kind & 3 {
    case 0: try mark(input.text())
    case 1: try superblock(&input, blockBytes: 512 << Int(size & 3), startBytes: 8192)
    case 2: if let geometry { try record(&input, geometry) }
    default: if let geometry { try check(geometry) }
    }
  }

  private static func mark(_ text: String) throws(Finding) {
    guard let mark = JournalMark(text) else { return }
    try require(mark.text.utf8.elementsEqual(text.utf8), "the mark is read as '\(mark.text)'")
    try require(mark.path.hasPrefix("/"), "the journal '\(mark.path)' is nowhere")
  }

  private static func check(_ geometry: JournalGeometry) throws(Finding) {
    let end = geometry.startBytes + geometry.lengthBytes
    try require(geometry.logStart >= geometry.startBytes + 512, "no first superblock")
    try require(geometry.logEnd <= end - 512, "no last superblock")
    try require(geometry.logStart < geometry.logEnd, "no log")
    for count in [0, 1, 511, 512, 513, 1 << 22] {
      let (block, granule) = (geometry.roundedToBlock(count), geometry.roundedToGranule(count))
      try require(block >= count && UInt64(block) % geometry.blockBytes == 0, "\(block)")
      try require(granule >= count && UInt64(granule) % geometry.granuleBytes == 0, "\(granule)")
    }
  }

  // MARK: Superblocks

  private static func superblock(
    _ input: inout FuzzInput,
    blockBytes: Int,
    startBytes: UInt64
  ) throws(Finding) {
    let isMended = input.byte() & 1 == 1
    var bytes = padded(input.all(), to: blockBytes)
    if isMended { JournalMender.mend(&bytes[...]) }
    var copy = bytes
    let content = withBytes(&copy) { JournalSuperblock.decode($0, startBytes: startBytes) }
    guard case .superblock(let superblock) = content else { return }
    try check(superblock.geometry)
    try require(superblock.geometry.startBytes == startBytes, "of another place")
    try require(Int(superblock.geometry.blockBytes) == blockBytes, "of another block")
    var encoded = [UInt8](repeating: 0xaa, count: blockBytes)
    withBytes(&encoded) { superblock.encode(into: $0) }
    let again = withBytes(&encoded) { JournalSuperblock.decode($0, startBytes: startBytes) }
    guard case .superblock(superblock) = again else { throw Finding(text: "is not read back") }
    // Byte for byte, but for what the format does not name.
    withBytes(&encoded) { superblock.encode(into: $0) }
    let textEnd = 112 + superblock.target.utf8.count + superblock.signature.utf8.count
    let unnamed = Set(88..<96).union(textEnd..<max(textEnd, blockBytes))
    if unnamed.allSatisfy({ bytes[$0] == 0 }), bytes[72] <= 1, bytes[73..<76] == [0, 0, 0] {
      try require(bytes == encoded, "written otherwise than it was read")
    }
  }

  // MARK: Records

  private static func record(
    _ input: inout FuzzInput,
    _ geometry: JournalGeometry
  ) throws(Finding) {
    let isMended = input.byte() & 1 == 1
    let all = input.all()
    let block = Int(geometry.blockBytes)
    var bytes = padded(all, to: max(block, (all.count + block - 1) / block * block))
    if isMended { JournalMender.mend(&bytes[...]) }
    let length = withBytes(&bytes) { JournalRecord.headerBytes(at: $0, geometry) }
    guard let length else { return }
    try require(length >= block && length % block == 0, "a header of \(length) bytes")
    guard length == bytes.count else { return }
    var copy = bytes
    guard let record = withBytes(&copy, { JournalRecord(decoding: $0, geometry) }) else { return }
    try require(record.headerBytes == length, "another length")
    try require(record.byteCount <= 4 << 20, "a record of \(record.byteCount) bytes")
    guard let pieces = withBytes(&copy, { record.pieces(of: $0, geometry) }) else { return }
    try require(pieces.count == record.pieceCount, "ranges are left out")
    var payload = 0
    for piece in pieces {
      try require(piece.byteCount > 0, "an empty range")
      try require(piece.offsetBytes % geometry.granuleBytes == 0, "at \(piece.offsetBytes)")
      let (end, overflow) = Int64(piece.offsetBytes).addingReportingOverflow(
        Int64(piece.byteCount)
      )
      try require(!overflow && end > 0, "a range beyond every address")
      payload += geometry.roundedToGranule(piece.byteCount)
    }
    try require(payload <= record.payloadBytes, "ranges have \(payload) bytes")
    var encoded = bytes
    withBytes(&encoded) { record.encode(pieces[...], into: $0) }
    let again = withBytes(&encoded) { JournalRecord(decoding: $0, geometry) }
    try require(again == record, "is not read back")
  }

  // MARK: Memory

  static func padded(_ bytes: [UInt8], to count: Int) -> [UInt8] {
    Array(bytes.prefix(count)) + [UInt8](repeating: 0, count: max(0, count - bytes.count))
  }

  static func withBytes<Result>(
    _ bytes: inout [UInt8],
    _ body: (JournalBytes) -> Result
  ) -> Result {
    bytes.withUnsafeMutableBytes { body(JournalBytes($0)) }
  }

  static var seeds: [[UInt8]] {
    let identity = JournalIdentity(low: 1, high: 2)
    guard
      let geometry = JournalGeometry(
        startBytes: 8192,
        lengthBytes: 1 << 20,
        blockBytes: 512,
        granuleBytes: 512
      )
    else { return [] }
    var superblock = JournalSuperblock(identity: identity, geometry: geometry)
    (superblock.target, superblock.signature) = ("device wwid=x", "xfs")
    var block = [UInt8](repeating: 0, count: 512)
    withBytes(&block) { superblock.encode(into: $0) }
    let pieces = [
      JournalPiece(range: 0, from: 0, offsetBytes: 4096, byteCount: 1024),
      JournalPiece(range: 1, from: 0, offsetBytes: 8192, byteCount: 100),
    ]
    let record = JournalRecord(
      identity: identity,
      lap: 1,
      sequence: 1,
      flushedSequence: 0,
      beginsTransaction: true,
      endsTransaction: true,
      headerBytes: 512,
      payloadBytes: 1536,
      payloadChecksum: JournalChecksum(of: nil, 0),
      pieceCount: 2
    )
    var header = block
    withBytes(&header) { record.encode(pieces[...], into: $0) }
    let mark = JournalMark(identity, generation: 17, isOnSameFilesystem: true, path: "/a b")
    return [
      [0, 0] + Array(mark.text.utf8), [1, 0, 1] + block, [1, 0, 0] + block, [2, 0, 1] + header,
      [2, 0, 0] + header, [0x83, 0] + [UInt8](repeating: 0x10, count: 16), [0x43, 0, 9],
    ]
  }
}
