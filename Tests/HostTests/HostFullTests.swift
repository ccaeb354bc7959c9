import Foundation
import NVMeAtomic
import SystemPackage
import Testing

/// A filesystem without a free block, which is of its own, as others would be disturbed.
@Suite(
  .serialized,
  .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"),
  .enabled(if: HostRig.hasSoftwareAtomics, "no RWF_ATOMIC on XFS without hardware here")
)
struct HostFullTests {
  private func outcome(_ tool: Tool) throws -> String? {
    (try tool.json()["error"] as? [String: Any])?["outcome"] as? String
  }

  /// Copy-on-write needs free blocks.
  @Test func aFullFilesystemLosesNothing() throws {
    let file = try HostRig.makeFile("full/data", byteCount: 1 << 20)
    defer {
      try? FileManager.default.removeItem(atPath: file)
      try? FileManager.default.removeItem(atPath: HostRig.path("full/filler"))
    }
    var writer = try AtomicWriter(opening: Probe().report(on: file))
    let filler = try FileDescriptor.open(
      FilePath(HostRig.path("full/filler")),
      .writeOnly,
      options: .create,
      permissions: .ownerReadWrite
    )
    for chunk in [1 << 20, 4096] {
      while (try? filler.writeAll([UInt8](repeating: 7, count: chunk))) != nil {}
    }
    try filler.close()
    // A few blocks stay in reserve, but every write leaves fewer.
    var kept = try HostRig.contents(file)
    for round in 0..<256 {
      let bytes = [UInt8](repeating: UInt8(round), count: 1 << 20)
      do throws(AtomicWriteError) {
        _ = try writer.write(AlignedBuffer(copying: bytes), atBytes: 0, durability: .none)
        kept = bytes
      } catch {
        guard case .notWritten(.system(let system)) = error else { throw error }
        #expect(system.code == Errno.noSpace.rawValue)
        #expect(try HostRig.contents(file) == kept)
        return
      }
    }
    Issue.record("the filesystem never filled up")
  }

  /// A plain write over written blocks and a hole: the error of the second hides the first.
  @Test func aPlainWriteThatFailsMayHaveWritten() throws {
    let (file, filler) = (HostRig.path("full/part"), HostRig.path("full/filler"))
    defer { for path in [file, filler] { try? FileManager.default.removeItem(atPath: path) } }
    let tool = try Tool(
      program: "/bin/bash",
      [
        "-c",
        """
        TOOL='\(Tool.path)'
        truncate -s 1G '\(file)'
        dd if=/dev/zero of='\(file)' bs=1M count=1 conv=notrunc,fsync status=none
        dd if=/dev/zero of='\(filler)' bs=1M status=none 2>/dev/null
        sync -f '\(filler)'
        head -c 4194304 /dev/urandom |
          exec $TOOL write '\(file)' --at 0 --input - --path plain --durable none --json
        """,
      ]
    )
    #expect(tool.status == 3, "\(tool.errors)")
    #expect(try outcome(tool) == "unknown")
    #expect(tool.errors.contains("may hold a mix"))
    let begin = try FileHandle(forReadingFrom: URL(fileURLWithPath: file)).read(upToCount: 1 << 20)
    #expect(begin != Data(count: 1 << 20), "wrote nothing")
  }
}
