import Testing

@testable import NVMeAtomic

/// The order in which `auto` looks for a path.
@Suite struct AutomaticRuleTests {
  private static let drive = Drive(definesFields: true, awun: 63, nawupf: 31)

  private static func file(
    _ derive: (inout World) -> Void,
    _ drive: Drive = drive
  ) -> TargetLimits {
    var world = World(drive, kind: .partition)
    world.target.startBytes = 1 << 20
    world.target.queue.nomerges = 2
    world.deriveQueue(.namespaceOnly)
    derive(&world)
    return world.target
  }

  private static func rule(
    _ limits: TargetLimits,
    _ length: UInt64?,
    _ durability: Durability = .onReturn,
    isLoad: Bool = false,
    isNamed: Bool = false,
    hasJournal: Bool = false
  ) -> AutomaticRule {
    let range = length.map {
      isLoad
        ? WriteRequest.Range.everyPage(sizeBytes: $0) : .one(offsetBytes: 0, lengthBytes: $0)
    }
    return Planner(limits).automaticRule(
      AutomaticRequest(
        range,
        durability: durability,
        isLoad: isLoad,
        isJournalNamed: isNamed,
        hasJournal: hasJournal
      )
    )
  }

  @Test func hardwareFirstThenTheJournal() {
    let ext4 = Self.file { $0.deriveExt4(block: 4096, cluster: 65_536) }
    #expect(Self.rule(ext4, 16_384) == .hardware)
    #expect(Self.rule(ext4, 16_384, isLoad: true) == .hardware)
    #expect(Self.rule(ext4, 16_384, hasJournal: true) == .hardware)
    // What a journal has that somebody names is never passed by.
    #expect(Self.rule(ext4, 16_384, isNamed: true) == .journalNamed)
    #expect(Self.rule(ext4, 32_768) == .journal)
    #expect(Self.rule(ext4, 32_768, hasJournal: true) == .journalThere)
    #expect(Self.rule(ext4, nil) == .journal)
  }

  @Test func xfsWithItsDriveNeverExchanges() {
    let xfs = Self.file {
      $0.deriveXFS(block: 4096, reflink: true, software: 2 << 20)
      $0.target.filesystem?.exchangeRange = true
    }
    #expect(Self.rule(xfs, 16_384, isLoad: true) == .hardware)
    #expect(Self.rule(xfs, 32_768) == .software)
    #expect(Self.rule(xfs, 32_768, isLoad: true) == .journal)
    #expect(Self.rule(xfs, 4 << 20) == .journal)
    #expect(Self.rule(xfs, nil) == .journal)
  }

  @Test func xfsInSoftware() {
    var xfs = Self.file(
      { $0.deriveXFS(block: 4096, reflink: true, software: 2 << 20) },
      Drive()
    )
    #expect(Self.rule(xfs, 16_384) == .software)
    #expect(Self.rule(xfs, 16_384, .none, isLoad: true) == .software)
    #expect(Self.rule(xfs, 16_384, isLoad: true) == .journal)
    #expect(Self.rule(xfs, 16_384, isLoad: true, hasJournal: true) == .journalThere)
    #expect(Self.rule(xfs, nil) == .journal)
    xfs.filesystem?.exchangeRange = true
    #expect(Self.rule(xfs, nil) == .exchange)
    #expect(Self.rule(xfs, 3000) == .exchange)
    #expect(Self.rule(xfs, nil, hasJournal: true) == .journalThere)
    #expect(Self.rule(xfs, 16_384, isLoad: true) == .journal)
    // What cannot be told may be hardware.
    xfs.queue.atomicWriteUnitMaxBytes = nil
    #expect(Self.rule(xfs, nil) == .journal)
  }

  @Test func blockDevicesHaveNoJournalUnlessItIsNamed() {
    let device = Self.file { _ in }
    #expect(Self.rule(device, 32_768) == .none)
    #expect(Self.rule(device, nil) == .none)
    #expect(Self.rule(device, nil, isNamed: true) == .journalNamed)
  }

  /// Passthrough is never taken, nor is a plain write.
  @Test func everyRuleHasAPathThatKeepsItsWord() {
    for rule in AutomaticRule.allCases {
      #expect([.kernel, .exchange, .journal].contains(rule.path))
      #expect(!rule.condition.isEmpty)
    }
  }
}
