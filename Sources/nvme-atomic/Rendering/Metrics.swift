/// Labels in the order in which they were given; those without a value are left out.
struct Labels: ExpressibleByDictionaryLiteral {
  private var pairs: [(name: String, value: String)] = []

  init(dictionaryLiteral elements: (String, String?)...) {
    for (name, value) in elements { self[name] = value }
  }

  subscript(name: String) -> String? {
    get { pairs.first { $0.name == name }?.value }
    set {
      let index = pairs.firstIndex { $0.name == name }
      switch (index, newValue) {
      case (let index?, let value?): pairs[index].value = value
      case (let index?, nil): pairs.remove(at: index)
      case (nil, let value?): pairs.append((name, value))
      case (nil, nil): break
      }
    }
  }

  /// An empty value is the same as none.
  var rendered: String {
    let written = pairs.filter { !$0.value.isEmpty }
      .map { "\($0.name)=\"\(Self.escaped($0.value))\"" }
    return written.isEmpty ? "" : "{" + written.joined(separator: ",") + "}"
  }

  /// Backslash, quote and line feed, and nothing else.
  private static func escaped(_ value: String) -> String {
    var text = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}

/// Gauges of Prometheus' text format, collected by name: a family stands in one place.
struct Metrics {
  private struct Family {
    var name: String
    var help: String
    var lines: [String] = []
    var series: Set<String> = []
  }

  private var families: [Family] = []
  private var places: [String: Int] = [:]

  /// Adds one series; a value that is not known adds none, and neither does a series that is there.
  mutating func add(_ name: String, _ help: String, _ labels: Labels, _ value: UInt64? = 1) {
    guard let value else { return }
    let place = places[name] ?? families.count
    if place == families.count {
      families.append(Family(name: "nvme_atomic_" + name, help: help))
      places[name] = place
    }
    let series = families[place].name + labels.rendered
    guard families[place].series.insert(series).inserted else { return }
    families[place].lines.append("\(series) \(value)\n")
  }

  var rendered: String {
    families.map { family in
      "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) gauge\n" + family.lines.joined()
    }.joined()
  }
}
