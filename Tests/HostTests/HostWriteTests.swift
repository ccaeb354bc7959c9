import Foundation
import LinuxIO
import NVMeAtomic
import SystemPackage
import TestSupport
import Testing

/// Atomic writes on the running kernel: XFS in software, and every refusal.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here")
)
struct HostWriteTests {
  /// Bytes that differ in every block of every pattern.
  private func pattern(_ seed: Int, byteCount: Int) -> [UInt8] {
    (0..<byteCount).map { UInt8(truncatingIfNeeded: ($0 >> 9) &* 31 &+ $0 &+ seed &* 101) }
  }

  private func withFile(
    byteCount: Int,
    _ body: (String) throws -> Void
  ) throws {
    let file = try HostRig.makeFile("xfs/\(UUID().uuidString)", byteCount: byteCount)
    defer { try? FileManager.default.removeItem(atPath: file) }
    try body(file)
  }

  @Test func everySizeLandsWholeAndNowhereElse() throws {
    try withFile(byteCount: 4 << 20) { file in
      let report = Probe().report(on: file)
      let minimum = try #require(report.kernelPath.minimumBytes)
      let maximum = try #require(report.kernelPath.maximumBytes)
      var model = try HostRig.contents(file)
      var writer = try AtomicWriter(opening: report)
      var length = Int(minimum)
      var seed = 1
      while length <= Int(maximum), length <= 2 << 20 {
        for offset in [0, length, model.count - length] {
          let bytes = pattern(seed, byteCount: length)
          let receipt = try writer.write(
            AlignedBuffer(copying: bytes),
            atBytes: UInt64(offset),
            durability: .onReturn
          )
          #expect(receipt.powerFailAtomic == PathPromise(backing: .software))
          #expect(receipt.isDurable == true)
          model.replaceSubrange(offset..<offset + length, with: bytes)
          seed += 1
        }
        #expect(try HostRig.contents(file) == model, "after writes of \(length)")
        length *= 2
      }
    }
  }

  @Test func theKernelTakesExactlyWhatThePlannerTakes() throws {
    try withFile(byteCount: 4 << 20) { file in
      let report = Probe().report(on: file)
      let maximum = try #require(report.kernelPath.maximumBytes)
      let raw = try OwnedFileDescriptor(opening: file, [.readWrite, .direct])
      let lengths: [UInt64] = [
        512, 1024, 2048, 4096, 8192, 12288, 16384, 20480, maximum, maximum * 2, maximum + 4096,
      ]
      for length in lengths where length <= 4 << 20 {
        for offset in [0, 512, 4096, length / 2, length, length * 3] as [UInt64] {
          let range = WriteRequest.Range.one(offsetBytes: offset, lengthBytes: length)
          let plan = Planner(report.limits).plan(WriteRequest(range, writer: .rwfAtomic))
          let buffer = AlignedBuffer(byteCount: Int(length))
          var isAccepted = true
          do throws(Errno) {
            let written = try buffer.withBytes { bytes throws(Errno) in
              try raw.write(bytes, atBytes: Int64(offset), .atomic)
            }
            #expect(written == Int(length))
          } catch {
            isAccepted = false
          }
          #expect((plan.kernel.promise != nil) == isAccepted, "\(length) at \(offset)")
        }
      }
    }
  }

  @Test func whatIsRefusedChangesNothing() throws {
    try withFile(byteCount: 1 << 20) { file in
      let before = try HostRig.contents(file)
      let report = Probe().report(on: file)
      var writer = try AtomicWriter(opening: report)
      let tooLong = Int(report.kernelPath.maximumBytes ?? 1 << 20) * 2
      for (length, offset) in [(0, 0), (100, 0), (12288, 0), (8192, 4096), (tooLong, 0)] {
        #expect(throws: AtomicWriteError.self) {
          _ = try writer.write(
            AlignedBuffer(copying: [UInt8](repeating: 1, count: length)),
            atBytes: UInt64(offset),
            durability: .onReturn
          )
        }
      }
      #expect(try HostRig.contents(file) == before)
    }
  }

  @Test func aFileThatWasReplacedIsNotWrittenTo() throws {
    try withFile(byteCount: 4096) { file in
      let report = Probe().report(on: file)
      try FileManager.default.removeItem(atPath: file)
      try Data(repeating: 9, count: 4096).write(to: URL(fileURLWithPath: file))
      #expect(throws: AtomicWriteError.targetChanged) {
        _ = try AtomicWriter(opening: report).target
      }
    }
  }

  @Test func aMountedDeviceIsBusy() throws {
    let report = Probe().report(on: try HostRig.device("xfs"))
    let error = #expect(throws: AtomicWriteError.self) {
      _ = try AtomicWriter(opening: report, overwritingExistingData: true).target
    }
    if case .busy? = error {} else { Issue.record("\(String(describing: error))") }
  }

  @Test func aDeviceWithAFilesystemIsNotOverwritten() throws {
    let report = Probe().report(on: try HostRig.device("free"))
    #expect(throws: AtomicWriteError.existingData(signature: "ext4")) {
      _ = try AtomicWriter(opening: report).target
    }
    #expect(throws: Never.self) {
      _ = try AtomicWriter(opening: report, overwritingExistingData: true).target
    }
  }
}
