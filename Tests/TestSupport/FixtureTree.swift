import SystemPackage

/// A tree of directories, texts and links that stands for sysfs, procfs and `/dev`.
package struct FixtureTree: Sendable {
  enum Entry: Sendable {
    case directory
    case text(String)
    /// An absolute path.
    case link(String)
    /// Something that is only looked at: a file or a device node.
    case leaf
  }

  private var entries: [String: Entry] = ["": .directory]
  /// The names in each directory, by its path.
  private var children: [String: Set<String>] = [:]

  package init() {}

  // MARK: Making

  package mutating func addText(_ path: String, _ text: String) {
    add(path, .text(text))
  }

  package mutating func addLink(_ path: String, to target: String) {
    add(path, .link(target))
  }

  package mutating func addDirectory(_ path: String) {
    add(path, .directory)
  }

  package mutating func addLeaf(_ path: String) {
    add(path, .leaf)
  }

  /// Takes away one entry, and everything below it.
  package mutating func remove(_ path: String) {
    entries = entries.filter { $0.key != path && !$0.key.hasPrefix(path + "/") }
    children = children.filter { $0.key != path && !$0.key.hasPrefix(path + "/") }
    let (parent, name) = Self.split(path)
    children[parent]?.remove(name)
  }

  private mutating func add(_ path: String, _ entry: Entry) {
    var (parent, name) = Self.split(path)
    children[parent, default: []].insert(name)
    while entries[parent] == nil {
      entries[parent] = .directory
      (parent, name) = Self.split(parent)
      children[parent, default: []].insert(name)
    }
    entries[path] = entry
  }

  /// The path of the directory, and the last name.
  private static func split(_ path: String) -> (String, String) {
    guard let slash = path.lastIndex(of: "/") else { return ("", path) }
    return (String(path[..<slash]), String(path[path.index(after: slash)...]))
  }

  // MARK: Asking

  /// `realpath(3)`.
  package func canonicalPath(of path: String) throws(Errno) -> String {
    // Entries are stored below canonical directories, so a hit needs no walk.
    switch entries[path] {
    case .directory, .text, .leaf: return path
    case .link, nil: return try walk(path)
    }
  }

  package func text(of path: String) throws(Errno) -> String {
    switch entries[try canonicalPath(of: path)] {
    case .text(let text): return text
    case .directory: throw .isDirectory
    default: throw .invalidArgument
    }
  }

  package func names(in path: String) throws(Errno) -> [String] {
    let directory = try canonicalPath(of: path)
    guard case .directory = entries[directory] else { throw .notDirectory }
    return (children[directory] ?? []).sorted()
  }

  private func walk(_ path: String) throws(Errno) -> String {
    var resolved = ""
    var rest = Array(path.split(separator: "/").reversed())
    var links = 0
    while let name = rest.popLast() {
      let next = resolved + "/" + name
      switch entries[next] {
      case .link(let target):
        links += 1
        guard links <= 40 else { throw .tooManySymbolicLinkLevels }
        rest += target.split(separator: "/").reversed()
        resolved = ""
      case .directory: resolved = next
      case .text, .leaf:
        guard rest.isEmpty else { throw .notDirectory }
        resolved = next
      case nil: throw .noSuchFileOrDirectory
      }
    }
    return resolved
  }
}
