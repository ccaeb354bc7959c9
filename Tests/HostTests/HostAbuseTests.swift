import Foundation
import TestSupport
import Testing

/// What goes wrong around a write: nothing is told that is not so, and nobody else's bytes are hit.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here")
)
struct HostAbuseTests {
  private static let mebibyte = 1 << 20

  /// By a shell, `$TOOL` being the program; the exit code is the shell's.
  private func shell(_ script: String) throws -> Tool {
    try Tool(program: "/bin/bash", ["-c", "TOOL='\(Tool.path)'\n" + script])
  }

  private func withFile(_ name: String, _ body: (String) throws -> Void) throws {
    let file = try HostRig.makeFile("xfs/\(name)", byteCount: Self.mebibyte)
    defer { try? FileManager.default.removeItem(atPath: file) }
    try body(file)
  }

  private func code(_ tool: Tool) throws -> String? {
    (try tool.json()["error"] as? [String: Any])?["code"] as? String
  }

  private func outcome(_ tool: Tool) throws -> String? {
    (try tool.json()["error"] as? [String: Any])?["outcome"] as? String
  }

  /// The target does not become standard output where there is none: the report would be written
  /// to it.
  @Test(arguments: [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
  func closedDescriptorsAreNotTheTarget(closed: String) throws {
    try withFile("closed") { file in
      let tool = try shell(
        "exec $TOOL write '\(file)' --block-size 16k --count 3 --range 32k:32k --json \(closed)"
      )
      // Where it went to a file with direct I/O, it could not be printed.
      #expect(tool.status == 0, "\(tool.errors)")
      let bytes = try HostRig.contents(file)
      #expect(
        bytes[..<32768].allSatisfy { $0 == 0x5a } && bytes[65536...].allSatisfy { $0 == 0x5a }
      )
    }
  }

  /// Who has written and cannot say so does not say that nothing was written.
  @Test(arguments: ["--at 0 --input /dev/zero", "--block-size 16k --count 3"])
  func aLostReportIsNoSuccess(options: String) throws {
    try withFile("lost") { file in
      let input = "head -c 16384 /dev/zero | $TOOL write '\(file)' "
      let options = options.replacing("/dev/zero", with: "-")
      for form in ["", "--json"] {
        let tool = try shell("\(input) \(options) \(form) >/dev/full")
        #expect(tool.status == 3, "\(tool.errors)")
        #expect(tool.errors.contains("could not be printed: No space left on device"))
        #expect(tool.errors.split(separator: "\n").count == 1)
      }
    }
  }

  /// Swift would repair them to the name of another file.
  @Test func aNameThatIsNotUTF8IsRefused() throws {
    let folder = HostRig.path("xfs")
    let before = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    let tool = try shell(
      "exec $TOOL write '\(folder)'/$'bad\\xff' --size 64k --block-size 16k --count 1 --json"
    )
    #expect(tool.status == 64)
    #expect(try code(tool) == "usage")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == before)
  }

  @Test(
    arguments: [
      ["write", "x", "--at", "0"], ["probe"], ["write", "--what"],
      ["write", "x", "--at", "0", "--at", "4k", "--input", "y"],
      ["write", "x", "--at", "0", "--input", "y", "--input", "z"],
    ]
  )
  func wrongUsageIsADocumentToo(arguments: [String]) throws {
    let tool = try Tool(arguments + ["--json"])
    #expect(tool.status == 64)
    #expect(try tool.json()["format"] as? String == "nvme-atomic-\(arguments[0])/1")
    #expect(try code(tool) == "usage")
    #expect(try outcome(tool) == "not-written")
    #expect(tool.errors.contains("Usage:"))
    let plain = try Tool(arguments)
    #expect(plain.status == 64)
    #expect(plain.output.isEmpty)
  }

  /// Whatever a thread lacks, it lacks before any of them has written.
  @Test(
    arguments: [
      ("ulimit -v 1000000", "--block-size 1m --engine io_uring --queue-depth 4096", "no memory"),
      ("ulimit -v 100000", "--block-size 16k --threads 16 --engine io_uring", "no memory"),
      ("ulimit -n 14", "--block-size 16k --threads 20 --engine io_uring", "no ring"),
      ("ulimit -n 4", "--block-size 16k", "no descriptor"),
    ]
  )
  func whatTheSystemLacksCostsNoWrite(limit: String, options: String, words: String) throws {
    let made = HostRig.path("xfs/lacks-made")
    let new = try shell(
      "\(limit); exec $TOOL write '\(made)' --size 1m --runtime 1s --json \(options)"
    )
    #expect(new.status == 2, "\(new.errors)")
    #expect(!FileManager.default.fileExists(atPath: made))
    try withFile("lacks") { file in
      let tool = try shell(
        "\(limit); exec $TOOL write '\(file)' --runtime 1s --json \(options)"
      )
      #expect(tool.status == 2, "\(tool.errors)")
      #expect(tool.errors.contains("\(words) to be had"), "\(tool.errors)")
      #expect(tool.errors.split(separator: "\n").count == 1)
      #expect(try tool.json()["operations"] as? Int ?? 0 == 0)
      #expect(try HostRig.contents(file).allSatisfy { $0 == 0x5a })
    }
  }

  /// What was not asked for a flush is not told durable: the kernel sends none here.
  @Test(arguments: ["nobarrier", "barrier"])
  func aPlainWriteIsDurableOnlyWhereFlushesAre(option: String) throws {
    let image = HostRig.path("xfs/\(option)")
    let tool = try shell(
      """
      truncate -s 64M '\(image)'
      mkfs.ext4 -q '\(image)'
      mkdir '\(image).folder'
      mount -o loop,\(option) '\(image)' '\(image).folder'
      cd '\(image).folder'
      fallocate -l 1M file
      head -c 16384 /dev/zero | $TOOL write file --at 0 --input - --path plain
      echo "once $?"
      head -c 16384 /dev/zero | $TOOL write file --at 0 --input - --path plain --durable none
      $TOOL write file --block-size 16k --count 3 --path plain --durable end --json
      echo "end $?"
      $TOOL write file --block-size 16k --count 3 --path plain --durable each --json
      echo "each $?"
      cd /
      umount '\(image).folder'
      rmdir '\(image).folder'
      rm '\(image)'
      """
    )
    let code = option == "barrier" ? 0 : 2
    for name in ["once", "end", "each"] {
      #expect(tool.output.contains("\(name) \(code)\n"), "\(tool.output)\(tool.errors)")
    }
    #expect(tool.output.contains("durable: no"))
    #expect(tool.output.contains("durable: yes") == (code == 0))
    #expect(tool.output.contains("\"durable\": true") == (code == 0))
    #expect(tool.errors.contains("barrier=1") == (code == 2))
  }

  /// Larger than the kernel splits: `RWF_NOWAIT` would be refused.
  @Test func aPlainWriteToADeviceMayBeLarge() throws {
    let image = HostRig.path("xfs/large")
    let tool = try shell(
      """
      truncate -s 64M '\(image)'
      device=$(losetup --show --find '\(image)')
      echo 128 >/sys/block/${device#/dev/}/queue/max_sectors_kb
      head -c 1048576 /dev/urandom >'\(image).input'
      $TOOL write $device --at 0 --input '\(image).input' --path plain
      status=$?
      cmp -n 1048576 $device '\(image).input' || status=100
      $TOOL write $device --block-size 1m --count 4 --path plain >/dev/null || status=$?
      losetup -d $device
      rm '\(image)' '\(image).input'
      exit $status
      """
    )
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(tool.output.contains("by an ordinary write"))
  }

  /// A pipe that does not wait.
  @Test func inputIsWaitedFor() throws {
    try withFile("waits") { file in
      let tool = try Tool(
        program: "/usr/bin/python3",
        [
          "-c",
          """
          import os, subprocess, time
          out, into = os.pipe()
          os.set_blocking(out, False)
          command = "\(Tool.path) write \(file) --at 0 --input -"
          tool = subprocess.Popen(command.split(), stdin=out)
          time.sleep(0.3)
          os.write(into, b"x" * 8192)
          time.sleep(0.1)
          os.write(into, b"x" * 8192)
          os.close(into)
          exit(tool.wait())
          """,
        ]
      )
      #expect(tool.status == 0, "\(tool.errors)")
      #expect(try HostRig.contents(file)[..<16384].allSatisfy { $0 == 0x78 })
    }
  }

  /// A reader of the report that takes its time.
  @Test func outputIsWaitedFor() throws {
    try withFile("slow") { file in
      let tool = try Tool(
        program: "/usr/bin/python3",
        [
          "-c",
          """
          import json, os, subprocess, time
          out, into = os.pipe()
          os.set_blocking(into, False)
          filled = 0
          try:
              while True: filled += os.write(into, b" " * 4096)
          except BlockingIOError: pass
          command = "\(Tool.path) write \(file) --block-size 16k --count 3 --json"
          tool = subprocess.Popen(command.split(), stdout=into)
          os.close(into)
          time.sleep(0.5)
          with os.fdopen(out, "rb") as pipe: text = pipe.read()
          assert json.loads(text[filled:])["operations"] == 3
          exit(tool.wait())
          """,
        ]
      )
      #expect(tool.status == 0, "\(tool.errors)")
    }
  }

  /// Swift asks /proc for the arguments: without them a program does what it does without any.
  @Test func withoutProcNothingIsMistaken() throws {
    try withFile("proc") { file in
      let tool = try Tool(
        program: "/usr/bin/unshare",
        [
          "--mount", "/bin/bash", "-c",
          "umount -l /proc; exec '\(Tool.path)' probe '\(file)' --page-size 1g --json",
        ]
      )
      #expect(tool.status == 2, "\(tool.output)")
      #expect(tool.output.contains("nvme-atomic-probe/1"))
    }
  }

  @Test func aPlainWriteIsNoStrictOne() throws {
    try withFile("strict") { file in
      for options in ["--at 0 --input /dev/zero", "--block-size 16k --count 1"] {
        let tool = try shell("$TOOL write '\(file)' --path plain --strict \(options)")
        #expect(tool.status == 64)
        #expect(tool.errors.contains("--path plain gives none"))
      }
      #expect(try HostRig.contents(file).allSatisfy { $0 == 0x5a })
    }
  }

  /// As many threads as there may be are no slower to begin than to write.
  @Test func manyThreadsBeginTogether() throws {
    let file = try HostRig.makeFile("xfs/threads", byteCount: 1024 * 4096)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let tool = try shell(
      "timeout 60 $TOOL write '\(file)' --block-size 4k --threads 1024 --count 2048 --json"
    )
    #expect(tool.status == 0, "\(tool.errors)")
    #expect(try tool.json()["operations"] as? Int == 2048)
  }

  /// A log elsewhere may cache what nobody flushes.
  @Test func durabilityIsNotKnownWithALogElsewhere() throws {
    let image = HostRig.path("xfs/log-elsewhere")
    let tool = try shell(
      """
      truncate -s 400M '\(image)'
      truncate -s 64M '\(image).log'
      data=$(losetup --show --find '\(image)')
      log=$(losetup --show --find '\(image).log')
      mkfs.xfs -q -l logdev=$log $data
      mkdir '\(image).folder'
      mount -o logdev=$log $data '\(image).folder'
      fallocate -l 1M '\(image).folder/file'
      for durable in each end; do
        $TOOL write '\(image).folder/file' --block-size 16k --count 3 --path plain \
          --durable $durable --json
      done
      head -c 16384 /dev/zero |
        $TOOL write '\(image).folder/file' --at 0 --input - --path plain --json
      umount '\(image).folder'
      losetup -d $data $log
      rm -r '\(image)' '\(image).log' '\(image).folder'
      """
    )
    #expect(tool.output.components(separatedBy: "\"durable\": null").count == 4, "\(tool)")
  }
}
