import Glibc
import Testing

/// SplitMix64 (Steele, Lea and Flood, 2014): a seed decides everything, on every machine.
struct SplitMix64 {
  private var state: UInt64

  init(_ seed: UInt64) {
    state = seed
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  /// A number from 0 up to, and without, `bound`.
  mutating func below(_ bound: UInt64) -> UInt64 { next() % bound }

  /// True once in `odds` times.
  mutating func once(in odds: UInt64) -> Bool { below(odds) == 0 }

  mutating func pick<Element>(_ elements: [Element]) -> Element {
    elements[Int(below(UInt64(elements.count)))]
  }

  mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next()) }
}

/// What a random test starts from: a few fixed seeds, or the one that `NVME_ATOMIC_SEED` names.
struct Seed: Hashable, Sendable, CustomTestStringConvertible {
  let value: UInt64

  var generator: SplitMix64 { SplitMix64(value) }

  var testDescription: String { "seed \(value)" }

  /// How to run a failing case again.
  var replay: String {
    "replay with NVME_ATOMIC_SEED=\(value) swift test --disable-xctest --filter NVMeAtomicTests"
  }

  /// `count` seeds, or the one asked for: a decimal number or a commit hash.
  static func some(_ count: UInt64) -> [Seed] {
    guard let text = getenv("NVME_ATOMIC_SEED").map({ String(cString: $0) }) else {
      return (1...count).map(Seed.init)
    }
    guard let value = UInt64(text) ?? UInt64(text.prefix(16), radix: 16) else {
      fatalError("NVME_ATOMIC_SEED is neither a decimal number nor a hash: \(text)")
    }
    return [Seed(value: value)]
  }
}
