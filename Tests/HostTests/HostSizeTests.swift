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
    #expect(try Tool(["write", before] + Self.load).status == 2)
    #expect(try HostRig.contents(before).allSatisfy { $0 == 0x5a })
  }

  @Test(
    arguments: [
      ("xfs/missing/file", "256k", "not-found"), ("xfs", "256k", "refused"),
      ("free.device", "1m", "refused"), ("tmpfs/large", "1g", "io"),
      ("xfs/zero", "0", "exceeds-limit"), ("xfs/huge", "8192p", "exceeds-limit"),
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
}
