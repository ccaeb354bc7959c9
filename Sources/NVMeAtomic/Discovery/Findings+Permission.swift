/// What was not to be had without root, of which node, and what would give it.
extension Findings {
  var permission: [Finding] {
    var closed: [String] = []
    var commands: [(command: String, nodes: [String])] = []
    var mappers: [String] = []
    for denial in facts.denials {
      switch denial {
      case .opening(let nodes): closed += nodes.filter { !closed.contains($0) }
      case .table(let device): mappers += mappers.contains(device) ? [] : [device]
      case .command(let command, let node):
        guard let index = commands.firstIndex(where: { $0.command == command }) else {
          commands.append((command, [node]))
          continue
        }
        if !commands[index].nodes.contains(node) { commands[index].nodes.append(node) }
      }
    }
    return (mappers.isEmpty ? [] : [withoutTable(mappers)])
      + (closed.isEmpty ? [] : [notOpened(closed)]) + commands.map { refused($0, $1) }
  }

  private func withoutTable(_ devices: [String]) -> Finding {
    lacking(
      "The device-mapper table of \(Self.list(devices)) takes CAP_SYS_ADMIN, which no group gives, "
        + "so what lies below is unknown.",
      remedy: probeAsRoot
    )
  }

  private func notOpened(_ nodes: [String]) -> Finding {
    let refusal =
      "\(Self.list(nodes)) may not be opened, so the limits of what they lead to are unknown"
    let generics = nodes.filter { $0.lastComponent.hasPrefix("ng") }
    if generics.isEmpty {
      return lacking(
        refusal + ", and with them Identify, DN and the state of the volatile cache.",
        remedy: probeAsRoot
      )
    }
    return lacking(
      refusal + ": read access to \(Self.list(generics)) gives Identify, and root DN and the state "
        + "of the volatile cache besides.",
      remedy: "sudo groupadd --system --force nvme-read && "
        + "echo 'SUBSYSTEM==\"nvme-generic\", GROUP=\"nvme-read\", MODE=\"0440\"' | "
        + "sudo tee /etc/udev/rules.d/60-nvme-atomic.rules && "
        + "sudo udevadm control --reload && "
        + "sudo udevadm trigger --subsystem-match=nvme-generic && "
        + "sudo usermod --append --groups nvme-read \"$USER\""
        + "   # and log in again; the group can then read all data"
    )
  }

  private func refused(_ command: String, _ nodes: [String]) -> Finding {
    let controllers = [report.controller] + report.namespaces.map(\.controller)
    let identified = controllers.compactMap { $0?.identify }
    guard !command.hasPrefix("Identify"), !identified.isEmpty else {
      return lacking(
        "\(command) is refused through \(Self.list(nodes)), so the limits of what they lead to are "
          + "unknown.",
        remedy: probeAsRoot
      )
    }
    let hasCache = identified.contains(where: \.hasVolatileWriteCache)
    return lacking(
      "\(command) takes CAP_SYS_ADMIN through \(Self.list(nodes)), which no group gives: whether "
        + "concurrent commands are kept apart (DN) is unknown"
        + (hasCache ? ", and a volatile cache counts as in use." : "."),
      remedy: probeAsRoot
    )
  }

  private func lacking(_ message: String, remedy: String) -> Finding {
    Finding(.noPermission, .warning, .permission, message, remedy: remedy)
  }

  private var probeAsRoot: String { "sudo nvme-atomic probe \(ShellWord(report.path))" }

  /// Names in a sentence.
  static func list(_ words: [String]) -> String {
    guard let last = words.last, words.count > 1 else { return words.joined() }
    return words.dropLast().joined(separator: ", ") + " and " + last
  }
}
