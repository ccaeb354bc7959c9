import LinuxIO
import NVMeAtomic
import SystemPackage

/// Knows which transactions were begun and which were told as done, and holds what recovery makes
/// of each image to it: all of them up to one that is not older than the last that was told.
final class JournalWitness {
  /// How the target looks after each transaction; the first is before any.
  private var states: [[UInt8]]
  /// The last one that was told as done.
  private var toldState = 0
  private let layout: JournalLayout
  private let mostImages: Int
  private var random: SplitMix64
  /// What cuts the power, and where its images go.
  private var cuts: [PowerCut] = []
  private var file: SimulatedFile?
  private var names: SimulatedNames?
  /// What the last cut has left of them.
  private(set) var leftNames: SimulatedNames.State?
  private let images: [ImageMemory]
  var tally = CrashExplorer.Tally()
  private(set) var problem: String?
  /// Whether bytes rot now and then.
  let rots: Bool

  init(
    _ layout: JournalLayout,
    _ start: [UInt8],
    seed: UInt64,
    mostImages: Int,
    rots: Bool
  ) {
    self.layout = layout
    self.mostImages = mostImages
    self.rots = rots
    random = SplitMix64(seed)
    states = [start]
    images = (0..<layout.driveCount).map { _ in ImageMemory() }
  }

  // MARK: What is written

  /// A transaction begins, or another write: what it makes of the target.
  func begin(_ change: (inout [UInt8]) -> Void) {
    var state = states[states.count - 1]
    change(&state)
    states.append(state)
    tally.writes += 1
  }

  /// It was told as done.
  func end() { toldState = states.count - 1 }

  /// Whatever was begun has not been.
  func takeBack() { states.removeLast() }

  /// The newest state.
  var newest: [UInt8] { states[states.count - 1] }

  // MARK: What is left

  func watch(_ drives: [SimulatedDrive], _ file: SimulatedFile?, _ names: SimulatedNames?) {
    cuts = drives.map { PowerCut($0) }
    self.file = file
    self.names = names
    names?.onStep = { [unowned self] in look() }
  }

  /// Cuts the power here, in every way that there is or in as many as are looked at.
  func look() {
    guard problem == nil, !cuts.isEmpty else { return }
    tally.crashPoints += 1
    if let ways {
      for way in 0..<ways where problem == nil {
        cut(way: way)
        check(way)
      }
      return
    }
    for number in 0..<mostImages where problem == nil {
      // The first two: everything is lost that may be, and nothing is.
      cut(number)
      check(number)
    }
  }

  /// In how many ways, of drives, the file's size, name and mark together; `nil` for too many.
  private var ways: Int? {
    var ways = (file?.possibleSizes.count ?? 1) * (names?.choices ?? 1)
    for cut in cuts {
      guard let own = cut.ways(upTo: mostImages) else { return nil }
      ways *= own
    }
    return ways <= mostImages ? ways : nil
  }

  private func cut(way: Int) {
    var rest = way
    for drive in cuts.indices {
      let own = cuts[drive].ways(upTo: mostImages) ?? 1
      cuts[drive].take(way: rest % own)
      rest /= own
      images[drive].bytes = cuts[drive].image
    }
    if let names {
      leave(names, rest % names.choices)
      rest /= names.choices
    }
    if let sizes = file?.possibleSizes { images[0].cut(toBytes: sizes[rest]) }
  }

  /// The first ways are extreme ones, the others any.
  private func cut(_ number: Int) {
    for drive in cuts.indices {
      switch number {
      case 0: cuts[drive].take { _ in 0 }
      case 1: cuts[drive].take { _ in .max }
      default: cuts[drive].take(&random)
      }
      images[drive].bytes = cuts[drive].image
    }
    if let names {
      let choices = names.choices
      leave(names, number < choices ? number : Int(random.below(UInt64(choices))))
    }
    guard let sizes = file?.possibleSizes else { return }
    let choice =
      switch number {
      case 0: 0
      case 1: sizes.count - 1
      default: Int(random.below(UInt64(sizes.count)))
      }
    images[0].cut(toBytes: sizes[choice])
  }

  /// Without its bytes a journal is empty.
  private func leave(_ names: SimulatedNames, _ choice: Int) {
    let left = names.left(choice)
    leftNames = left
    if left.isNamed && left.isWhole { return }
    images[1].bytes = [UInt8](repeating: 0, count: images[1].bytes.count)
  }

  private func check(_ number: Int) {
    tally.images += 1
    // Whoever opens the file finds no journal, and makes one.
    if let leftNames, !leftNames.isNamed {
      if leftNames.mark != nil { return fail(number, "the mark leads to no journal") }
      return checkState(number)
    }
    let isRotten = rots && random.below(4) == 0 && layout.rot(images, &random)
    let before = isRotten ? layout.target(images) : []
    do throws(JournalProblem) {
      _ = try layout.recover(images, leftNames)
    } catch {
      if isRotten, case .corrupt = error {
        if before != layout.target(images) { fail(number, "damage was noticed after a write") }
        return
      }
      return fail(number, "recovery fails: \(error)")
    }
    checkState(number)
  }

  private func checkState(_ number: Int) {
    let image = layout.target(images)
    guard states[toldState...].contains(image) else {
      return fail(
        number,
        states.contains(image) ? "a transaction is lost" : "a transaction is torn"
      )
    }
  }

  private func fail(_ number: Int, _ what: String) {
    problem = problem ?? "\(what); crash point \(tally.crashPoints), image \(number)"
  }

  // MARK: The next start

  /// Cuts the power for good.
  ///
  /// - Returns: What each drive holds.
  func cutForGood() -> [ImageMemory] {
    cut(2)
    (cuts, file, names) = ([], nil, nil)
    return images.map { image in
      let copy = ImageMemory()
      (copy.bytes, copy.sizeBytes) = (image.bytes, image.sizeBytes)
      return copy
    }
  }

  /// What recovery has made of it is how things are.
  func settle(on target: [UInt8]) {
    guard problem == nil else { return }
    guard let place = states.lastIndex(of: target), place >= toldState else {
      problem = "what was recovered is no state that there was"
      return
    }
    states = [target]
    toldState = 0
  }
}

/// Where the journal and its target lie: on one drive, or on two.
struct JournalLayout: Sendable {
  let targetBlocks: Int
  let journalBlocks: Int
  let blockBytes: Int
  /// The journal is a region behind the target, rather than on a drive of its own.
  let isRegion: Bool
  let geometry: JournalGeometry
  let rules: JournalRules
  let identity: JournalIdentity

  var driveCount: Int { isRegion ? 1 : 2 }
  var targetBytes: Int { targetBlocks * blockBytes }

  /// The blocks of each drive.
  var driveBlocks: [Int] {
    isRegion ? [targetBlocks + journalBlocks] : [targetBlocks, journalBlocks]
  }

  func target(_ images: [ImageMemory]) -> [UInt8] {
    isRegion ? Array(images[0].bytes[..<targetBytes]) : images[0].contents
  }

  /// An engine on images.
  func engine(_ images: [ImageMemory]) throws(JournalProblem) -> JournalEngine<ImageStorage> {
    do throws(AtomicWriteError) {
      // SAFETY: the memory is lent for the call.
      return unsafe try JournalEngine(
        log: ImageStorage(images[driveCount - 1]),
        target: ImageStorage(images[0]),
        geometry,
        rules: rules,
        pace: JournalPace { 0 }
      ) { bytes, offset in
        let start = Int(offset)
        // SAFETY: as above.
        unsafe images[0].bytes.replaceSubrange(start..<start + bytes.count, with: bytes)
        images[0].grow(toBytes: start + bytes.count)
        return .bytes(bytes.count)
      }
    } catch {
      throw .source
    }
  }

  func recover(
    _ images: [ImageMemory],
    _ names: SimulatedNames.State?
  ) throws(JournalProblem) -> JournalReport {
    var engine = try engine(images)
    let check = check(names)
    return try engine.recover(check: check)
  }

  /// Whether a journal is the one that is meant: by the mark, where there is one.
  func check(
    _ names: SimulatedNames.State?
  ) -> (JournalSuperblock) throws(JournalProblem) -> Void {
    guard let names else {
      return { [identity] superblock throws(JournalProblem) in
        if superblock.identity != identity { throw .foreign("another identity") }
      }
    }
    let mark = JournalFileMark(mark: names.mark.flatMap { JournalMark($0) }, isTaken: true)
    return JournalCheck(name: "", mark: mark, isFile: true).check
  }

  /// Spoils one byte of a superblock or of the log; whether it did.
  ///
  /// Damage to the last transaction goes unnoticed, as it looks like one that was never whole:
  /// whatever follows is what proves a record.
  func rot(_ images: [ImageMemory], _ random: inout SplitMix64) -> Bool {
    let image = images[driveCount - 1]
    let isSuperblock = random.below(2) == 0
    var place = Int(geometry.startBytes)
    if isSuperblock {
      place = Int(geometry.superblocks[Int(random.below(2))] + random.below(UInt64(blockBytes)))
    } else {
      place += blockBytes + Int(random.below(geometry.logBytes))
      guard let report = try? dryRun(images), place < Int(report.lastTransactionBytes) else {
        return false
      }
    }
    image.bytes[place] ^= 0x55
    return true
  }

  private func dryRun(_ images: [ImageMemory]) throws(JournalProblem) -> JournalReport {
    var engine = try engine(images)
    return try engine.recover(check: { _ in }, proceeds: { _ in false })
  }
}
