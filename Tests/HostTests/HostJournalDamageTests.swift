import Foundation
import NVMeAtomic
import TestSupport
import Testing

/// Journals that are not as they were left: what cannot be trusted is refused, and nothing written.
@Suite(.serialized, .enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
struct HostJournalDamageTests {
  /// Three transactions of one record each.
  private static let transactions = (1...3).map {
    [(offset: 4096 * $0 + 5, bytes: pattern($0, byteCount: 6000))]
  }

  private func live() throws -> (file: JournalledFile, image: JournalledFile.Image) {
    let file = try JournalledFile(40_000)
    try file.leave(Self.transactions)
    return (file, try file.image())
  }

  private static func after(_ count: Int) -> [UInt8] {
    transactions.prefix(count).reduce([UInt8](repeating: 0x5a, count: 40_000), replacing)
  }

  /// Where records begin.
  private func records(_ journal: [UInt8]) -> [Int] {
    stride(from: 0, to: journal.count, by: 4096).filter {
      journal[$0..<$0 + 8].elementsEqual("NVMATREC".utf8)
    }
  }

  /// Who comes next is refused, and neither file changes.
  private func expectRefusal(_ file: JournalledFile, _ codes: [String], _ what: String) throws {
    let before = try file.image()
    for arguments in [
      ["recover", file.path, "--json"], ["recover", file.path, "--dry-run", "--json"],
      ["journal", "drop", file.path, "--json"],
      ["write", file.path, "--path", "journal", "--at", "0", "--input", "/etc/passwd", "--json"],
      ["write", file.path, "--path", "plain", "--at", "0", "--input", "/etc/passwd", "--json"],
    ] {
      let tool = try Tool(arguments)
      #expect(tool.status == 2, "\(what), \(arguments): \(tool.output)\(tool.errors)")
      let failure = try tool.failure()
      #expect(codes.contains(failure[0]) && failure[1] == "not-written", "\(what): \(failure)")
    }
    #expect(try file.image().target == before.target, "\(what)")
    #expect(try file.image().journal == before.journal, "\(what)")
  }

  @Test func aSuperblockThatIsDamagedHasAnother() throws {
    let (file, image) = try live()
    for place in [0, image.journal.count - 4096] {
      for byte in [0, 3, 50, 96, 120] {
        var damaged = image
        damaged.journal[place + byte] ^= 0x40
        try file.restore(damaged)
        #expect(try file.recover()?.transactions == 3, "byte \(byte) at \(place)")
        #expect(try file.contents == Self.after(3))
      }
    }
    var both = image
    both.journal[50] ^= 1
    both.journal[image.journal.count - 4096 + 50] ^= 1
    try file.restore(both)
    try expectRefusal(file, ["journal-corrupt"], "both superblocks")
    for place in [0, image.journal.count - 4096] {
      both.journal.replaceSubrange(place..<place + 4096, with: [UInt8](repeating: 0, count: 4096))
    }
    try file.restore(both)
    try expectRefusal(file, ["journal-corrupt", "refused"], "no superblock")
  }

  @Test func damageInTheMiddleIsNoTornEnd() throws {
    let (file, image) = try live()
    let records = records(image.journal)
    #expect(records.count == 3)
    for place in [records[0] + 40, records[0] + 5000, records[1] + 120, records[1] + 9000] {
      var damaged = image
      damaged.journal[place] ^= 1
      try file.restore(damaged)
      try expectRefusal(file, ["journal-corrupt"], "byte \(place)")
    }
    try file.restore(image)
    #expect(try file.recover()?.transactions == 3)
  }

  /// Nothing proves the last one to have been whole: to a journal it is one that was never
  /// acknowledged.
  @Test func theLastRecordIsWholeOrNone() throws {
    let (file, image) = try live()
    let last = try #require(records(image.journal).last)
    for byte in [0, 16, 112, 4096, 4096 + 6000] {
      var damaged = image
      damaged.journal[last + byte] ^= 1
      try file.restore(damaged)
      let found = try #require(try file.recover())
      #expect(found.transactions == 2, "byte \(byte)")
      #expect(try file.contents == Self.after(2), "byte \(byte)")
    }
  }

  @Test func aJournalOfAnotherLengthIsRefused() throws {
    let (file, image) = try live()
    for count in [0, 1, 4096, 8192, image.journal.count - 4096, image.journal.count - 1] {
      var cut = image
      cut.journal = Array(image.journal.prefix(count))
      try file.restore(cut)
      try expectRefusal(file, ["journal-corrupt", "refused"], "\(count) bytes")
    }
    for more in [1, 4096, 1 << 20] {
      var grown = image
      grown.journal += [UInt8](repeating: 0, count: more)
      try file.restore(grown)
      try expectRefusal(file, ["journal-corrupt", "refused"], "\(more) bytes more")
    }
    try file.restore(image)
    #expect(try file.recover()?.transactions == 3)
    #expect(try file.contents == Self.after(3))
  }

  /// A random bit flipped anywhere: all of the transactions but perhaps the last one, or a refusal.
  @Test func aFlippedBitTearsNothing() throws {
    let (file, image) = try live()
    let end = try #require(records(image.journal).last) + 3 * 4096
    var random = SplitMix64(11)
    var (refusals, prefixes) = (0, [Int](repeating: 0, count: 4))
    for round in 0..<150 {
      var damaged = image
      damaged.journal[Int(random.below(UInt64(end)))] ^= 1 << UInt8(random.below(8))
      try file.restore(damaged)
      let failure = error { try file.recover() }
      guard let failure else {
        let contents = try file.contents
        let count = try #require(
          (0...3).first { contents == Self.after($0) },
          "round \(round): a mix"
        )
        prefixes[count] += 1
        continue
      }
      refusals += 1
      guard case .journal(.corrupt) = failure else {
        Issue.record("round \(round): \(failure)")
        continue
      }
      #expect(try file.contents == image.target)
    }
    #expect(refusals > 20 && prefixes[3] > 5, "\(refusals) \(prefixes)")
    #expect(prefixes[0] == 0 && prefixes[1] == 0, "acknowledged transactions were dropped")
    print("\(refusals) refusals, \(prefixes) transactions left")
  }

  /// What the file does not understand is not taken for something else.
  @Test func aMarkOfAnotherVersionIsRefused() throws {
    let (file, _) = try live()
    for mark in ["2 whatever", "", "1 00 /x", "1 \(String(repeating: "0", count: 32)) relative"] {
      try shell("setfattr -n user.nvme-atomic -v '\(mark)' '\(file.path)'")
      try expectRefusal(file, ["refused"], mark)
    }
  }
}
