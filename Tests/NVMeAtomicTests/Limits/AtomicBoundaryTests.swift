import Testing

@testable import NVMeAtomic

/// NVM Command Set 1.2, section 2.1.4.4, line by line: a line at every *offset + y × size*, y ≥ 0.
private func isCut(start: UInt64, length: UInt64, size: UInt64, offset: UInt64) -> Bool {
  var line = offset
  while line < start + length {
    if line > start { return true }
    line += size
  }
  return false
}

/// Every page from `start` on, over several periods of page and lines together.
private func isAnyPageCut(page: UInt64, start: UInt64, size: UInt64, offset: UInt64) -> Bool {
  let end = max(start, offset) + 2 * page * size
  return stride(from: start, to: end, by: UInt64.Stride(page)).contains {
    isCut(start: $0, length: page, size: size, offset: offset)
  }
}

@Suite struct AtomicBoundaryTests {
  @Test func noSizeIsNoBoundary() {
    #expect(AtomicBoundary(sizeBytes: 0) == nil)
    #expect(AtomicBoundary(sizeBytes: 0, offsetBytes: 512) == nil)
    #expect(AtomicBoundary(sizeBytes: 1) != nil)
  }

  @Test(arguments: 1...9 as ClosedRange<UInt64>)
  func aRangeIsInsideWhenNoLineLiesWithinIt(size: UInt64) throws {
    for offset in 0...size {
      let boundary = try #require(AtomicBoundary(sizeBytes: size, offsetBytes: offset))
      for start in 0...3 * size {
        for length in 0...size + 2 {
          let inside = !isCut(start: start, length: length, size: size, offset: offset)
          if boundary.contains(startBytes: start, lengthBytes: length) != inside {
            Issue.record("\(start)+\(length), lines \(offset)+y*\(size): inside is \(inside)")
          }
        }
      }
    }
  }

  /// NABO may not exceed the boundary size; where it does, the lines are taken to go on below it.
  @Test(arguments: 1...5 as ClosedRange<UInt64>)
  func anOffsetBeyondTheSizeIsTakenWithCare(size: UInt64) throws {
    for offset in size...3 * size {
      let boundary = try #require(AtomicBoundary(sizeBytes: size, offsetBytes: offset))
      for start in 0...4 * size {
        for length in 0...size + 2
        where boundary.contains(startBytes: start, lengthBytes: length) {
          #expect(
            !isCut(start: start, length: length, size: size, offset: offset),
            "\(start)+\(length), lines \(offset)+y*\(size)"
          )
        }
      }
    }
  }

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func everyPageIsInsideWhenEachIs(size: UInt64) throws {
    for offset in 0...size + 2 {
      let boundary = try #require(AtomicBoundary(sizeBytes: size, offsetBytes: offset))
      for page in 1...size + 2 {
        for start in 0...page + 1 {
          let inside = !isAnyPageCut(page: page, start: start, size: size, offset: offset)
          if boundary.containsEveryPage(ofBytes: page, fromBytes: start) != inside {
            Issue.record("pages \(start)+k*\(page), lines \(offset)+y*\(size): \(inside)")
          }
        }
      }
    }
  }

  @Test(arguments: [1, 2, 3, 4, 6, 8, 12] as [UInt64])
  func theLargestPageIsFoundByTryingAll(size: UInt64) throws {
    for offset in 0...size {
      let boundary = try #require(AtomicBoundary(sizeBytes: size, offsetBytes: offset))
      for start in 0...size + 1 {
        let whole = ([1, 2, 4, 8, 16] as [UInt64]).filter {
          !isAnyPageCut(page: $0, start: start, size: size, offset: offset)
        }
        for limit in 0...17 as ClosedRange<UInt64> {
          let largest = whole.last { $0 <= limit } ?? 0
          if boundary.largestPage(upToBytes: limit, fromBytes: start) != largest {
            Issue.record("start \(start), lines \(offset)+y*\(size), limit \(limit): \(largest)")
          }
        }
      }
    }
  }

  @Test func anEmptyRangeAndAnEmptyPageAreInside() throws {
    let boundary = try #require(AtomicBoundary(sizeBytes: 4096, offsetBytes: 512))
    for start in [0, 511, 512, 513, .max] as [UInt64] {
      #expect(boundary.contains(startBytes: start, lengthBytes: 0))
      #expect(boundary.containsEveryPage(ofBytes: 0, fromBytes: start))
    }
  }

  @Test func aRangeBeyondTheLastAddressIsNotInside() throws {
    let boundary = try #require(AtomicBoundary(sizeBytes: .max))
    #expect(boundary.contains(startBytes: .max - 1, lengthBytes: 1))
    #expect(!boundary.contains(startBytes: .max - 1, lengthBytes: 3))
    #expect(!boundary.contains(startBytes: .max, lengthBytes: .max))
  }

  /// The last address of all lies in the last window of all.
  @Test func noAddressTraps() async {
    await #expect(processExitsWith: .success) {
      for size in [1, 2, 3, 1 << 63, .max] as [UInt64] {
        for offset in [0, 1, 1 << 63, .max] as [UInt64] {
          let boundary = AtomicBoundary(sizeBytes: size, offsetBytes: offset)
          for start in [0, 1, 1 << 63, .max - 1, .max] as [UInt64] {
            _ = boundary?.contains(startBytes: start, lengthBytes: 1)
            _ = boundary?.containsEveryPage(ofBytes: 1 << 63, fromBytes: start)
            _ = boundary?.largestPage(upToBytes: .max, fromBytes: start)
          }
        }
      }
    }
  }
}
