import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

@Suite struct SysfsReaderTests {
  private static func reader(
    _ text: String?,
    fault: FixtureFault? = nil
  ) -> SysfsReader<FixtureMachine> {
    var world = FixtureWorld()
    if let text { world.tree.addText("/sys/x", text) }
    return SysfsReader(FixtureMachine(world, fault: fault))
  }

  @Test(
    arguments: [
      ("0\n", 0), ("512\n", 512), ("18446744073709551615\n", .max), ("007\n", 7),
    ] as [(String, UInt64)]
  )
  func wholeNumberIsRead(text: String, number: UInt64) {
    var reader = Self.reader(text)
    #expect(reader.number("/sys/x") == number)
    #expect(reader.unreadable == [])
  }

  @Test(arguments: [
    "", "\n", "512", "51", "-1\n", "-0\n", "+5\n", "1.5\n", "512 \n", " 512\n", "0x200\n", "none\n",
    "18446744073709551616\n", "５１２\n", "5 12\n", "1e3\n",
  ])
  func whatIsNoWholeNumberIsReported(text: String) {
    var reader = Self.reader(text)
    #expect(reader.number("/sys/x") == nil)
    #expect(reader.unreadable == ["/sys/x"])
  }

  @Test(
    arguments: [("a\n", "a"), ("a b\n", "a b"), ("a b  \n", "a b"), ("a\nb\n", "a")]
      as [(String, String)]
  )
  func lineIsReadWithoutItsBlanks(text: String, line: String) {
    var reader = Self.reader(text)
    #expect(reader.text("/sys/x") == line)
    #expect(reader.unreadable == [])
  }

  @Test(arguments: ["", "\n", "   \n", "pci", "   "])
  func textCutShortIsReported(text: String) {
    var reader = Self.reader(text)
    #expect(reader.text("/sys/x") == nil)
    #expect(reader.unreadable == ["/sys/x"])
  }

  /// Older kernels lack many attributes; that alone is no fault.
  @Test func missingAttributeIsUnknownWithoutComplaint() {
    var reader = Self.reader(nil)
    #expect(reader.number("/sys/x") == nil)
    #expect(reader.text("/sys/x") == nil)
    #expect(reader.unreadable == [])
  }

  @Test(arguments: FaultTests.errnos.filter { $0 != .noSuchFileOrDirectory })
  func unreadableAttributeIsReported(errno: Errno) {
    let call = FixtureCall(kind: .text, argument: "/sys/x")
    var reader = Self.reader("512\n", fault: .every(call, errno))
    #expect(reader.number("/sys/x") == nil)
    #expect(reader.text("/sys/x") == nil)
    #expect(reader.unreadable == ["/sys/x", "/sys/x"])
  }

  @Test(
    arguments: [
      ("write back", true, []), ("write through", false, []), (nil, nil, []),
      ("write sideways", nil, ["/sys/disk/queue/write_cache"]),
      ("write", nil, ["/sys/disk/queue/write_cache"]),
    ] as [(String?, Bool?, [String])]
  )
  func writeCacheHasTwoWords(text: String?, isWriteBack: Bool?, unreadable: [String]) {
    var world = FixtureWorld()
    if let text { world.tree.addText("/sys/disk/queue/write_cache", text + "\n") }
    var reader = SysfsReader(FixtureMachine(world))
    #expect(reader.queueLimits(ofDisk: "/sys/disk").writeBack == isWriteBack)
    #expect(reader.unreadable == unreadable)
  }

  @Test func linkAndNamesAreRead() {
    var world = FixtureWorld()
    world.tree.addLink("/sys/a/subsystem", to: "/sys/class/nvme")
    world.tree.addText("/sys/a/b", "1\n")
    let reader = SysfsReader(FixtureMachine(world))
    #expect(reader.linkName("/sys/a/subsystem") == "nvme")
    #expect(reader.linkName("/sys/a/none") == nil)
    #expect(reader.names("/sys/a") == ["b", "subsystem"])
    #expect(reader.names("/sys/none") == [])
    #expect(reader.exists("/sys/a/b"))
    #expect(!reader.exists("/sys/a/c"))
  }

  @Test(
    arguments: [("/a/b", "b", "/a"), ("b", "b", ""), ("/", "", ""), ("/a", "a", "")]
      as [(String, String, String)]
  )
  func pathIsTakenApart(path: String, last: String, parent: String) {
    #expect(path.lastComponent == last)
    #expect(path.parentPath == parent)
  }
}
