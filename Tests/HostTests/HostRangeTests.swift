import Foundation
import LinuxIO
import SystemPackage
import Testing

@testable import NVMeAtomic

/// Where ranges of files lie, on the running kernel: loop devices have no atomic writes of their
/// own, so on XFS software keeps every range.
@Suite(.enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostRangeTests {
  private func withFile(
    _ system: String,
    _ make: (FileHandle) throws -> Void,
    _ body: (String) throws -> Void
  ) throws {
    let path = HostRig.path("\(system)/\(UUID().uuidString)")
    #expect(FileManager.default.createFile(atPath: path, contents: nil))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let file = try #require(FileHandle(forUpdatingAtPath: path))
    try make(file)
    try body(path)
    try file.close()
  }

  private func written(_ file: FileHandle) throws {
    try file.write(contentsOf: Data(repeating: 0x5a, count: 1 << 20))
    try file.synchronize()
  }

  private func map(_ path: String, _ offset: UInt64, _ length: UInt64) throws -> ExtentMap {
    try LiveMachine().extents(
      of: path,
      offsetBytes: offset,
      lengthBytes: length,
      countsWholeFile: true
    )
  }

  @Test(arguments: ["xfs", "ext4"])
  func aWrittenFileLiesWhereItsBytesAre(system: String) throws {
    try withFile(system, written) { path in
      let map = try map(path, 65536, 16384)
      #expect(map.isComplete)
      #expect(map.unwrittenPages == (try HostKernel.version() >= (6, 5) ? 0 : nil))
      #expect(map.extents.reduce(0) { $0 + $1.lengthBytes } >= 16384)
      // The device's own bytes, past every cache.
      let extent = try #require(map.extents.first)
      let device = try OwnedFileDescriptor(opening: try HostRig.device(system), .readOnly)
      try device.dropPages(offset: Int64(extent.physicalBytes), count: 4096)
      let handle = try #require(FileHandle(forReadingAtPath: try HostRig.device(system)))
      try handle.seek(toOffset: extent.physicalBytes)
      #expect(try handle.read(upToCount: 4096) == Data(repeating: 0x5a, count: 4096))
    }
  }

  @Test(arguments: ["xfs", "ext4"])
  func whatIsNotWrittenBackIsCounted(system: String) throws {
    let make = { (file: FileHandle) in
      try written(file)
      try file.seek(toOffset: 65536)
      try file.write(contentsOf: Data(repeating: 1, count: 4096))
    }
    try withFile(system, make) { path in
      guard let pages = try map(path, 65536, 16384).unwrittenPages else { return }
      #expect(pages > 0)
      let before = Probe().report(
        on: path,
        answering: Question(.one(offsetBytes: 65536, lengthBytes: 16384), writer: .rwfAtomic)
      )
      // Being looked at wrote nothing back.
      #expect(before.answer?.mapping?.hasUnwrittenPages == true)
      #expect(try map(path, 65536, 16384).unwrittenPages == pages)
    }
  }

  @Test(arguments: ["xfs", "ext4"])
  func holesHaveNoExtents(system: String) throws {
    try withFile(system, { try $0.truncate(atOffset: 1 << 20) }) { path in
      for (offset, length) in [(0, 65536), (1 << 30, 4096)] as [(UInt64, UInt64)] {
        let map = try map(path, offset, length)
        #expect(map.extents == [])
        #expect(map.isComplete)
      }
    }
  }

  @Test(arguments: ["xfs", "ext4"])
  func theLastPieceOfManyIsNoticed(system: String) throws {
    let make = { (file: FileHandle) in
      // Within the file nothing is allocated beyond what is written.
      try file.truncate(atOffset: 1 << 20)
      for index in 0..<40 as Range<UInt64> {
        try file.seek(toOffset: index * 16384)
        try file.write(contentsOf: Data(repeating: 2, count: 4096))
      }
      try file.synchronize()
    }
    try withFile(system, make) { path in
      let all = try map(path, 0, 40 * 16384)
      #expect(all.extents.count == 32)
      #expect(!all.isComplete)
      let some = try map(path, 0, 31 * 16384 + 4096)
      #expect(some.extents.count == 32)
      #expect(some.isComplete)
      if system == "xfs" { #expect(all.mappedBytes == 40 * 4096) }
    }
  }

  @Test func whatTellsNoExtentsSaysSo() throws {
    let file = try HostRig.makeFile("tmpfs/range", byteCount: 4096)
    defer { try? FileManager.default.removeItem(atPath: file) }
    #expect(throws: Errno.notSupportedOnSocket) { _ = try map(file, 0, 4096) }
    #expect(throws: Errno.invalidArgument) { _ = try map(file, 0, 0) }
    let question = Question(.one(offsetBytes: 0, lengthBytes: 4096), writer: .rwfAtomic)
    let report = Probe().report(on: file, answering: question)
    #expect(report.answer?.isAtomic == false)
    #expect(report.answer?.mapping == nil)
  }

  // MARK: XFS in software

  @Test(
    .enabled(if: HostRig.hasSoftwareAtomics, "\(HostRig.noSoftwareAtomics)"),
    arguments: [4096, 65536, 1 << 20] as [UInt64]
  )
  func everyRangeOnALoopDeviceIsMoved(length: UInt64) throws {
    try withFile("xfs", written) { path in
      let question = Question(.one(offsetBytes: 0, lengthBytes: length), writer: .rwfAtomic)
      let report = Probe().report(on: path, answering: question)
      let answer = try #require(report.answer)
      #expect((answer.isAtomic, answer.backing) == (true, .software))
      let before = try #require(answer.mapping?.extents.first)
      #expect(!report.findings.contains { $0.code == .rangeFallsToSoftware })
      #expect(report.findings.contains { $0.code == .softwareBacked })
      let raw = try OwnedFileDescriptor(opening: path, [.readWrite, .direct])
      let buffer = AlignedBuffer(byteCount: Int(length))
      let count = try buffer.withBytes { bytes throws(Errno) in
        try raw.write(bytes, atBytes: 0, .atomic)
      }
      #expect(count == Int(length))
      let after = try #require(try map(path, 0, length).extents.first)
      #expect(before.physicalBytes != after.physicalBytes, "the kernel moved it")
    }
  }

  /// Direct writes of less than a block end with the first clone: only then XFS has copies.
  @Test func aCloneIsSeenInTheAlignmentAndInTheFlags() throws {
    try withFile("xfs", written) { path in
      let before = try map(path, 0, 65536)
      let copy = path + "-clone"
      defer { try? FileManager.default.removeItem(atPath: copy) }
      #expect(try Tool(program: "/bin/cp", ["--reflink=always", path, copy]).status == 0)
      let after = try map(path, 0, 65536)
      #expect(before.extents.allSatisfy { $0.flags & FileExtent.Flags.shared.rawValue == 0 })
      #expect(after.extents.allSatisfy { $0.flags & FileExtent.Flags.shared.rawValue != 0 })
      let (old, new) = (before.status.directIO, after.status.directIO)
      guard let read = old?.readOffsetBytes else { return }
      #expect(old?.offsetBytes == read)
      #expect((new?.offsetBytes ?? 0) > new?.readOffsetBytes ?? .max)
    }
  }
}
