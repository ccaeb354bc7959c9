/// The first line of the log of `verify crash`: everything that a check needs besides the numbers
/// of the operations that were acknowledged.
///
/// One JSON object of texts, numbers and nulls, whose last key is a checksum of what comes before.
package struct CrashLogHeader: Hashable, Sendable {
  package static let format = "nvme-atomic-crash-log/1"

  package var plan: CrashPlan
  package var toolVersion: String
  /// `/proc/sys/kernel/random/boot_id`, another one after each start of the system.
  package var bootID: String
  /// The target as it was named.
  package var target: String
  /// What the system calls the target; `nil` where nothing tells it from another.
  package var identity: String?
  package var sizeBytes: UInt64
  /// Where the journal is: `file:PATH` or `region:OFFSET:LENGTH`; `nil` for where it usually is,
  /// and for paths without one.
  package var journal: String?
  /// Whether the log is sent to another machine rather than to a file.
  package var isSent: Bool

  package init(
    plan: CrashPlan,
    toolVersion: String,
    bootID: String,
    target: String,
    identity: String?,
    sizeBytes: UInt64,
    journal: String?,
    isSent: Bool
  ) {
    self.plan = plan
    self.toolVersion = toolVersion
    self.bootID = bootID
    self.target = target
    self.identity = identity
    self.sizeBytes = sizeBytes
    self.journal = journal
    self.isSent = isSent
  }

  /// What every header of any version begins with.
  static let begin = Array(#"{"format":"nvme-atomic-crash-log/"#.utf8)

  /// The line, without its end.
  package var line: String {
    let fields: KeyValuePairs<String, FlatJSON.Value?> = [
      "format": .text(Self.format), "run": .text(CrashLogLine.hex(plan.run)),
      "tool_version": .text(toolVersion), "boot_id": .text(bootID), "target": .text(target),
      "identity": identity.map { .text($0) }, "size": .number(sizeBytes),
      "path": .text(plan.path.rawValue), "durable": .text(plan.isDurable ? "each" : "none"),
      "offset": .number(plan.offsetBytes), "block_size": .number(UInt64(plan.slotBytes)),
      "blocks": .number(plan.slots), "stamp_size": .number(UInt64(plan.stampBytes)),
      "ranges": .number(UInt64(plan.ranges)), "threads": .number(UInt64(plan.threads)),
      "seed": .number(plan.seed), "control_size": .number(UInt64(plan.controlBytes)),
      "controls": .number(UInt64(plan.controls)), "journal": journal.map { .text($0) },
      "log": .text(isSent ? "tcp" : "file"),
    ]
    let text = FlatJSON.text(fields)
    let check = CrashLogLine.check(plan.run, Array(text.utf8))
    return text.dropLast() + #","check":"\#(check)"}"#
  }

  /// Reads a line.
  ///
  /// - Returns: `nil` for one that is damaged or of another version.
  package init?(line: [UInt8]) {
    guard let fields = FlatJSON.fields(of: line), fields["format"] == .text(Self.format),
      let plan = Self.plan(fields), plan.isPossible
    else { return nil }
    func text(_ key: String) -> String? {
      if case .text(let text)? = fields[key] ?? nil { text } else { nil }
    }
    guard let toolVersion = text("tool_version"), let bootID = text("boot_id"),
      let target = text("target"), case .number(let size)? = fields["size"] ?? nil,
      let log = text("log"), ["tcp", "file"].contains(log)
    else { return nil }
    self.init(
      plan: plan,
      toolVersion: toolVersion,
      bootID: bootID,
      target: target,
      identity: text("identity"),
      sizeBytes: size,
      journal: text("journal"),
      isSent: log == "tcp"
    )
    // Whatever was changed, the line would be another one.
    guard Array(self.line.utf8) == line else { return nil }
  }

  private static func plan(_ fields: [String: FlatJSON.Value?]) -> CrashPlan? {
    func number(_ key: String) -> UInt64? {
      if case .number(let number)? = fields[key] ?? nil { number } else { nil }
    }
    func small(_ key: String) -> Int? { number(key).flatMap { Int(exactly: $0) } }
    func text(_ key: String) -> String? {
      if case .text(let text)? = fields[key] ?? nil { text } else { nil }
    }
    guard let run = text("run").flatMap({ UInt64($0, radix: 16) }),
      let path = text("path").flatMap(WritePath.init(rawValue:)), let durable = text("durable"),
      let offset = number("offset"), let slotBytes = small("block_size"),
      let slots = number("blocks"), let stampBytes = small("stamp_size"),
      let ranges = small("ranges"), let threads = small("threads"), let seed = number("seed"),
      let controlBytes = small("control_size"), let controls = small("controls")
    else { return nil }
    return CrashPlan(
      run: run,
      path: path,
      isDurable: durable == "each",
      offsetBytes: offset,
      slotBytes: slotBytes,
      slots: slots,
      stampBytes: stampBytes,
      ranges: ranges,
      threads: threads,
      seed: seed,
      controlBytes: controlBytes,
      controls: controls
    )
  }
}

/// One JSON object of texts, numbers and nulls, without blanks.
enum FlatJSON {
  enum Value: Hashable {
    case text(String)
    case number(UInt64)
  }

  static func text(_ fields: KeyValuePairs<String, Value?>) -> String {
    let parts = fields.map { key, value in
      switch value {
      case .text(let text)?: "\(quoted(key)):\(quoted(text))"
      case .number(let number)?: "\(quoted(key)):\(number)"
      case nil: "\(quoted(key)):null"
      }
    }
    return "{" + parts.joined(separator: ",") + "}"
  }

  private static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\":
        quoted += "\\"
        quoted.unicodeScalars.append(scalar)
      case "\u{0}"..<"\u{20}", "\u{7f}":
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }

  /// What ``text(_:)`` has written; `nil` for anything else.
  static func fields(of line: [UInt8]) -> [String: Value?]? {
    var reader = Reader(rest: line[...])
    var fields: [String: Value?] = [:]
    guard reader.take("{") else { return nil }
    repeat {
      guard let key = reader.string(), reader.take(":"), fields[key] == nil else { return nil }
      if reader.take("null") {
        fields.updateValue(nil, forKey: key)
      } else if let number = reader.number() {
        fields.updateValue(.number(number), forKey: key)
      } else if let text = reader.string() {
        fields.updateValue(.text(text), forKey: key)
      } else {
        return nil
      }
    } while reader.take(",")
    return reader.take("}") && reader.rest.isEmpty ? fields : nil
  }

  private struct Reader {
    var rest: ArraySlice<UInt8>

    mutating func take(_ word: String) -> Bool {
      guard rest.starts(with: word.utf8) else { return false }
      rest = rest.dropFirst(word.utf8.count)
      return true
    }

    mutating func number() -> UInt64? {
      let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      guard let number = UInt64(String(decoding: digits, as: UTF8.self)) else { return nil }
      rest = rest.dropFirst(digits.count)
      return number
    }

    mutating func string() -> String? {
      guard take("\"") else { return nil }
      var bytes: [UInt8] = []
      while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "\"") { return String(validating: bytes, as: UTF8.self) }
        guard byte == UInt8(ascii: "\\") else {
          bytes.append(byte)
          continue
        }
        if take("u") {
          let digits = String(decoding: rest.prefix(4), as: UTF8.self)
          guard digits.utf8.count == 4, let code = UInt8(digits, radix: 16), code < 0x80 else {
            return nil
          }
          rest = rest.dropFirst(4)
          bytes.append(code)
        } else if let escaped = rest.popFirst() {
          bytes.append(escaped)
        }
      }
      return nil
    }
  }
}
