/// A question to a probe: is this write, by this writer, kept whole over a power failure?
public struct Question: Hashable, Sendable {
  /// Which bytes.
  public var range: WriteRequest.Range
  /// Who writes.
  public var writer: Writer
  /// Whether an assumption counts as a no.
  public var isStrict: Bool

  /// Asks about power-fail atomicity.
  public init(_ range: WriteRequest.Range, writer: Writer, isStrict: Bool = false) {
    self.range = range
    self.writer = writer
    self.isStrict = isStrict
  }
}

/// The answer to a ``Question``. Doubt is reported, never rounded up.
public struct Answer: Hashable, Sendable {
  /// The question.
  public var question: Question
  /// `nil` when a fact is missing.
  public var isAtomic: Bool?
  /// The path that keeps the write whole, where one does.
  public var path: WritePath?
  /// Who keeps it, where the answer is yes.
  public var backing: Backing?
  /// Whether the yes rests on an expectation that nobody specifies.
  public var isAssumed: Bool
  /// Why, in one sentence.
  public var because: String
  /// Where the range lay when it was looked at, which everything said of it rests on; `nil` unless
  /// the question was about one range of a file.
  public var mapping: FileMapping?

  init(
    _ question: Question,
    about target: TargetLimits,
    placed placement: RangePlacement? = nil
  ) {
    let plan = Planner(target, placed: placement)
      .plan(WriteRequest(question.range, writer: question.writer))
    self.question = question
    mapping = placement?.mapping
    isAssumed = false
    let (candidate, verdict): (WritePath, PathVerdict) =
      question.writer == .rwfAtomic ? (.kernel, plan.kernel) : (.plain, plan.plain)
    switch verdict {
    case .fails(let refusal):
      isAtomic = false
      because = refusal.description
    case .unknown(let fact):
      isAtomic = nil
      because = fact.description
    case .holds(let promise):
      let doubt = promise.assumptions.first { $0.isDoubt }
      let assumption = promise.assumptions.first
      isAtomic = doubt != nil ? nil : question.isStrict && assumption != nil ? false : true
      because = (doubt ?? assumption)?.description ?? promise.backing.because
      if isAtomic == true {
        (path, backing) = (candidate, promise.backing)
        isAssumed = assumption != nil
      }
      if isAssumed { because = "\(promise.backing.because); \(because)" }
    }
    if let clause = placement?.clause(for: verdict, writer: question.writer, target) {
      because += "; \(clause)"
    }
  }
}

extension Backing {
  var because: String {
    switch self {
    case .hardware: "the drive keeps one command of this size whole"
    case .software: "XFS writes it elsewhere and moves the blocks in its log"
    case .mixed: "the drive keeps it whole, or XFS does in software, depending on the range"
    case .unknown: "the drive keeps it whole, or XFS does in software"
    }
  }
}
