import TestSupport
import Testing

@testable import NVMeAtomic

/// Who writes decides: each writer's answer on each kind of target, with its reason.
@Suite struct AnswerTests {
  enum Expected: Sendable { case yes, assumed, no, unknown }

  struct Row: Sendable, CustomStringConvertible {
    var target: String
    var writer: Writer
    var range: WriteRequest.Range
    var expected: Expected
    /// Part of the reason.
    var says: String

    var description: String { "\(target) \(writer) \(range)" }

    /// Every page of a size.
    init(
      _ target: String,
      _ writer: Writer,
      _ page: UInt64,
      _ expected: Expected,
      _ says: String
    ) {
      self.init(target, writer, .everyPage(sizeBytes: page), expected, says)
    }

    /// One write.
    init(
      _ target: String,
      _ writer: Writer,
      at offset: UInt64,
      _ length: UInt64,
      _ expected: Expected,
      _ says: String
    ) {
      self.init(target, writer, .one(offsetBytes: offset, lengthBytes: length), expected, says)
    }

    private init(
      _ target: String,
      _ writer: Writer,
      _ range: WriteRequest.Range,
      _ expected: Expected,
      _ says: String
    ) {
      (self.target, self.writer, self.range) = (target, writer, range)
      (self.expected, self.says) = (expected, says)
    }
  }

  private static func answer(_ row: Row, isStrict: Bool) throws -> Answer {
    let target = try #require(FixtureTarget.named(row.target))
    let question = Question(row.range, writer: row.writer, isStrict: isStrict)
    return try #require(target.report(answering: question).answer)
  }

  @Test(arguments: directRows + atomicRows + singleWriteRows + stackRows)
  func answerIsAsDesigned(row: Row) throws {
    let answer = try Self.answer(row, isStrict: false)
    let isYes = row.expected == .yes || row.expected == .assumed
    #expect(answer.isAtomic == (isYes ? true : row.expected == .no ? false : nil))
    #expect(answer.isAssumed == (row.expected == .assumed))
    #expect(answer.because.contains(row.says), "\(answer.because)")
    #expect(answer.path == (!isYes ? nil : row.writer == .direct ? .plain : .kernel))
    #expect((answer.backing != nil) == isYes)
    #expect(!answer.because.contains("\n"))
  }

  /// Strict takes an assumption for a no, and changes nothing else.
  @Test(arguments: directRows + atomicRows + singleWriteRows + stackRows)
  func strictCountsAnAssumptionAsANo(row: Row) throws {
    let strict = try Self.answer(row, isStrict: true)
    #expect(!strict.isAssumed)
    switch row.expected {
    case .yes: #expect(strict.isAtomic == true)
    case .assumed, .no: #expect(strict.isAtomic == false)
    case .unknown: #expect(strict.isAtomic == nil)
    }
    #expect(strict.because.contains(row.says), "\(strict.because)")
  }

  @Test(arguments: FixtureTarget.all.filter { $0.report().error == nil })
  func bufferedIsAlwaysNo(target: FixtureTarget) throws {
    for range in Claims.ranges {
      let question = Question(range, writer: .buffered)
      let answer = try #require(target.report(answering: question).answer)
      #expect(answer.isAtomic == false)
      #expect(answer.path == nil)
      #expect(answer.because.contains("page-cache") || answer.because.contains("not use this path"))
    }
  }

  /// Exchange, journal and passthrough never make it yes for another program.
  @Test func passthroughMakesNothingAYes() throws {
    let target = try #require(FixtureTarget.named("namespace-boundary-offset"))
    let report = target.report()
    #expect(report.passthroughPath.maximumBytes == 16384)
    for question in Claims.questions where question.writer == .rwfAtomic {
      #expect(Answer(question, about: report.limits).isAtomic != true)
    }
  }

  @Test func withoutAQuestionThereIsNoAnswer() throws {
    #expect(try #require(FixtureTarget.named("namespace")).report().answer == nil)
  }

  @Test(
    arguments: [
      ("xfs", 16384, .mixed), ("xfs", 1 << 20, .software), ("xfs-software", 4096, .software),
      ("xfs-on-loop", 4096, .software), ("xfs-no-reflink", 4096, .hardware),
      ("ext4", 4096, .hardware), ("namespace", 16384, .hardware),
    ] as [(String, UInt64, Backing)]
  )
  func yesNamesWhoKeepsIt(name: String, page: UInt64, backing: Backing) throws {
    let question = Question(.everyPage(sizeBytes: page), writer: .rwfAtomic)
    let answer = try #require(FixtureTarget.named(name)).report(answering: question).answer
    #expect(answer?.isAtomic == true)
    #expect(answer?.backing == backing)
  }
}
