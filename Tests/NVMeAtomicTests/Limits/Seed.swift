import Glibc
import Testing

@testable import NVMeAtomic

extension SplitMix64 {
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
