import ArgumentParser
import Foundation

@testable import nvme_atomic

/// The manual pages, made from the command definitions: what the parser knows of itself, in the
/// words of mdoc(7).
///
/// ArgumentParser's own plugin is not used, since its pages carry the day's date, claim exit codes
/// that are not this program's, and do not please `mandoc -T lint`.
enum ManualPages {
  struct Page {
    var name: String
    var text: String
  }

  /// Of the release, for pages that are the same every day.
  private static let date = "November 25, 2026"

  static func all() throws -> [Page] {
    let dump = Data(NVMeAtomicCommand._dumpHelp().utf8)
    let root = try JSONDecoder().decode(Definitions.self, from: dump).command
    let commands = root.commands
    let names = commands.map { "\(root.commandName)-\($0.commandName)" }
    let exitStatus = root.discussion ?? ""
    let pages = zip(names, commands).flatMap { name, command in
      let all = [root.commandName] + names
      let synopsis = ".Nm \(root.commandName) Cm \(command.commandName)"
      let inner = command.commands.map { "\(name)-\($0.commandName)" }
      let first = page(
        name,
        command,
        synopsis: synopsis,
        exitStatus,
        others: all.filter { $0 != name } + inner
      )
      return [first]
        + zip(inner, command.commands).map { inner, command in
          page(
            inner,
            command,
            synopsis: synopsis + " \(command.commandName)",
            exitStatus,
            others: all
          )
        }
    }
    return [overview(root, commands, names, exitStatus)] + pages
  }

  // MARK: Pages

  private static func overview(
    _ root: Definitions.Command,
    _ commands: [Definitions.Command],
    _ names: [String],
    _ exitStatus: String
  ) -> Page {
    var page = MDoc()
    head(&page, root.commandName, root)
    page.lines += [".Nm", ".Ar subcommand", ".Op Ar arguments ...", ".Nm"]
    synopsis(&page, root)
    page.lines.append(".Sh DESCRIPTION")
    page.addText(root.abstract ?? "")
    list(&page, commands, names)
    options(&page, root)
    tail(&page, exitStatus, others: names)
    return Page(name: root.commandName, text: page.text)
  }

  private static func page(
    _ name: String,
    _ command: Definitions.Command,
    synopsis line: String,
    _ exitStatus: String,
    others: [String]
  ) -> Page {
    var page = MDoc()
    head(&page, name, command)
    page.lines.append(line)
    synopsis(&page, command)
    page.lines.append(".Sh DESCRIPTION")
    page.addText(command.abstract ?? "")
    if let discussion = command.discussion {
      page.lines.append(".Pp")
      page.addText(discussion)
    }
    list(&page, command.commands, command.commands.map { "\(name)-\($0.commandName)" })
    options(&page, command)
    tail(&page, exitStatus, others: others)
    return Page(name: name, text: page.text)
  }

  private static func list(
    _ page: inout MDoc,
    _ commands: [Definitions.Command],
    _ names: [String]
  ) {
    guard !commands.isEmpty else { return }
    page.lines += [".Pp", "The subcommands are:", ".Bl -tag -width Ds"]
    for (command, name) in zip(commands, names) {
      page.lines.append(".It Cm \(command.commandName)")
      page.addText(command.abstract ?? "")
      page.lines += ["See", ".Xr \(name) 1 ."]
    }
    page.lines.append(".El")
  }

  private static func head(_ page: inout MDoc, _ name: String, _ command: Definitions.Command) {
    page.lines += [
      ".\\\" Made from the command definitions by RECORD_SNAPSHOTS=1 swift test --filter Manual",
      ".Dd \(date)", ".Dt \(name.uppercased()) 1", ".Os", ".Sh NAME", ".Nm \(name)",
      ".Nd \(MDoc.escaped(command.abstract ?? "").trimmingSuffix("."))", ".Sh SYNOPSIS",
    ]
  }

  private static func synopsis(_ page: inout MDoc, _ command: Definitions.Command) {
    page.lines += command.shown.map { argument in
      let form = argument.form + (argument.isRepeating ? " ..." : "")
      return argument.isOptional ? ".Op \(form)" : ".\(form)"
    }
  }

  private static func options(_ page: inout MDoc, _ command: Definitions.Command) {
    page.lines += [".Pp", "The arguments are:", ".Bl -tag -width Ds"]
    for argument in command.shown {
      page.lines.append(".It \(argument.item)")
      page.addText(argument.abstract ?? "")
      if let values = argument.allValues {
        page.addText("One of \(values.joined(separator: ", ")).")
      }
      if let value = argument.defaultValue { page.addText("The default is \(value).") }
    }
    page.lines.append(".El")
  }

  private static func tail(_ page: inout MDoc, _ exitStatus: String, others: [String]) {
    page.lines.append(".Sh EXIT STATUS")
    page.addText(exitStatus)
    page.lines.append(".Sh SEE ALSO")
    page.lines += others.sorted().enumerated().map { index, name in
      ".Xr \(name) 1\(index < others.count - 1 ? " ," : "")"
    }
  }
}

/// What `--experimental-dump-help` says.
private struct Definitions: Decodable {
  struct Command: Decodable {
    var commandName: String
    var abstract: String?
    var discussion: String?
    var arguments: [Argument]?
    var subcommands: [Command]?

    var shown: [Argument] { (arguments ?? []).filter(\.shouldDisplay) }

    /// `help` is the parser's own, and says nothing that the pages do not.
    var commands: [Command] { (subcommands ?? []).filter { $0.commandName != "help" } }
  }

  struct Argument: Decodable {
    var kind: String
    var names: [Name]?
    var preferredName: Name?
    var valueName: String?
    var abstract: String?
    var allValues: [String]?
    var defaultValue: String?
    var isOptional: Bool
    var isRepeating: Bool
    var shouldDisplay: Bool

    /// As it stands in the synopsis.
    var form: String { preferredName.map { "\($0.flag)\(value)" } ?? "Ar \(valueName ?? "")" }

    /// As it heads its description.
    var item: String {
      guard let names else { return form }
      return names.map(\.flag).joined(separator: " , ") + value
    }

    private var value: String { kind == "option" ? " Ar \(valueName ?? "")" : "" }
  }

  struct Name: Decodable {
    var kind: String
    var name: String

    var flag: String { kind == "long" ? "Fl -\(name)" : "Fl \(name)" }
  }

  var command: Command
}

/// Lines of mdoc(7).
private struct MDoc {
  var lines: [String] = []

  var text: String { lines.joined(separator: "\n") + "\n" }

  /// Paragraphs, each sentence on a line of its own or more.
  mutating func addText(_ text: String) {
    for (index, paragraph) in text.components(separatedBy: "\n\n").enumerated() {
      if index > 0 { lines.append(".Pp") }
      var line = ""
      for word in paragraph.split(whereSeparator: \.isWhitespace) {
        let word = Self.escaped(String(word))
        if !line.isEmpty, line.count + word.count > 76 { flush(&line) }
        line += line.isEmpty ? word : " " + word
        if let last = word.last, ".?!".contains(last) || word.hasSuffix(".)") { flush(&line) }
      }
      flush(&line)
    }
  }

  private mutating func flush(_ line: inout String) {
    if !line.isEmpty { lines.append(line) }
    line = ""
  }

  /// A backslash begins a request, and so does a dot or quote at the begin of a line; a hyphen that
  /// is typed is a minus sign.
  static func escaped(_ text: String) -> String {
    let text = text.replacing("\\", with: "\\e").replacing("--", with: "\\-\\-")
    return text.hasPrefix(".") || text.hasPrefix("'") ? "\\&" + text : text
  }
}

extension String {
  fileprivate func trimmingSuffix(_ suffix: String) -> String {
    hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
  }
}
