import TestSupport

@testable import NVMeAtomic

/// Everything a report says yes to: what a fault may take away and never add to.
struct Claims {
  var tornFreeBytes: UInt64?
  var kernelMaximumBytes: UInt64?
  var passthroughMaximumBytes: UInt64?
  /// One per element of ``questions``.
  var answers: [Strength]
  /// Whether a durable atomic write is promised without an assumption, one per element of
  /// ``ranges``.
  var promises: [Bool]

  enum Strength: Int, Comparable {
    case none, assumed, plain

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  }

  init(_ limits: TargetLimits) {
    tornFreeBytes = limits.tornFreeBytes
    kernelMaximumBytes = KernelPathLimits(limits).maximumBytes
    passthroughMaximumBytes = PassthroughPathLimits(limits).maximumBytes
    answers = Self.questions.map { question in
      let answer = Answer(question, about: limits)
      return answer.isAtomic != true ? .none : answer.isAssumed ? .assumed : .plain
    }
    promises = Self.ranges.map { Self.isPromised($0, limits) }
  }

  private static func isPromised(_ range: WriteRequest.Range, _ limits: TargetLimits) -> Bool {
    do throws(AtomicWriteError) {
      _ = try AtomicWriter.promise(for: range, on: limits, durability: .onReturn, isStrict: true)
      return true
    } catch {
      return false
    }
  }

  /// Pages of 512 B to 1 MiB, and single writes on lines, across them, and around the end of the
  /// fixtures' devices and partitions.
  static let ranges: [WriteRequest.Range] =
    (9...20).map { .everyPage(sizeBytes: 1 << $0) } + [.everyPage(sizeBytes: 12288)]
    + ([
      (0, 16384), (4096, 16384), (16384, 16384), (12288, 8192), (512, 512), (1 << 30, 4096),
      ((1 << 30) - 4096, 8192), ((1 << 29) - 4096, 4096), ((1 << 29) - 4096, 8192),
    ] as [(UInt64, UInt64)]).map { .one(offsetBytes: $0.0, lengthBytes: $0.1) }

  static let questions: [Question] =
    ranges.flatMap { range in
      [Question(range, writer: .direct), Question(range, writer: .rwfAtomic)]
    } + [Question(.everyPage(sizeBytes: 4096), writer: .buffered)]

  /// What these claim that `truth` does not. Nothing known, or nothing promised, claims nothing.
  func excess(over truth: Claims) -> [String] {
    let limits: [(String, UInt64?, UInt64?)] = [
      ("torn-free", tornFreeBytes, truth.tornFreeBytes),
      ("kernel path", kernelMaximumBytes, truth.kernelMaximumBytes),
      ("passthrough path", passthroughMaximumBytes, truth.passthroughMaximumBytes),
    ]
    let larger = limits.filter { ($0.1 ?? 0) > ($0.2 ?? 0) }.map { name, claimed, known in
      "\(name) \(claimed ?? 0) instead of \(known.map(String.init) ?? "unknown")"
    }
    let answered = Self.questions.indices.filter { answers[$0] > truth.answers[$0] }.map {
      "\(answers[$0]) yes to \(Self.questions[$0].writer) \(Self.questions[$0].range)"
    }
    let promised = Self.ranges.indices.filter { promises[$0] && !truth.promises[$0] }.map {
      "promises \(Self.ranges[$0])"
    }
    return larger + answered + promised
  }
}

extension TargetLimits {
  /// Without the words, on which no claim depends.
  fileprivate var withoutWords: TargetLimits {
    var limits = self
    if case .unknown(.identify) = drive { limits.drive = .unknown(.identify("")) }
    if passthroughObstacle != nil || passthroughUser != nil || sharing != nil {
      (limits.passthroughObstacle, limits.passthroughUser, limits.sharing) = ("", nil, nil)
    }
    if stack?.doubt != nil { limits.stack?.doubt = .layer("") }
    for (index, foundation) in (stack?.foundations ?? []).enumerated() {
      guard case .unknown(.identify) = foundation.drive else { continue }
      limits.stack?.foundations[index].drive = .unknown(.identify(""))
    }
    return limits
  }
}

/// Probes one target again and again with faults, and compares what is claimed.
final class FaultComparison {
  let target: FixtureTarget
  /// What an unharmed machine was asked.
  let calls: [FixtureCall]
  let truth: Claims
  let report: TargetReport

  private var known: [TargetLimits: [String]] = [:]

  init(_ target: FixtureTarget) {
    self.target = target
    let machine = FixtureMachine(target.world)
    report = TargetProbe.report(on: target.path, machine)
    calls = machine.calls
    truth = Claims(report.limits)
    known[report.limits.withoutWords] = []
  }

  func report(_ fault: FixtureFault) -> TargetReport {
    TargetProbe.report(on: target.path, FixtureMachine(target.world, fault: fault))
  }

  /// What a report claims too much. Limits decide all claims, so equal ones are judged once.
  func excess(_ limits: TargetLimits) -> [String] {
    let limits = limits.withoutWords
    if let excess = known[limits] { return excess }
    let excess = Claims(limits).excess(over: truth)
    known[limits] = excess
    return excess
  }

  /// Some of the claims that faults add.
  func excess(_ faults: [FixtureFault]) -> [String] {
    let found = faults.flatMap { fault in
      excess(report(fault).limits).prefix(1).map { "\(fault): \($0)" }
    }
    return Array(found.prefix(4))
  }

  /// Every text that was read, cut at every byte.
  ///
  /// Left out: cuts within a run of blanks, one being like another, and between the lines of a
  /// table, where the rest is a whole, shorter table.
  var cuts: [FixtureFault] {
    let paths = Set(calls.filter { $0.kind == .text }.map(\.argument)).sorted()
    return paths.flatMap { path in
      let bytes = Array(((try? target.world.tree.text(of: path)) ?? "").utf8)
      let blank = UInt8(ascii: " ")
      return bytes.indices.filter { index in
        guard index > 0 else { return true }
        return bytes[index - 1] != UInt8(ascii: "\n")
          && (bytes[index] != blank || bytes[index - 1] != blank)
      }.map { FixtureFault.cut(path: path, bytes: $0) }
    }
  }
}
