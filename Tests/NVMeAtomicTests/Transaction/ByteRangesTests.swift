import Testing

@testable import NVMeAtomic

/// Sets of bytes against sets of numbers.
@Suite struct ByteRangesTests {
  private static let most: UInt64 = 64

  private static func set(_ ranges: ByteRanges) -> Set<UInt64> {
    Set(ranges.all.flatMap { Array($0) })
  }

  @Test(arguments: Seed.some(4))
  func everySetIsTheSetOfItsBytes(seed: Seed) {
    var random = seed.generator
    for _ in 0..<200 {
      var (ranges, model) = (ByteRanges(), Set<UInt64>())
      for _ in 0..<12 {
        let begin = random.next() % Self.most
        let range = begin..<begin + random.next() % 9
        ranges.insert(range)
        model.formUnion(range)
        #expect(Self.set(ranges) == model, "\(seed.replay)")
        #expect(ranges.byteCount == UInt64(model.count))
        #expect(ranges.isEmpty == model.isEmpty)
        #expect(ranges.hull?.lowerBound == model.min())
        #expect(ranges.hull?.upperBound == model.max().map { $0 + 1 })
        let apart = zip(ranges.all, ranges.all.dropFirst()).allSatisfy {
          $0.upperBound < $1.lowerBound
        }
        #expect(apart, "\(ranges.all)")
      }
      let begin = random.next() % Self.most
      let asked = begin..<begin + random.next() % 30
      #expect(ranges.contains(asked) == model.isSuperset(of: asked))
      let pieces = ranges.pieces(of: asked)
      #expect(pieces.flatMap { Array($0.range) } == Array(asked))
      for piece in pieces {
        #expect(!piece.range.isEmpty)
        #expect(piece.range.allSatisfy { model.contains($0) == piece.isIn })
      }
      let unit = 1 + random.next() % 7
      let rounded = Set(model.flatMap { $0 / unit * unit..<($0 / unit + 1) * unit })
      #expect(Self.set(ranges.rounded(toUnit: unit)) == rounded)
    }
  }

  @Test func theLastUnitDoesNotOverflow() {
    #expect((UInt64.max - 1..<UInt64.max).rounded(toUnit: 4096).upperBound == .max)
  }
}
