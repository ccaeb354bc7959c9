import Testing

@testable import NVMeAtomic

/// Each way in which a block or range can be other than it was written is told.
@Suite struct BlockStampTests {
  static let stamp = BlockStamp(
    run: 7,
    sequence: 3,
    blockOffset: 4096,
    writeOffset: 4096,
    writeBytes: 2048,
    writer: 1
  )

  static func withMemory<Result>(
    _ byteCount: Int,
    _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 4096)
    defer { memory.deallocate() }
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    return try body(memory)
  }

  static func judge(_ memory: UnsafeMutableRawBufferPointer) -> StampedRange.Verdict {
    StampedRange.judge(memory, blockBytes: 512, at: 4096, run: 7)
  }

  @Test(arguments: [64, 512, 4096])
  func aBlockSaysWhatItWasFilledWith(byteCount: Int) {
    Self.withMemory(byteCount) { memory in
      #expect(BlockStamp.read(memory) == .blank)
      Self.stamp.fill(memory)
      #expect(BlockStamp.read(memory) == .stamped(Self.stamp))
      #expect(BlockStamp.read(memory) == .stamped(Self.stamp), "reading leaves it as it was")
    }
  }

  @Test func anyChangedBitIsSeen() {
    Self.withMemory(512) { memory in
      Self.stamp.fill(memory)
      for place in 0..<512 * 8 {
        memory[place / 8] ^= 1 << (place % 8)
        #expect(BlockStamp.read(memory) == .damaged, "bit \(place)")
        memory[place / 8] ^= 1 << (place % 8)
      }
      #expect(BlockStamp.read(memory) == .stamped(Self.stamp))
    }
  }

  @Test func aSingleBitInAnEmptyBlockIsNoEmptyBlock() {
    Self.withMemory(512) { memory in
      for place in 0..<512 * 8 {
        memory[place / 8] = 1 << (place % 8)
        #expect(BlockStamp.read(memory) == .damaged, "bit \(place)")
        memory[place / 8] = 0
      }
    }
  }

  /// Every mixture of two writes over four blocks, and of one with blocks never written.
  @Test func everyMixtureIsTorn() {
    Self.withMemory(2048) { memory in
      for former in [UInt64?.none, 2] {
        for mask in 0..<16 {
          memory.initializeMemory(as: UInt8.self, repeating: 0)
          for block in 0..<4 {
            var stamp = Self.stamp
            guard let sequence = mask >> block & 1 == 1 ? stamp.sequence : former else { continue }
            stamp.sequence = sequence
            stamp.blockOffset += UInt64(block * 512)
            let start = block * 512
            stamp.fill(UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + 512]))
          }
          switch (Self.judge(memory), mask) {
          case (.blank, 0): #expect(former == nil)
          case (.whole(let stamp), 0): #expect(stamp.sequence == former)
          case (.whole(let stamp), 15): #expect(stamp.sequence == 3)
          case (.torn(let readings), 1..<15): #expect(readings.count == 4)
          case (let verdict, _): Issue.record("\(mask) after \(former ?? 0): \(verdict)")
          }
        }
      }
    }
  }

  @Test func anotherWriterOfTheSameNumberIsAnotherWrite() {
    Self.withMemory(2048) { memory in
      StampedRange.fill(memory, blockBytes: 512, Self.stamp)
      #expect(Self.judge(memory) == .whole(Self.stamp))
      var other = Self.stamp
      (other.writer, other.blockOffset) = (2, 4096 + 512)
      other.fill(UnsafeMutableRawBufferPointer(rebasing: memory[512..<1024]))
      guard case .torn = Self.judge(memory) else {
        Issue.record("not torn")
        return
      }
    }
  }

  @Test(arguments: ["run", "place", "start", "length", "damage"])
  func whatDoesNotBelongThereIsWrong(what: String) {
    Self.withMemory(2048) { memory in
      StampedRange.fill(memory, blockBytes: 512, Self.stamp)
      var stamp = Self.stamp
      stamp.blockOffset = 4096 + 1024
      switch what {
      case "run": stamp.run += 1
      case "place": stamp.blockOffset += 512
      case "start": stamp.writeOffset -= 512
      case "length": stamp.writeBytes *= 2
      default: break
      }
      stamp.fill(UnsafeMutableRawBufferPointer(rebasing: memory[1024..<1536]))
      if what == "damage" { memory[1100] ^= 1 }
      guard case .wrong(block: 2, _) = Self.judge(memory) else {
        Issue.record("\(what): \(Self.judge(memory))")
        return
      }
    }
  }

  /// A read of the middle of a write, which begins elsewhere.
  @Test func aPartOfAWriteIsHeldToTheWholeOfIt() {
    Self.withMemory(2048) { memory in
      StampedRange.fill(memory, blockBytes: 512, Self.stamp)
      let part = UnsafeMutableRawBufferPointer(rebasing: memory[512..<1536])
      func judge(_ write: Range<UInt64>) -> StampedRange.Verdict {
        StampedRange.judge(part, blockBytes: 512, at: 4608, run: 7, partOf: write)
      }
      guard case .whole(let stamp) = judge(4096..<6144) else {
        Issue.record("not whole")
        return
      }
      #expect(stamp.blockOffset == 4608 && stamp.sequence == 3)
      for wrong in [4096..<5632, 4608..<6656, 4608..<5632] as [Range<UInt64>] {
        guard case .wrong(block: 0, _) = judge(wrong) else {
          Issue.record("\(wrong): \(judge(wrong))")
          continue
        }
      }
      var other = Self.stamp
      (other.sequence, other.blockOffset) = (4, 5120)
      other.fill(UnsafeMutableRawBufferPointer(rebasing: memory[1024..<1536]))
      guard case .torn = judge(4096..<6144) else {
        Issue.record("not torn")
        return
      }
    }
  }
}
