import Foundation
import LinuxIO
import TestSupport

@testable import NVMeAtomic
@testable import nvme_atomic

/// A probe of one of the machines that the tests have, some of whose texts and fields say anything;
/// and what is printed of it.
enum ProbeFuzzer {
  private struct Subject {
    var target: FixtureTarget
    /// Every text that a probe of it reads.
    var texts: [String]
  }

  private static let subjects: [Subject] = FixtureTarget.all.map { target in
    let machine = FixtureMachine(target.world)
    _ = TargetProbe.report(on: target.path, machine)
    let texts = Set(machine.calls.filter { $0.kind == .text }.map(\.argument))
    return Subject(target: target, texts: texts.sorted())
  }

  static func run(_ input: inout FuzzInput) throws(Finding) {
    let subject = subjects[Int(input.byte()) % subjects.count]
    var world = subject.target.world
    let question = self.question(&input)
    while !input.isEmpty { change(&world, subject, &input) }
    let report = TargetProbe.report(
      on: subject.target.path,
      answering: question,
      FixtureMachine(world)
    )
    try checkLimits(report)
    try checkAnswer(report)
    try checkText(report)
    try checkJSON(report)
    try checkMetrics(report)
  }

  private static func question(_ input: inout FuzzInput) -> Question? {
    let choice = input.byte()
    let writer: Writer = choice & 1 == 0 ? .direct : .rwfAtomic
    switch choice >> 1 & 3 {
    case 0: return Question(.everyPage(sizeBytes: 1 << UInt64(choice >> 4)), writer: writer)
    case 1:
      return Question(.everyPage(sizeBytes: UInt64(input.number(UInt32.self))), writer: writer)
    case 2:
      let (offset, length) = (input.number(UInt64.self), input.number(UInt64.self))
      return Question(.one(offsetBytes: offset, lengthBytes: max(1, length)), writer: writer)
    default: return nil
    }
  }

  // MARK: What is made up

  private static func change(
    _ world: inout FixtureWorld,
    _ subject: Subject,
    _ input: inout FuzzInput
  ) {
    let (kind, which, count) = (input.byte(), Int(input.byte()), Int(input.byte()))
    switch kind % 4 {
    case 0, 1:
      guard !subject.texts.isEmpty else { return }
      let text = String(decoding: input.bytes(count), as: UTF8.self)
      // Whole lines are what reaches far.
      let path = subject.texts[which % subject.texts.count]
      world.tree.addText(path, kind % 4 == 0 ? text + "\n" : text)
    case 2:
      let tables = world.mapperTables.keys.sorted { "\($0)" < "\($1)" }
      guard !tables.isEmpty else { return }
      let text = String(decoding: input.bytes(count), as: UTF8.self)
      world.mapperTables[tables[which % tables.count]] = text + "\n"
    default:
      let paths = world.nodes.keys.sorted()
      guard !paths.isEmpty else { return }
      let path = paths[which % paths.count]
      guard let before = world.nodes[path]?.drive else { return }
      world.nodes[path]?.drive = drive(from: before, &input)
    }
  }

  private static func drive(from drive: FixtureDrive, _ input: inout FuzzInput) -> FixtureDrive {
    var drive = drive
    (drive.awun, drive.awupf) = (input.number(), input.number())
    (drive.nawun, drive.nawupf) = (input.number(), input.number())
    (drive.nabsn, drive.nabspf, drive.nabo) = (input.number(), input.number(), input.number())
    (drive.nsfeat, drive.mdts, drive.vwc) = (input.byte(), input.byte(), input.byte())
    (drive.nmic, drive.metadataBytes) = (input.byte(), UInt16(input.byte()))
    drive.lbaBytes = 1 << UInt64(input.byte() & 63)
    (drive.ntwpu, drive.ntwpg, drive.ntwpb) = (input.number(), input.number(), input.number())
    drive.writeAtomicityNormal = input.number()
    drive.model = String(decoding: input.bytes(Int(input.byte())), as: UTF8.self)
    return drive
  }

  // MARK: What holds

  /// What one layer says bounds what is promised by way of it.
  private static func checkLimits(_ report: TargetReport) throws(Finding) {
    let (kernel, statx) = (report.kernelPath, report.limits.statx)
    if let maximum = kernel.maximumBytes, let unit = statx?.atomicWriteUnitMax {
      try require(maximum <= UInt64(unit), "RWF_ATOMIC up to \(maximum), statx \(unit)")
    }
    if let minimum = kernel.minimumBytes, let maximum = kernel.maximumBytes, maximum > 0 {
      try require(minimum <= maximum, "RWF_ATOMIC from \(minimum) to \(maximum)")
    }
    if let whole = report.limits.tornFreeBytes, whole > 0 {
      try require(whole.isPowerOfTwo, "torn-free \(whole)")
      try require(whole <= kernel.maximumBytes ?? 0, "torn-free \(whole), unknown to the kernel")
      if report.namespaces.count == 1, let drive = report.namespaces[0].drive.limits {
        let most = drive.withoutVendor.powerFailBytesWithinBoundary
        try require(whole <= most, "torn-free \(whole), the drive keeps \(most)")
      }
    }
    if let maximum = report.passthroughPath.maximumBytes, report.namespaces.count == 1,
      let drive = report.namespaces[0].drive.limits
    {
      try require(maximum <= drive.powerFailBytes, "passthrough up to \(maximum)")
    }
  }

  private static func checkAnswer(_ report: TargetReport) throws(Finding) {
    guard let answer = report.answer, answer.isAtomic == true else { return }
    try require(answer.question.writer != .buffered, "yes to the page cache")
    try require(answer.path != nil && answer.backing != nil, "a yes by nobody")
    guard case .everyPage(let size) = answer.question.range, answer.backing == .hardware,
      report.namespaces.count == 1, let drive = report.namespaces[0].drive.limits
    else { return }
    try require(size <= drive.powerFailBytes, "yes to \(size), of \(drive.powerFailBytes)")
    if let boundary = drive.powerFailBoundary {
      try require(size <= boundary.sizeBytes, "yes to \(size), across \(boundary)")
    }
  }

  private static func checkText(_ report: TargetReport) throws(Finding) {
    for line in ProbeText(report: report).lines {
      let isPlain = line.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
      try require(isPlain, "a control character for the terminal: \(line.debugDescription)")
    }
  }

  private static func checkJSON(_ report: TargetReport) throws(Finding) {
    let text = ProbeJSON(kernelRelease: "6.18", targets: [report]).document.rendered
    let document = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
    let targets = document?["targets"] as? [[String: Any]]
    try require(targets?.count == 1, "no JSON: \(text)")
    try require(targets?[0]["path"] as? String == report.path, "of another target: \(text)")
  }

  /// A line is a comment, or a name, labels and a number.
  private static func checkMetrics(_ report: TargetReport) throws(Finding) {
    let text = ProbePrometheus(kernelRelease: "6.18", targets: [report]).rendered
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let name = line.prefix { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "_") }
      let value = line.split(separator: " ").last.flatMap { UInt64($0) }
      try require(name.hasPrefix("nvme_atomic_") && value != nil, "no series: \(line)")
      let end = line.dropFirst(name.count).first
      try require(end == "{" || end == " ", "no series: \(line)")
    }
  }

  static var seeds: [[UInt8]] {
    subjects.indices.flatMap { index in
      let subject = subjects[index]
      var seeds: [[UInt8]] = [[UInt8(index), 0xc1]]
      guard index % 4 == 0 else { return seeds }
      for (place, path) in subject.texts.enumerated().prefix(48) where place % 3 == 0 {
        let text = (try? subject.target.world.tree.text(of: path)) ?? ""
        let line = Array(text.utf8.prefix(255))
        seeds.append([UInt8(index), 0xc0, 1, UInt8(place), UInt8(line.count)] + line)
      }
      seeds.append([UInt8(index), 0xe1, 3, 0, 0] + [UInt8](repeating: 7, count: 32))
      return seeds
    }
  }
}
