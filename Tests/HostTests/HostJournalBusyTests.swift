import Foundation
import LinuxIO
import NVMeAtomic
import Synchronization
import TestSupport
import Testing

/// One process has the journal, and nobody writes past it.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalBusyTests {
  private func write(_ path: String, by way: String) throws -> Tool {
    let page = HostRig.path("tmpfs/busy-page")
    try Data(repeating: 0x77, count: 4096).write(to: URL(fileURLWithPath: page))
    return try Tool(["write", path, "--path", way, "--at", "0", "--input", page, "--json"])
  }

  private func isBusy(_ failure: AtomicWriteError?) -> Bool {
    if case .busy = failure { true } else { false }
  }

  @Test(arguments: JournalledFile.filesystems)
  func aSecondOneIsToldThatItIsBusy(on filesystem: String) throws {
    let file = try JournalledFile(8192, on: filesystem)
    let target = try file.target()
    for arguments in [
      ["recover", file.path, "--json"], ["recover", file.path, "--dry-run", "--json"],
      ["journal", "drop", file.path, "--json"],
      ["journal", "init", file.path, "--size", "1m", "--json"],
      ["write", file.path, "--path", "journal", "--block-size", "4k", "--count", "1", "--json"],
    ] {
      let tool = try Tool(arguments)
      #expect(tool.status == 2, "\(arguments): \(tool.errors)")
      #expect(try tool.failure() == ["busy", "not-written"], "\(arguments)")
    }
    for way in ["journal", "plain"] {
      let tool = try write(file.path, by: way)
      #expect(tool.status == 2, "\(way): \(tool.errors)")
      #expect(try tool.failure() == ["busy", "not-written"], "\(way)")
    }
    #expect(isBusy(error { _ = try file.target() }), "one process twice")
    // By another name and another journal it is the same file.
    let link = file.path + ".link"
    defer { try? FileManager.default.removeItem(atPath: link) }
    try shell("ln '\(file.path)' '\(link)'")
    #expect(try write(link, by: "journal").failure() == ["busy", "not-written"])
    #expect(try file.contents.allSatisfy { $0 == 0x5a })
    withExtendedLifetime(target) {}
  }

  /// The lock goes with the target, and with a process however it ends.
  @Test func itIsFreeAfterwards() throws {
    let file = try JournalledFile(8192)
    do {
      let target = try file.target()
      try target.close()
    }
    #expect(try write(file.path, by: "journal").status == 0)
    #expect(try write(file.path, by: "plain").status == 0)
  }

  @Test func otherPathsAreKeptOutAndKeepItOut() throws {
    for (folder, ways) in [
      ("xfs", [WritePath.kernel, .plain]), ("exchange", [.exchange, .plain]),
    ] {
      if folder == "exchange", !HostRig.hasExchange { continue }
      if folder == "xfs", !HostRig.hasSoftwareAtomics { continue }
      let file = try JournalledFile(8192, on: folder)
      for way in ways {
        func open() throws -> AtomicTarget {
          try AtomicTarget(opening: Probe().report(on: file.path), path: way)
        }
        do {
          let journal = try file.target()
          #expect(isBusy(error { _ = try open() }), "\(way) beside a journal")
          #expect(try write(file.path, by: way.rawValue).failure() == ["busy", "not-written"])
          withExtendedLifetime(journal) {}
        }
        let other = try open()
        #expect(isBusy(error { _ = try file.target() }), "a journal beside \(way)")
        #expect(isBusy(error { try file.recover() }), "recovery beside \(way)")
        #expect(try write(file.path, by: "journal").failure() == ["busy", "not-written"])
        // They do not mind one another.
        _ = try open()
        withExtendedLifetime(other) {}
      }
    }
  }

  /// Otherwise replay would put back what is older.
  @Test func everyPathRecoversFirst() throws {
    for (folder, way) in [("xfs", WritePath.kernel), ("exchange", .exchange), ("ext4", .plain)] {
      if folder == "exchange", !HostRig.hasExchange { continue }
      if folder == "xfs", !HostRig.hasSoftwareAtomics { continue }
      let file = try JournalledFile(8192, on: folder)
      let pieces = [(offset: 10, bytes: pattern(1, byteCount: 5000)), (8000, [1])]
      try file.leave([pieces])
      #expect(try file.contents.allSatisfy { $0 == 0x5a })
      let tool = try write(file.path, by: way.rawValue)
      #expect(tool.status == 0, "\(way): \(tool.errors)")
      let page = [UInt8](repeating: 0x77, count: 4096)
      let expected = replacing([UInt8](repeating: 0x5a, count: 8192), pieces + [(0, page)])
      #expect(try file.contents == expected, "\(way)")
      #expect(try file.recover()?.wasInUse == false)
      #expect(try file.contents == expected, "\(way)")
    }
  }
}

extension HostJournalBusyTests {
  /// A program that was killed may have writes on their way in place, which keep the description
  /// open that they go by, and its lock: they would land over what comes next.
  @Test(arguments: JournalledFile.filesystems)
  func whoComesNextWaitsForWritesOfAProgramThatWasKilled(on filesystem: String) throws {
    let file = try JournalledFile(8192, on: filesystem)
    var left: OwnedFileDescriptor? = try OwnedFileDescriptor(
      opening: file.path,
      [.readWrite, .direct]
    )
    #expect(try left?.lock(RangeLock.placing, .exclusive) == true)
    let opened = Atomic(false)
    let finished = DispatchSemaphore(value: 0)
    let path = file.path
    Thread.detachNewThread {
      defer { finished.signal() }
      guard let recovered = try? TargetJournal.recover(Probe().report(on: path)) else { return }
      opened.store(!recovered.wasInUse, ordering: .relaxed)
    }
    #expect(finished.wait(timeout: .now() + .milliseconds(300)) == .timedOut)
    left = nil
    finished.wait()
    let isOpen = opened.load(ordering: .relaxed)
    #expect(isOpen)
    // The lock goes with whoever has closed it.
    try file.target().close()
    let next = try OwnedFileDescriptor(opening: file.path, [.readWrite, .direct])
    #expect(try next.lock(RangeLock.placing, .exclusive))
  }

  /// What an earlier program has left could not be brought in place for good: some of it may be.
  @Test(arguments: ["journal", "plain"])
  func recoveryThatFailsBeforeAWriteLeavesADoubt(by path: String) throws {
    let file = try VersionedFile(on: "ext4")
    try file.file.leave([VersionedFile.pieces(1)])
    let page = HostRig.path("tmpfs/doubt-page")
    try Data(repeating: 0x77, count: 4096).write(to: URL(fileURLWithPath: page))
    let write = [
      "write", file.file.path, "--path", path, "--at", "40k", "--input", page, "--json",
    ]
    let tool = try TracedTool.run(
      write,
      injecting: [TracedTool.withoutRing, "fdatasync:error=EIO:when=1"]
    )
    #expect(tool.status == 3, "\(tool.errors)")
    #expect(try tool.failure()[1] == "unknown")
    #expect(tool.errors.contains("nvme-atomic recover"), "\(tool.errors)")
    #expect(try file.file.recover(dryRun: true)?.transactions == 1)
    let again = try Tool(write)
    #expect(again.status == 0, "\(again.errors)")
    let written = try file.file.contents
    #expect(written[40 << 10..<44 << 10].allSatisfy { $0 == 0x77 })
    #expect(written[100..<5100].elementsEqual(VersionedFile.pieces(1)[0].bytes))
  }
}
