import Foundation
import NVMeAtomic
import Testing

/// Loads whose system calls fail: one line, the exit code that says what is known, and a document.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostFailingLoadTests {
  private func load(
    on filesystem: String = "ext4",
    _ options: String,
    injecting faults: [String]
  ) throws -> (tool: Tool, failure: [String]) {
    let file = try HostRig.makeFile("\(filesystem)/\(UUID().uuidString)", byteCount: 1 << 20)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let arguments = ["write", file, "--json", "--block-size", "4k"]
    let tool = try TracedTool.run(
      arguments + options.split(separator: " ").map(String.init),
      injecting: faults
    )
    return (tool, tool.status == 0 ? [] : try tool.failure())
  }

  /// The ring itself fails, with writes on their way or none.
  @Test(arguments: 1...6, ["EIO", "ENOMEM"])
  func theRingFails(call: Int, errno: String) throws {
    let (tool, failure) = try load(
      "--path plain --range 0:8k --count 8 --engine io_uring --queue-depth 2",
      injecting: ["io_uring_enter:error=\(errno):when=\(call)"]
    )
    // It may have made fewer calls.
    if tool.status == 0 { return #expect(call > 3) }
    #expect(
      tool.status == 2 && failure.last == "not-written"
        || tool.status == 3 && failure.last == "unknown",
      "\(tool.status) \(tool.output)\(tool.errors)"
    )
  }

  @Test(arguments: ["", "--threads 4"])
  func aWriteInTheMiddleFails(threads: String) throws {
    let (tool, failure) = try load(
      "--path plain --count 64 --engine sync \(threads)",
      injecting: ["pwritev2:error=EIO:when=5"]
    )
    #expect(tool.status == 3 && failure.last == "unknown", "\(tool.output)\(tool.errors)")
  }

  /// What was written may be anything by now.
  @Test(arguments: ["fdatasync", "fsync"])
  func theFlushAtTheEndFails(call: String) throws {
    let (tool, failure) = try load(
      "--path plain --count 8 --engine sync --durable end",
      injecting: ["\(call):error=EIO"]
    )
    if call == "fsync", tool.status == 0 { return }
    #expect(tool.status == 3 && failure.last == "unknown", "\(tool.output)\(tool.errors)")
  }

  @Test(
    arguments: ["pwritev2", "fdatasync", "fallocate", "io_uring_enter"],
    ["", "--threads 4", "--durable each"]
  )
  func aJournalFails(call: String, options: String) throws {
    let file = try JournalledFile(1 << 20, on: "ext4")
    for (number, errno) in [(1, "EIO"), (4, "ENOSPC"), (9, "EIO")] {
      var faults = ["\(call):error=\(errno):when=\(number)"]
      if call != "io_uring_enter" { faults.append(TracedTool.withoutRing) }
      let arguments = [
        "write", file.path, "--path", "journal", "--block-size", "4k", "--count", "64", "--json",
      ]
      let tool = try TracedTool.run(
        arguments + options.split(separator: " ").map(String.init),
        injecting: faults
      )
      let what = "\(call) \(number) \(errno): \(tool.status) \(tool.errors)"
      if tool.status != 0 {
        let failure = try tool.failure()
        #expect(
          tool.status == 2 && failure.last == "not-written"
            || tool.status == 3 && failure.last == "unknown",
          "\(what)"
        )
      }
      try file.recover()
      #expect(try file.contents.count == 1 << 20, "\(what)")
      #expect(try Tool(arguments).status == 0, "\(what): and is not written to any more")
    }
  }

  /// A device whose pages somebody keeps is waited for, and then left as it was.
  @Test func whatStaysBusyIsNotWritten() throws {
    let device = try ScratchDevice(1 << 20)
    let page = HostRig.path("ext4/\(UUID().uuidString)")
    try Data(repeating: 7, count: 4096).write(to: URL(fileURLWithPath: page))
    defer { try? FileManager.default.removeItem(atPath: page) }
    let arguments = [
      "write", device.path, "--path", "plain", "--at", "0", "--input", page, "--json",
      "--overwrite-existing-data",
    ]
    let once = try TracedTool.run(arguments, injecting: ["pwritev2:error=EAGAIN:when=1"])
    #expect(once.status == 0, "\(once.output)\(once.errors)")
    try Data(repeating: 8, count: 4096).write(to: URL(fileURLWithPath: page))
    let never = try TracedTool.run(arguments, injecting: ["pwritev2:error=EAGAIN"])
    #expect(never.status == 2, "\(never.output)\(never.errors)")
    #expect(try never.failure() == ["busy", "not-written"])
    #expect(try shell("head -c 1 \(device.path) | xxd -p") == "07")
  }

  /// What a report says is held against the device as it is when it is opened.
  @Test func aChangedDeviceIsNotWrittenTo() throws {
    let device = try ScratchDevice(1 << 20)
    let report = Probe().report(on: device.path)
    let name = device.path.split(separator: "/").last ?? ""
    let setting = "/sys/block/\(name)/queue/nomerges"
    let before = try shell("cat \(setting)")
    try shell("echo \(before == "2" ? 0 : 2) >\(setting)")
    defer { _ = try? shell("echo \(before) >\(setting)") }
    let error = #expect(throws: AtomicWriteError.self) {
      _ = try AtomicTarget(opening: report, path: .plain, overwritingExistingData: true)
    }
    if case .targetChanged? = error {} else { Issue.record("\(String(describing: error))") }
  }
}
