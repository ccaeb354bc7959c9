import Foundation
import Testing

/// A plain file that a text is compared with, line by line.
///
/// With `RECORD_SNAPSHOTS=1` the file is written anew, and the test fails, so that recording can
/// never pass for comparing.
enum Snapshot {
  private static let directory = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().appendingPathComponent("Snapshots")

  static func check(
    _ text: String,
    _ name: String,
    in folder: URL? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let file = (folder ?? directory).appendingPathComponent(name)
    let text = text.hasSuffix("\n") ? text : text + "\n"
    if ProcessInfo.processInfo.environment["RECORD_SNAPSHOTS"] == "1" {
      try text.write(to: file, atomically: true, encoding: .utf8)
      Issue.record(
        "Recorded \(name); run again without RECORD_SNAPSHOTS.",
        sourceLocation: sourceLocation
      )
      return
    }
    guard let expected = try? String(contentsOf: file, encoding: .utf8) else {
      Issue.record(
        "There is no snapshot \(name); run with RECORD_SNAPSHOTS=1.",
        sourceLocation: sourceLocation
      )
      return
    }
    let difference = lineDifference(expected, text)
    #expect(difference.isEmpty, "\(name)\n\(difference)", sourceLocation: sourceLocation)
  }

  /// The lines that went and came, with their numbers.
  private static func lineDifference(_ old: String, _ new: String) -> String {
    func lines(_ text: String) -> [Substring] {
      text.split(separator: "\n", omittingEmptySubsequences: false)
    }
    return lines(new).difference(from: lines(old)).map { change in
      switch change {
      case .remove(let offset, let line, _): "- \(offset + 1): \(line)"
      case .insert(let offset, let line, _): "+ \(offset + 1): \(line)"
      }
    }.joined(separator: "\n")
  }
}
