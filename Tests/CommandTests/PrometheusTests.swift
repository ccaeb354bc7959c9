import Foundation
import NVMeAtomic
import SystemPackage
import TestSupport
import Testing

@testable import nvme_atomic

/// The metrics of `probe --prometheus`.
@Suite struct PrometheusTests {
  private static func text(_ reports: [TargetReport]) -> String {
    ProbePrometheus(kernelRelease: "7.3.4", targets: reports).rendered
  }

  /// Every fixture, and each of some with every fact failing from some call on, as one machine.
  private static let fleet: [TargetReport] = {
    let question = Question(.everyPage(sizeBytes: 16384), writer: .rwfAtomic)
    let one = Question(.one(offsetBytes: 8192, lengthBytes: 8192), writer: .direct)
    var reports = FixtureTarget.all.map { $0.report(answering: question) }
    for target in FixtureTarget.kinds {
      let machine = FixtureMachine(target.world)
      _ = TargetProbe.report(on: target.path, machine)
      reports += stride(from: 0, to: machine.calls.count, by: 6).map { index in
        let harmed = FixtureMachine(target.world, fault: .callsFrom(index, .ioError))
        return TargetProbe.report(on: target.path, answering: one, harmed)
      }
    }
    for index in reports.indices { reports[index].path = "/dev/fixture\(index)" }
    return reports
  }()

  // MARK: What is written

  @Test(arguments: ProbeGoldenTests.rows)
  func metricsAreAsRecorded(row: ProbeGoldenTests.Row) throws {
    let text = Self.text([try row.report()]).replacing(
      "version=\"\(NVMeAtomicCommand.version)\"",
      with: "version=\"VERSION\""
    )
    try Snapshot.check(text, "probe-\(row).prom")
  }

  @Test func everyFamilyStandsInOnePlace() throws {
    let exposition = try Exposition(Self.text(Self.fleet))
    #expect(exposition.families.count >= 25)
    #expect(Set(exposition.families).count == exposition.families.count)
    #expect(exposition.families.allSatisfy { $0.hasPrefix("nvme_atomic_") })
    #expect(Set(exposition.series.map(\.text)).count == exposition.series.count)
  }

  /// The number is the report's, and absent where the report has none.
  @Test func unknownIsAbsentAndNeverZero() throws {
    let exposition = try Exposition(Self.text(Self.fleet))
    for report in Self.fleet {
      func value(_ name: String) -> UInt64? { exposition.value(name, report.path) }
      let isFailed = report.error != nil
      #expect(value("probe_success") == (isFailed ? 0 : 1))
      #expect(value("torn_free_bytes") == (isFailed ? nil : report.limits.tornFreeBytes))
      let only = report.namespaces.count == 1 ? report.namespaces.first : nil
      let drive = (only?.drive ?? report.limits.drive).limits
      #expect(value("device_power_fail_bytes") == drive?.powerFailBytes)
      #expect(value("device_max_transfer_bytes") == drive?.maximumTransferBytes)
      #expect(value("queue_unit_max_bytes") == report.queue.atomicWriteUnitMaxBytes)
      let kernel = isFailed ? nil : report.kernelPath.available
      #expect(value("kernel_available") == kernel.map { $0 ? 1 : 0 })
      #expect(value("kernel_max_bytes") == kernel.flatMap { _ in report.kernelPath.maximumBytes })
      #expect(value("answer") == report.answer?.isAtomic.map { $0 ? 1 : 0 })
      let series = exposition.series(of: report.path)
      #expect(series.filter { $0.name == "nvme_atomic_known" }.count == (isFailed ? 0 : 3))
      let below = series.filter { $0.name == "nvme_atomic_namespace_info" }
      #expect(below.count == report.namespaces.count)
      let states = series.filter { $0.name == "nvme_atomic_answer_state" }
      #expect(states.map(\.value).reduce(0, +) == (report.answer == nil ? 0 : 1))
    }
  }

  /// A target that failed is told in full, and takes nothing from the others.
  @Test func aFailedTargetLeavesTheOthersWhole() throws {
    let good = try #require(FixtureTarget.named("namespace")).report()
    let bad = try #require(FixtureTarget.named("missing")).report()
    let lines = Set(Self.text([good, bad]).split(separator: "\n"))
    #expect(lines.isSuperset(of: Self.text([good]).split(separator: "\n")))
    #expect(lines.contains(#"nvme_atomic_probe_success{device="/dev/nvme9n1"} 0"#))
    #expect(
      lines.contains(#"nvme_atomic_probe_failure{device="/dev/nvme9n1",code="not-found"} 1"#)
    )
  }

  @Test func noTargetIsStillADocument() throws {
    #expect(try Exposition(Self.text([])).families == ["nvme_atomic_tool_info"])
  }

  @Test func aTargetNamedTwiceIsWrittenOnce() throws {
    let report = try #require(FixtureTarget.named("namespace")).report()
    #expect(Self.text([report, report]) == Self.text([report]))
  }

  @Test func aFindingMadeTwiceIsOneSeries() throws {
    var report = try #require(FixtureTarget.named("namespace-4k-cached")).report()
    let once = Self.text([report])
    report.findings += report.findings
    #expect(Self.text([report]) == once)
  }

  static let strange = "/mnt/\"q\\\u{1}\u{7f}é🦊\\n\n\r{}=,"

  @Test func labelsAreEscaped() throws {
    var report = try #require(FixtureTarget.named("missing")).report()
    report.path = Self.strange
    let text = Self.text([report])
    #expect(text.contains(#"device="/mnt/\"q\\"# + "\u{1}\u{7f}é🦊" + #"\\n\n"# + "\r{}=,\""))
    #expect(try Exposition(text).value("probe_success", Self.strange) == 0)
  }

  // MARK: What Prometheus makes of it

  @Test func promtoolIsThereWhenItIsRequired() {
    #expect(!Checker.areRequired || Checker.promtool != nil, "Tests/run fetches promtool")
  }

  private static func promtool(_ text: String) throws -> Checker {
    try Checker(try #require(Checker.promtool), ["check", "metrics"], input: text)
  }

  @Test(.enabled(if: Checker.promtool != nil, "promtool is not here: run Tests/run"))
  func promtoolTakesEverything() throws {
    var reports = Self.fleet
    reports[0].path = Self.strange
    for text in [Self.text(reports), Self.text([]), Self.text([reports[1]])] {
      let promtool = try Self.promtool(text)
      #expect(promtool.status == 0, "\(promtool.output)\(promtool.errors)")
      #expect(promtool.output + promtool.errors == "")
    }
  }

  /// What is wrong on purpose is refused, so that taking means something.
  @Test(
    .enabled(if: Checker.promtool != nil, "promtool is not here: run Tests/run"),
    arguments: [
      ("\"} 1\n", "\"} one\n"), ("_success gauge\n", "_success gouge\n"),
      ("# HELP nvme_atomic_probe_success", "# HELP nvme_atomic_nothing"), ("\"} 1\n", "} 1\n"),
      ("nvme_atomic_probe_success{", "nvme_atomic_probe success{"),
    ]
  )
  func promtoolRefusesASpoiledDocument(old: String, new: String) throws {
    let text = Self.text([try #require(FixtureTarget.named("namespace")).report()])
    let spoiled = text.replacing(old, with: new, maxReplacements: 1)
    #expect(spoiled != text)
    let promtool = try Self.promtool(spoiled)
    #expect(promtool.status != 0, "\(new)")
  }
}

/// Text format 0.0.4, read by its grammar and no wider.
struct Exposition {
  struct Series {
    var text: String
    var name: String
    var labels: [String: String]
    var value: UInt64
  }

  struct Malformed: Error {
    var line: Substring
  }

  private(set) var families: [String] = []
  private(set) var series: [Series] = []
  private var places: [String: [Int]] = [:]

  init(_ text: String) throws {
    guard text.hasSuffix("\n") else { throw Malformed(line: text.suffix(20)) }
    var help = ""
    for line in text.dropLast().split(separator: "\n", omittingEmptySubsequences: false) {
      let words = line.split(separator: " ", maxSplits: 3)
      if line.hasPrefix("# HELP "), words.count == 4 {
        help = String(words[2])
      } else if line.hasPrefix("# TYPE "), words.count == 4, words[3] == "gauge", words[2] == help {
        families.append(help)
      } else {
        try add(line)
      }
    }
  }

  func series(of device: String) -> [Series] { (places[device] ?? []).map { series[$0] } }

  /// The first series of a device by this name.
  func value(_ name: String, _ device: String) -> UInt64? {
    series(of: device).first { $0.name == "nvme_atomic_" + name }?.value
  }

  private mutating func add(_ line: Substring) throws {
    let name = line.prefix { $0.isASCII && ($0.isLetter || $0 == "_") }
    guard String(name) == families.last, let space = line.lastIndex(of: " "),
      let value = UInt64(line[line.index(after: space)...])
    else { throw Malformed(line: line) }
    var rest = Array(line[name.endIndex..<space].unicodeScalars)[...]
    var labels: [String: String] = [:]
    if rest.popFirst() == "{" {
      while true {
        let label = rest.prefix { $0 != "=" }
        rest = rest.dropFirst(label.count + 1)
        guard rest.popFirst() == "\"" else { throw Malformed(line: line) }
        labels[String(String.UnicodeScalarView(label))] = try Self.string(&rest, line)
        let end = rest.popFirst()
        if end == "}" { break }
        guard end == "," else { throw Malformed(line: line) }
      }
    }
    guard rest.isEmpty else { throw Malformed(line: line) }
    series.append(
      Series(text: String(line[..<space]), name: String(name), labels: labels, value: value)
    )
    places[labels["device"] ?? "", default: []].append(series.count - 1)
  }

  private static func string(
    _ rest: inout ArraySlice<Unicode.Scalar>,
    _ line: Substring
  ) throws -> String {
    var text = String.UnicodeScalarView()
    while let scalar = rest.popFirst() {
      switch scalar {
      case "\"": return String(text)
      case "\\":
        switch rest.popFirst() {
        case "n"?: text.append("\n")
        case let next? where next == "\\" || next == "\"": text.append(next)
        default: throw Malformed(line: line)
        }
      default: text.append(scalar)
      }
    }
    throw Malformed(line: line)
  }
}
