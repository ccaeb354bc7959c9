import Foundation
import Testing

/// The file that `--size` makes.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostSizeTests {
  private static let load = ["--block-size", "16k", "--count", "8", "--size", "256k", "--json"]

  private func size(_ file: String) -> Int? {
    (try? FileManager.default.attributesOfItem(atPath: file))?[.size] as? Int
  }

  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func itIsMadeOnceAndUsedAgain() throws {
    let file = HostRig.path("xfs/made")
    defer { try? FileManager.default.removeItem(atPath: file) }
    for _ in 0..<2 {
      let tool = try Tool(["write", file] + Self.load)
      #expect(tool.status == 0, "\(tool.errors)")
      #expect(try tool.json()["operations"] as? Int == 8)
      #expect(size(file) == 256 << 10)
    }
    let other = try Tool("write", file, "--block-size", "16k", "--count", "8", "--size", "512k")
    #expect(other.status == 2)
    #expect(other.errors.contains("has 262144 bytes"))
    #expect(size(file) == 256 << 10)
    let page = try HostRig.makeFile("tmpfs/once", byteCount: 16 << 10)
    let once = HostRig.path("xfs/once")
    defer { try? FileManager.default.removeItem(atPath: once) }
    let tool = try Tool("write", once, "--at", "64k", "--input", page, "--size", "128k")
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(try HostRig.contents(once)[65_536..<81_920].allSatisfy { $0 == 0x5a })
  }

  /// ext4 here takes no atomic writes: nothing is left behind.
  @Test func whatWasMadeInVainIsTakenAway() throws {
    let file = HostRig.path("ext4/vain")
    let tool = try Tool(["write", file] + Self.load)
    #expect(tool.status == 2)
    #expect(size(file) == nil)
    // What was there before stays.
    let before = try HostRig.makeFile("ext4/before", byteCount: 256 << 10)
    defer { try? FileManager.default.removeItem(atPath: before) }
    #expect(try Tool(["write", before, "--path", "kernel"] + Self.load).status == 2)
    #expect(try HostRig.contents(before).allSatisfy { $0 == 0x5a })
  }

  @Test(
    arguments: [
      ("xfs/missing/file", "256k", "not-found"), ("xfs", "256k", "refused"),
      ("free.device", "1m", "refused"), ("tmpfs/large", "1g", "io"),
      ("xfs/zero", "0", "exceeds-limit"), ("xfs/huge", "8192p", "exceeds-limit"),
      ("xfs/folder/", "256k", "not-found"), ("tmpfs/limited", "64m", "io"),
    ]
  )
  func whatCannotBeMadeIsOneLine(name: String, size: String, code: String) throws {
    let tool = try Tool(
      "write",
      HostRig.path(name),
      "--block-size",
      "16k",
      "--count",
      "8",
      "--size",
      size,
      "--json"
    )
    #expect(tool.status == 2)
    #expect(tool.errors.split(separator: "\n").count == 1, "\(tool.errors)")
    #expect((try tool.json()["error"] as? [String: Any])?["code"] as? String == code)
    if name != "xfs", name != "free.device" {
      #expect(!FileManager.default.fileExists(atPath: HostRig.path(name)))
    }
  }

  /// Which file a name leads to may change while the input is waited for: none is taken away, and
  /// none is written to that was not made here.
  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func whatHasTheNameByThenIsLeftAlone() throws {
    let file = HostRig.path("xfs/meanwhile")
    defer { try? FileManager.default.removeItem(atPath: file) }
    let tool = try Tool(
      program: "/bin/bash",
      [
        "-c",
        """
        (sleep 0.5; head -c 16384 /dev/zero) |
          '\(Tool.path)' write '\(file)' --at 0 --input - --size 256k --json &
        sleep 0.2
        echo other >'\(file)'
        wait $!
        """,
      ]
    )
    #expect(tool.status == 2)
    #expect((try tool.json()["error"] as? [String: Any])?["code"] as? String == "conflict")
    #expect(try HostRig.contents(file) == [UInt8]("other\n".utf8))
  }

  @Test(arguments: ["TERM", "KILL"])
  func nothingIsLeftOfWhatWasEndedBefore(signal: String) throws {
    let file = HostRig.path("xfs/ended")
    // This process may hold signals back, and what it starts inherits that.
    let tool = try Tool(
      program: "/usr/bin/python3",
      [
        "-c",
        """
        import signal, subprocess, time
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        command = "\(Tool.path) write \(file) --at 0 --input - --size 256k".split()
        tool = subprocess.Popen(command, stdin=subprocess.PIPE)
        time.sleep(0.3)
        tool.send_signal(signal.SIG\(signal))
        exit(tool.wait() == -signal.SIG\(signal))
        """,
      ]
    )
    #expect(tool.status == 1, "it did not end by the signal")
    #expect(size(file) == nil)
  }

  @Test func aLinkToNothingIsNotFollowed() throws {
    let link = HostRig.path("xfs/dangling")
    try FileManager.default.createSymbolicLink(
      atPath: link,
      withDestinationPath: HostRig.path("xfs/nowhere")
    )
    defer { try? FileManager.default.removeItem(atPath: link) }
    let tool = try Tool(["write", link] + Self.load)
    #expect(tool.status == 2)
    #expect(tool.errors.contains("leads nowhere"))
    #expect(!FileManager.default.fileExists(atPath: HostRig.path("xfs/nowhere")))
  }

  /// The name is given where the file was made, and made durable there.
  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func theFolderIsTheOneOfTheBegin() throws {
    let (first, second) = (HostRig.path("xfs/first"), HostRig.path("xfs/second"))
    defer {
      for folder in [first, second] { try? FileManager.default.removeItem(atPath: folder) }
    }
    let tool = try Tool(
      program: "/bin/bash",
      [
        "-c",
        """
        mkdir '\(first)'
        (sleep 0.5; head -c 16384 /dev/zero) |
          '\(Tool.path)' write '\(first)/file' --at 0 --input - --size 256k &
        sleep 0.2
        mv '\(first)' '\(second)'
        mkdir '\(first)'
        wait $!
        """,
      ]
    )
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(size(first + "/file") == nil)
    #expect(size(second + "/file") == 256 << 10)
  }

  @Test(.enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"))
  func itIsNoLongerThanAsked() throws {
    let file = HostRig.path("xfs/short")
    let bytes = [UInt8](repeating: 1, count: 16384)
    for (offset, size) in [("0", "5"), ("16k", "16k"), ("16k", "31k")] {
      let tool = try Tool(
        "write",
        file,
        "--at",
        offset,
        "--input",
        "-",
        "--size",
        size,
        input: bytes
      )
      #expect(tool.status == 2)
      #expect(tool.errors.contains("ends beyond --size"))
      #expect(self.size(file) == nil)
    }
  }

  /// It is made with what any new file gets, whatever it had meanwhile.
  @Test(
    .enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here"),
    arguments: [("022", 0o644), ("027", 0o640), ("777", 0)]
  )
  func itHasThePermissionsOfANewFile(mask: String, permissions: Int) throws {
    let file = HostRig.path("xfs/masked")
    defer { try? FileManager.default.removeItem(atPath: file) }
    let load = Self.load.joined(separator: " ")
    let tool = try Tool(
      program: "/bin/bash",
      ["-c", "umask \(mask); exec '\(Tool.path)' write '\(file)' \(load)"]
    )
    #expect(tool.status == 0, "\(tool.errors)")
    let attributes = try FileManager.default.attributesOfItem(atPath: file)
    #expect(attributes[.posixPermissions] as? Int == permissions)
  }
}
