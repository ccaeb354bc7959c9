import NVMeAtomic

/// What a power failure may leave: every write that is not certain to survive is there, not there,
/// or torn where nobody keeps it whole.
package struct PowerCut {
  /// The bytes of the namespace afterwards.
  package private(set) var image: [UInt8] = []
  private let drive: SimulatedDrive

  package init(_ drive: SimulatedDrive) {
    self.drive = drive
  }

  /// How many ways there are, `nil` for more than `most`: writes that are kept whole have two, of
  /// others each block.
  package func ways(upTo most: Int) -> Int? {
    var ways = 1
    for write in drive.writes where write.state != .stable {
      let blocks = isWhole(write) ? 1 : write.bytes.count / drive.geometry.blockBytes
      guard blocks < 20 else { return nil }
      ways *= 1 << blocks
      if ways > most { return nil }
    }
    return ways
  }

  /// The image of one way, numbered below ``ways(upTo:)``.
  package mutating func take(way: Int) {
    var rest = UInt64(way)
    take { bits in
      defer { rest >>= UInt64(bits) }
      return rest & (1 << UInt64(bits) - 1)
    }
  }

  /// The image of a way that chance chooses: often all or nothing of a write, as torn ones are few.
  mutating func take(_ random: inout SplitMix64) {
    take { bits in
      switch random.below(4) {
      case 0: return 0
      case 1: return .max
      default: return random.next()
      }
    }
  }

  /// `choose` gives so many bits, the lowest for the first block.
  mutating func take(_ choose: (Int) -> UInt64) {
    image = drive.base
    let block = drive.geometry.blockBytes
    for write in drive.writes {
      let blocks = write.bytes.count / block
      var kept = UInt64.max
      if write.state != .stable {
        kept = isWhole(write) ? (choose(1) & 1 == 1 ? .max : 0) : choose(min(blocks, 63))
      }
      for number in 0..<blocks where kept >> UInt64(min(number, 63)) & 1 == 1 {
        put(write, number, block)
      }
    }
  }

  private mutating func put(_ write: SimulatedDrive.Write, _ number: Int, _ block: Int) {
    var place = write.firstBlock + number
    if drive.lie == .misdirects, write.state != .stable, number == 0 {
      place = (place + 1) % drive.geometry.blocks
    }
    let source = write.bytes[number * block..<(number + 1) * block]
    image.replaceSubrange(place * block..<(place + 1) * block, with: source)
    if drive.lie == .corrupts, write.state != .stable { image[place * block + block / 2] ^= 0xff }
  }

  private func isWhole(_ write: SimulatedDrive.Write) -> Bool {
    if drive.lie == .tearsUnits { return false }
    if write.state == .cached, drive.geometry.tearsCached { return false }
    return write.isWhole
  }
}
