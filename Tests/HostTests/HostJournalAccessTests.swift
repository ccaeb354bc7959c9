import Foundation
import NVMeAtomic
import Testing

/// Who may do what, where a journal can be, and what it takes of memory.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalAccessTests {
  private static let write = ["--path", "journal", "--at", "0", "--input", "/etc/hostname"]
  /// Somebody who owns nothing here.
  private static let nobody = (user: 65534, group: 65534)

  /// The program, run by somebody else.
  private func asNobody(_ arguments: [String], umask: String = "022") throws -> Tool {
    // Not everybody can enter the folder that it was built in.
    let program = HostRig.path("ext4/nvme-atomic")
    if !FileManager.default.fileExists(atPath: program) {
      try shell("chmod a+x '\(HostRig.path(""))'; cp '\(Tool.path)' '\(program)'")
    }
    let command =
      "umask \(umask); exec setpriv --reuid=\(Self.nobody.user) --regid=\(Self.nobody.group) "
      + "--clear-groups \"$@\""
    return try Tool(program: "/bin/sh", ["-c", command, "sh", program] + arguments)
  }

  private func status(_ path: String) throws -> String { try shell("stat -c '%a %u %g' '\(path)'") }

  @Test(arguments: JournalledFile.filesystems)
  func theJournalIsForWhomTheFileIs(on filesystem: String) throws {
    for (owner, mode) in [
      ("0:0", "600"), ("65534:65534", "600"), ("65534:0", "640"), ("0:0", "644"),
    ] {
      let file = try JournalledFile(100, on: filesystem, journalBytes: nil)
      try shell("chown \(owner) '\(file.path)'; chmod \(mode) '\(file.path)'")
      let script = "umask 000; exec '\(Tool.path)' write '\(file.path)' "
      try shell(script + Self.write.joined(separator: " "))
      let expected = "\(mode) \(owner.replacingOccurrences(of: ":", with: " "))"
      #expect(try status(file.journal) == expected)
    }
  }

  /// What an unprivileged user makes is for himself where he cannot give it away.
  @Test func anUnprivilegedUserCanUseIt() throws {
    let folder = HostRig.path("ext4/nobody-\(UUID().uuidString)")
    try shell("mkdir '\(folder)'; chown 65534:65534 '\(folder)'")
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let own = try JournalledFile(100, in: folder, journalBytes: nil)
    try shell("chown 65534:65534 '\(own.path)'; chmod 600 '\(own.path)'")
    let tool = try asNobody(["write", own.path] + Self.write, umask: "000")
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(try status(own.journal) == "600 65534 65534")
    #expect(try asNobody(["recover", own.path]).status == 0)
    #expect(try asNobody(["journal", "drop", own.path]).status == 0)
    // Of a file of another's that everybody can write to: its owner could not open it.
    let other = try JournalledFile(100, in: folder, journalBytes: nil)
    try shell("chmod 666 '\(other.path)'")
    #expect(try asNobody(["write", other.path] + Self.write, umask: "000").status == 2)
    #expect(!FileManager.default.fileExists(atPath: other.journal))
  }

  @Test func whoMayNotIsToldSo() throws {
    func refused(_ tool: Tool, _ words: String) throws {
      #expect(tool.status == 2, "\(tool.output)\(tool.errors)")
      #expect(try tool.failure() == ["permission", "not-written"])
      #expect(tool.errors.contains(words), "\(tool.errors)")
    }
    let closed = try JournalledFile(100)
    for arguments in [
      ["write", closed.path, "--json"] + Self.write, ["recover", closed.path, "--json"],
      ["journal", "drop", closed.path, "--json"],
    ] { try refused(try asNobody(arguments), "gain write access") }
    // He may write to the file, and not to its folder.
    let open = try JournalledFile(100, journalBytes: nil)
    try shell("chmod 666 '\(open.path)'")
    try refused(try asNobody(["write", open.path, "--json"] + Self.write), "--journal")
    #expect(!FileManager.default.fileExists(atPath: open.journal))
    // He may write to the file, and not to its journal.
    let half = try JournalledFile(100)
    try shell("chmod 666 '\(half.path)'; chmod 600 '\(half.journal)'")
    try refused(try asNobody(["write", half.path, "--json"] + Self.write), "its journal")
    #expect(try half.contents.allSatisfy { $0 == 0x5a })
  }

  @Test func aReadOnlyFilesystemIsToldSo() throws {
    let scratch = try ScratchFilesystem("ext4", megabytes: 200)
    let (clean, live) = (
      try JournalledFile(100, in: scratch.mount, journalBytes: nil),
      try JournalledFile(100, in: scratch.mount, journalBytes: 1 << 20)
    )
    try live.leave([[(5, [1, 2])]])
    try shell("mount -o remount,ro '\(scratch.mount)'")
    for (path, first) in [(clean.path, "write"), (live.path, "write"), (live.path, "recover")] {
      let tool = try Tool([first, path, "--json"] + (first == "write" ? Self.write : []))
      #expect(tool.status == 2, "\(tool.output)\(tool.errors)")
      #expect(try tool.failure() == ["permission", "not-written"])
      #expect(tool.errors.contains("read-only"), "\(tool.errors)")
    }
    try shell("mount -o remount,rw '\(scratch.mount)'")
    #expect(try live.recover()?.transactions == 1)
    #expect(try live.contents[4..<8] == [0x5a, 1, 2, 0x5a])
  }

  /// The journal lies beside the file that the link leads to.
  @Test func aSymbolicLinkLeadsToTheFile() throws {
    let file = try JournalledFile(100, on: "xfs", journalBytes: nil)
    let link = HostRig.path("ext4/link-\(UUID().uuidString)")
    try shell("ln -s '\(file.path)' '\(link)'")
    defer { try? FileManager.default.removeItem(atPath: link) }
    #expect(try Tool(["write", link] + Self.write).status == 0)
    #expect(FileManager.default.fileExists(atPath: file.journal))
    #expect(!FileManager.default.fileExists(atPath: link + ".nvme-atomic-journal"))
  }

  /// Where nothing survives a power failure, nobody is told that something does.
  @Test func memoryPromisesNothing() throws {
    let file = try JournalledFile(100, in: HostRig.path("tmpfs"), journalBytes: nil)
    let large = try Tool(["write", file.path, "--json"] + Self.write)
    #expect(large.status == 2, "\(large.output)")
    #expect(large.errors.split(separator: "\n").count == 1, "\(large.errors)")
    let made = try Tool("journal", "init", file.path, "--size", "1m", "--json")
    let tool = try Tool(["write", file.path, "--json"] + Self.write)
    // Linux takes direct writes there since 6.6.
    if made.status == 0, tool.status == 0 {
      #expect(try tool.json()["power_fail_atomic"] as? String == "assumed")
      #expect(try tool.json()["durable"] as? Bool == nil)
    }
  }

  @Test func anOverlayNeverTearsAnything() throws {
    let root = HostRig.path("ext4/overlay-\(UUID().uuidString)")
    try shell("mkdir -p '\(root)'/lower '\(root)'/upper '\(root)'/work '\(root)'/merged")
    defer { try? FileManager.default.removeItem(atPath: root) }
    let options = "lowerdir=\(root)/lower,upperdir=\(root)/upper,workdir=\(root)/work"
    try Data(repeating: 0x5a, count: 100).write(to: URL(fileURLWithPath: root + "/lower/file"))
    try shell("mount -t overlay overlay -o '\(options)' '\(root)/merged'")
    defer { _ = try? shell("umount '\(root)/merged'") }
    let file = root + "/merged/file"
    let name = try Data(contentsOf: URL(fileURLWithPath: "/etc/hostname"))
    for _ in 0..<2 {
      let tool = try Tool(["write", file, "--json"] + Self.write)
      print("overlay: \(tool.status) \(tool.errors)")
      let contents = try Data(contentsOf: URL(fileURLWithPath: file))
      #expect([0, 2].contains(tool.status) && tool.errors.split(separator: "\n").count < 2)
      #expect(contents.prefix(name.count) == name || tool.status == 2, "\(tool.errors)")
      #expect(contents.count == 100)
    }
  }

  /// As large as it may be, a transaction takes a fixed amount of memory.
  @Test func aLargeTransactionTakesLittleMemory() throws {
    let scratch = try ScratchFilesystem("ext4", megabytes: 2000)
    let megabytes = 160
    let file = try JournalledFile(100, in: scratch.mount, journalBytes: UInt64(megabytes + 8) << 20)
    let input = scratch.mount + "/input"
    try shell("truncate -s \(megabytes)M '\(input)'; printf x >>'\(input)'")
    let script = "'\(Tool.path)' write '\(file.path)' --path journal --at 7 --input '\(input)'"
    // Reports the peak of its own children.
    let peak = try shell(
      """
      python3 -c 'import resource, subprocess, sys
      status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
      print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' \(script)
      """
    ).split(separator: " ").compactMap { Int($0) }
    #expect(peak.first == 0 && peak.count == 2)
    #expect(peak.last ?? .max < 64 << 10, "\(peak) KiB")
    print("\(megabytes) MiB by a journal: \(peak.last ?? 0) KiB of memory")
    #expect(try file.contents.count == megabytes << 20 + 8)
  }
}
