import LinuxIO
import Testing

@testable import NVMeAtomic

/// The bytes of `JournalFormat.md`, pinned: journals outlive the program that made them.
@Suite struct JournalFormatTests {
  static let identity = JournalIdentity(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)

  static func geometry() throws -> JournalGeometry {
    try #require(JournalGeometry(startBytes: 8192, lengthBytes: 1 << 20, granuleBytes: 512))
  }

  static func superblock() throws -> JournalSuperblock {
    var superblock = JournalSuperblock(identity: identity, geometry: try geometry())
    superblock.generation = 0x11
    superblock.lap = 0x22
    superblock.firstSequence = 0x33
    superblock.target = "device wwid=x"
    superblock.signature = "xfs"
    return superblock
  }

  /// A block in memory, for the time of the body.
  static func withBlock<Result>(
    byteCount: Int = 4096,
    _ body: (JournalBytes, inout [UInt8]) throws -> Result
  ) rethrows -> Result {
    var copy = [UInt8]()
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 4096)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0xaa)
    return try body(JournalBytes(memory), &copy)
  }

  static func bytes(_ block: JournalBytes) -> [UInt8] {
    (0..<block.count).map { block.number(at: $0, as: UInt8.self) }
  }

  @Test func aSuperblocksBytes() throws {
    let superblock = try Self.superblock()
    Self.withBlock { block, _ in
      superblock.encode(into: block)
      let bytes = Self.bytes(block)
      #expect(Array(bytes[0..<8]) == Array("NVMATJNL".utf8))
      #expect(Array(bytes[8..<16]) == [1, 0, 0, 0, 0, 0x10, 0, 0])
      #expect(Array(bytes[16..<32]) == Array(0...15))
      #expect(Array(bytes[32..<40]) == [0, 0x20, 0, 0, 0, 0, 0, 0])
      #expect(Array(bytes[40..<48]) == [0, 0, 0x10, 0, 0, 0, 0, 0])
      #expect((bytes[48], bytes[56], bytes[64]) == (0x11, 0x22, 0x33))
      #expect(Array(bytes[72..<88]) == [1, 0, 0, 0, 0, 2, 0, 0, 13, 0, 0, 0, 3, 0, 0, 0])
      #expect(Array(bytes[112..<128]) == Array("device wwid=xxfs".utf8))
      #expect(bytes[128...].allSatisfy { $0 == 0 })
      var unsummed = bytes
      unsummed.replaceSubrange(96..<112, with: repeatElement(0, count: 16))
      let checksum = unsummed.withUnsafeMutableBytes { JournalBytes($0).checksum }
      #expect(block.number(at: 96, as: UInt64.self) == checksum.low)
      #expect(block.number(at: 104, as: UInt64.self) == checksum.high)
      guard case .superblock(let read) = JournalSuperblock.decode(block, startBytes: 8192) else {
        Issue.record("not read back")
        return
      }
      #expect(read == superblock)
    }
  }

  /// XXH3 as libxxhash publishes it: the checksum of nothing.
  @Test func checksumsAreXXH3() {
    let empty = JournalChecksum(of: nil, 0)
    #expect(empty.high == 0x99aa_06d3_0147_98d8 && empty.low == 0x6001_c324_468d_497f)
  }

  /// Any flipped bit is noticed, wherever it is.
  @Test func everyByteOfASuperblockCounts() throws {
    let superblock = try Self.superblock()
    Self.withBlock { block, _ in
      for place in 0..<4096 {
        superblock.encode(into: block)
        block.put(block.number(at: place, as: UInt8.self) ^ 0x10, at: place)
        if case .superblock = JournalSuperblock.decode(block, startBytes: 8192) {
          Issue.record("byte \(place)")
        }
      }
      superblock.encode(into: block)
      if case .superblock = JournalSuperblock.decode(block, startBytes: 0) {
        Issue.record("a superblock of another place")
      }
    }
  }

  static func record(_ geometry: JournalGeometry) -> JournalRecord {
    JournalRecord(
      identity: identity,
      lap: 5,
      sequence: 6,
      flushedSequence: 4,
      beginsTransaction: true,
      endsTransaction: false,
      headerBytes: 4096,
      payloadBytes: 4096,
      payloadChecksum: JournalChecksum(of: nil, 0),
      pieceCount: 2
    )
  }

  static let pieces: [JournalPiece] = [
    JournalPiece(range: 0, from: 0, offsetBytes: 0x1200, byteCount: 1024),
    JournalPiece(range: 1, from: 0, offsetBytes: 0x8000, byteCount: 100),
  ]

  @Test func aRecordsBytes() throws {
    let geometry = try Self.geometry()
    let record = Self.record(geometry)
    Self.withBlock { header, _ in
      record.encode(Self.pieces[...], into: header)
      let bytes = Self.bytes(header)
      #expect(Array(bytes[0..<8]) == Array("NVMATREC".utf8))
      #expect(Array(bytes[8..<16]) == [0, 0x10, 0, 0, 1, 0, 0, 0])
      #expect(Array(bytes[16..<32]) == Array(0...15))
      #expect((bytes[32], bytes[40], bytes[48]) == (5, 6, 4))
      #expect(Array(bytes[56..<72]) == [0, 0x10, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
      #expect(Array(bytes[112..<120]) == [0, 0x12, 0, 0, 0, 0, 0, 0])
      #expect(Array(bytes[120..<128]) == [0, 4, 0, 0, 0, 0, 0, 0])
      #expect(Array(bytes[128..<144]) == [0, 0x80, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0])
      #expect(bytes[144...].allSatisfy { $0 == 0 })
      #expect(JournalRecord(decoding: header, geometry) == record)
      let places = record.pieces(of: header, geometry)
      #expect(places?.map(\.offsetBytes) == [0x1200, 0x8000])
      #expect(places?.map(\.byteCount) == [1024, 100])
    }
  }

  @Test func everyByteOfAHeaderCounts() throws {
    let geometry = try Self.geometry()
    let record = Self.record(geometry)
    Self.withBlock { header, _ in
      for place in 0..<4096 {
        record.encode(Self.pieces[...], into: header)
        header.put(header.number(at: place, as: UInt8.self) ^ 0x01, at: place)
        #expect(JournalRecord(decoding: header, geometry) == nil, "byte \(place)")
      }
    }
  }

  /// A header that is whole and contradicts itself is none: lengths beyond the payload, offsets
  /// beyond every address or off the granule.
  @Test func contradictionsAreRefused() throws {
    let geometry = try Self.geometry()
    for (offset, count) in [
      (0x1201, 512), (0x1200, 0), (0x1200, 5000), (UInt64(Int64.max), 512), (0x1200, 4097),
    ] as [(UInt64, Int)] {
      var record = Self.record(geometry)
      record.pieceCount = 1
      Self.withBlock { header, _ in
        let piece = JournalPiece(range: 0, from: 0, offsetBytes: offset, byteCount: count)
        record.encode([piece], into: header)
        #expect(JournalRecord(decoding: header, geometry) != nil)
        #expect(record.pieces(of: header, geometry) == nil, "\(offset), \(count)")
      }
    }
  }

  /// Counters from which the next step would leave the numbers there are, or that no journal has.
  @Test func countersThatNobodyReachesAreDamage() throws {
    let geometry = try Self.geometry()
    let counters: [WritableKeyPath<JournalSuperblock, UInt64>] = [
      \.generation, \.lap, \.firstSequence,
    ]
    for (count, isSound) in [
      (0, false), (1, true), (1 << 63 - 1, true), (1 << 63, false), (.max, false),
    ] as [(UInt64, Bool)] {
      try Self.withBlock { block, _ in
        for counter in counters {
          var superblock = try Self.superblock()
          superblock[keyPath: counter] = count
          superblock.encode(into: block)
          switch JournalSuperblock.decode(block, startBytes: 8192) {
          case .superblock(let read): #expect(isSound && read == superblock, "\(count)")
          case .damaged: #expect(!isSound, "\(count)")
          case .version, .other: Issue.record("\(count)")
          }
        }
        var record = Self.record(geometry)
        record.sequence = count
        record.encode(Self.pieces[...], into: block)
        #expect((JournalRecord(decoding: block, geometry) != nil) == isSound, "\(count)")
      }
    }
  }

  @Test func geometriesThatAreNone() {
    for (start, length, block, granule) in [
      (0, 4096 * 4, 4096, 512), (0, 4096 * 8 + 1, 4096, 512), (512, 1 << 20, 4096, 512),
      (0, 1 << 20, 4096, 8192), (0, 1 << 20, 4095, 512), (0, 1 << 20, 4096, 0),
      (UInt64.max - 4095, 1 << 20, 4096, 512), (0, 1 << 20, 256, 256),
    ] as [(UInt64, UInt64, UInt64, UInt64)] {
      let geometry = JournalGeometry(
        startBytes: start,
        lengthBytes: length,
        blockBytes: block,
        granuleBytes: granule
      )
      #expect(geometry == nil, "\(start), \(length), \(block), \(granule)")
    }
  }

  @Test func marks() {
    let mark = JournalMark(
      Self.identity,
      generation: 17,
      isOnSameFilesystem: true,
      path: "/a b/c"
    )
    #expect(mark.text == "1 0f0e0d0c0b0a09080706050403020100 17 same /a b/c")
    #expect(JournalMark(mark.text) == mark)
    for text in [
      "", "1", "2 0f0e0d0c0b0a09080706050403020100 1 same /a", "1 0f0e 1 same /a",
      "1 0f0e0d0c0b0a09080706050403020100 1 same a",
      "1 0f0e0d0c0b0a0908070605040302010x 1 other /a",
      "1  0f0e0d0c0b0a09080706050403020100 1 same /a",
      "1 0f0e0d0c0b0a09080706050403020100 x same /a",
      "1 0f0e0d0c0b0a09080706050403020100 1 here /a",
      "1 0f0e0d0c0b0a09080706050403020100 /a",
      "1 +f0e0d0c0b0a09080706050403020100 17 same /a",
      "1 0F0E0D0C0B0A09080706050403020100 17 same /a",
      "1 0f0e0d0c0b0a09080706050403020100 +17 same /a",
      "1 0f0e0d0c0b0a09080706050403020100 017 same /a",
    ] {
      #expect(JournalMark(text) == nil, "\(text)")
    }
  }
}
