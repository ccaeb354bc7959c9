import NVMeAtomic

/// A namespace in memory, as the NVM Command Set Specification 1.2 describes one: blocks, atomic
/// units, boundaries, a volatile write cache, and what a power failure may leave of all that.
///
/// Deterministic: no clock, and every choice is its caller's. Sizes are counts of logical blocks,
/// so that what decodes the raw fields is held against something that knows none of them.
package final class SimulatedDrive {
  /// What the drive declares, and keeps.
  package struct Geometry: Sendable {
    package var blockBytes = 512
    package var blocks = 64
    /// Blocks that a power failure leaves all old or all new, at least 1.
    package var powerFailBlocks = 4
    /// The lines that such a write may not cross: every so many blocks, 0 for none, the first after
    /// so many.
    package var boundaryBlocks = 0
    package var boundaryOffsetBlocks = 0
    /// Whether the limit is declared for the namespace (NAWUPF), or for the controller (AWUPF).
    package var isOfNamespace = true
    package var hasVolatileCache = true
    /// Whether a write that has ended and is still in the cache is torn where it is lost: nobody
    /// says that it is not.
    package var tearsCached = false

    package init() {}
  }

  /// What a drive may do against its word.
  package enum Lie: String, Sendable, CaseIterable {
    /// A flush ends and has done nothing.
    case ignoresFlushes = "ignores-flushes"
    /// FUA is taken for nothing.
    case ignoresFUA = "ignores-fua"
    /// A write within the unit is torn all the same.
    case tearsUnits = "tears-units"
    /// A block lands beside its place.
    case misdirects
    /// A block holds what nobody wrote.
    case corrupts
  }

  /// A write that the drive has taken.
  struct Write {
    var number: UInt32
    var firstBlock: Int
    var bytes: [UInt8]
    var isForced: Bool
    /// Whether it may be torn when it is lost.
    var isWhole: Bool
    var state: State

    enum State {
      case onItsWay, cached, stable
    }
  }

  package let geometry: Geometry
  package let lie: Lie?
  /// What certainly survives, but for ``writes``, which lie over it in this order.
  private(set) var base: [UInt8]
  private(set) var writes: [Write] = []
  private var number: UInt32 = 0

  /// Takes on what an earlier power failure left, or is all zero.
  package init(_ geometry: Geometry, image: [UInt8]? = nil, lie: Lie? = nil) {
    precondition(geometry.powerFailBlocks > 0 && geometry.blocks > 0)
    self.geometry = geometry
    self.lie = lie
    base = image ?? [UInt8](repeating: 0, count: geometry.blocks * geometry.blockBytes)
    precondition(base.count == geometry.blocks * geometry.blockBytes)
  }

  // MARK: Commands

  /// A Write command arrives; its number.
  func begin(firstBlock: Int, bytes: [UInt8], isForced: Bool) -> UInt32 {
    let blocks = bytes.count / geometry.blockBytes
    precondition(firstBlock >= 0 && firstBlock + blocks <= geometry.blocks)
    number &+= 1
    let write = Write(
      number: number,
      firstBlock: firstBlock,
      bytes: bytes,
      isForced: isForced && lie != .ignoresFUA,
      isWhole: keepsWhole(firstBlock..<firstBlock + blocks),
      state: .onItsWay
    )
    writes.append(write)
    return number
  }

  /// Takes the bytes of a write on its way once more, from the begin of memory; how many it has.
  func takeAgain(_ number: UInt32, from memory: UnsafeRawBufferPointer) -> Int {
    guard let place = writes.firstIndex(where: { $0.number == number }) else { return 0 }
    let count = writes[place].bytes.count
    // SAFETY: the memory is lent for the call, and the subscript checks its bounds.
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: memory[..<count])
    unsafe writes[place].bytes.withUnsafeMutableBytes { unsafe $0.copyMemory(from: bytes) }
    return count
  }

  /// The command ends well: readers see it, and it lies over whatever ended before.
  func end(_ number: UInt32) {
    guard let place = writes.firstIndex(where: { $0.number == number }) else { return }
    var write = writes.remove(at: place)
    let isStable = write.isForced || !geometry.hasVolatileCache
    write.state = isStable ? .stable : .cached
    let next = writes.firstIndex { $0.state == .onItsWay } ?? writes.endIndex
    writes.insert(write, at: next)
    settle()
  }

  /// The command fails: nothing of it was done, or all of it, with FUA perhaps only in the cache.
  /// A cache that may tear what lies there is passed by then: nobody promises that much of errors.
  func fail(_ number: UInt32, isDone: Bool) {
    guard let place = writes.firstIndex(where: { $0.number == number }) else { return }
    if !geometry.tearsCached { writes[place].isForced = false }
    if isDone { end(number) } else { writes.remove(at: place) }
    settle()
  }

  /// What a Flush command that arrives now is to make durable: all that has ended.
  var ended: [UInt32] { writes.filter { $0.state != .onItsWay }.map(\.number) }

  /// A Flush command ends that arrived when these had ended, and does no more.
  func flush(_ numbers: [UInt32]) {
    if lie == .ignoresFlushes { return }
    for place in writes.indices where numbers.contains(writes[place].number) {
      writes[place].state = .stable
    }
    settle()
  }

  /// What a reader sees now: every write that has ended.
  func visible(firstBlock: Int, count: Int) -> [UInt8] {
    let start = firstBlock * geometry.blockBytes
    if writes.allSatisfy({ $0.state == .onItsWay }) { return Array(base[start..<start + count]) }
    var image = base
    for write in writes where write.state != .onItsWay { put(write, into: &image) }
    return Array(image[start..<start + count])
  }

  /// Stable writes that no other lies under belong to the base.
  private func settle() {
    while let first = writes.first, first.state == .stable {
      put(first, into: &base)
      writes.removeFirst()
    }
  }

  private func put(_ write: Write, into image: inout [UInt8]) {
    let start = write.firstBlock * geometry.blockBytes
    image.replaceSubrange(start..<start + write.bytes.count, with: write.bytes)
  }

  /// Within the unit, and within one window of the boundary.
  private func keepsWhole(_ blocks: Range<Int>) -> Bool {
    guard blocks.count <= geometry.powerFailBlocks else { return false }
    guard geometry.boundaryBlocks > 0 else { return true }
    // The first window begins where the offset says, and ends early where that is not 0.
    let (lines, offset) = (
      geometry.boundaryBlocks, geometry.boundaryOffsetBlocks % geometry.boundaryBlocks
    )
    func window(_ block: Int) -> Int { (block - offset + lines) / lines }
    return window(blocks.lowerBound) == window(blocks.upperBound - 1)
  }

  // MARK: What it declares

  /// Identify, decoded as the library decodes any drive's.
  var limits: DeviceLimits? {
    guard let controller = IdentifyController(page: controllerPage),
      let namespace = IdentifyNamespace(page: namespacePage)
    else { return nil }
    return DeviceLimits(
      controller: controller,
      namespace: namespace,
      writeAtomicityNormal: false,
      writeCacheEnabled: geometry.hasVolatileCache
    )
  }

  /// NVM Command Set Specification 1.2, section 4.1.5: AWUPF is 0's-based.
  private var controllerPage: [UInt8] {
    var page = [UInt8](repeating: 0, count: 4096)
    page[525] = geometry.hasVolatileCache ? 1 : 0
    Self.put(UInt16(geometry.isOfNamespace ? 0 : geometry.powerFailBlocks - 1), at: 526, &page)
    Self.put(UInt16(geometry.isOfNamespace ? 0 : geometry.powerFailBlocks - 1), at: 528, &page)
    return page
  }

  /// The same, section 4.1.5.1: NAWUPF and NABSPF are 0's-based, NABO is not.
  private var namespacePage: [UInt8] {
    var page = [UInt8](repeating: 0, count: 4096)
    Self.put(UInt64(geometry.blocks), at: 0, &page)
    page[24] = geometry.isOfNamespace ? 2 : 0
    if geometry.isOfNamespace {
      Self.put(UInt16(geometry.powerFailBlocks - 1), at: 34, &page)
      Self.put(UInt16(geometry.powerFailBlocks - 1), at: 36, &page)
    }
    let lines = UInt16(max(geometry.boundaryBlocks - 1, 0))
    Self.put(lines, at: 40, &page)
    Self.put(UInt16(geometry.boundaryOffsetBlocks), at: 42, &page)
    Self.put(lines, at: 44, &page)
    page[130] = UInt8(geometry.blockBytes.trailingZeroBitCount)
    return page
  }

  private static func put(_ value: some FixedWidthInteger, at offset: Int, _ page: inout [UInt8]) {
    for index in 0..<(value.bitWidth / 8) {
      page[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
    }
  }
}
