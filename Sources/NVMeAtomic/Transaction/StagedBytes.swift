import LinuxIO
import SystemPackage

/// Bytes for places of a target that are not written yet: in memory, and what is too much for that
/// in a file without a name.
struct StagedBytes: ~Copyable, JournalSource {
  /// A run of bytes, for the target and where it is kept.
  private struct Extent {
    var range: Range<UInt64>
    var place: UInt64
    var isInFile: Bool

    /// The part of it that lies in a range.
    func part(_ wanted: Range<UInt64>) -> Extent {
      let part = range.clamped(to: wanted)
      return Extent(
        range: part,
        place: place + (part.lowerBound - range.lowerBound),
        isInFile: isInFile
      )
    }
  }

  private(set) var ranges = ByteRanges()
  /// In ascending order, none over another.
  private var extents: [Extent] = []
  private var memory: [UInt8] = []
  private var file: OwnedFileDescriptor?
  private var fileBytes: UInt64 = 0
  private let folder: String

  /// As much stays in memory.
  private static let mostInMemory = 8 << 20

  /// - Parameter folder: Where a file without a name can be; `/var/tmp` where it cannot.
  init(spillingTo folder: String) {
    self.folder = folder
  }

  mutating func removeAll() {
    ranges.removeAll()
    extents.removeAll()
    memory.removeAll(keepingCapacity: memory.count <= 1 << 20)
    file = nil
    fileBytes = 0
  }

  /// Keeps bytes for a place, instead of whatever was kept for it.
  mutating func stage(
    _ bytes: UnsafeRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    let range = offset..<offset + UInt64(bytes.count)
    let first = firstIndex(endingAfter: range.lowerBound)
    if first < extents.count, extents[first].range.lowerBound <= range.lowerBound,
      extents[first].range.upperBound >= range.upperBound
    {
      // SAFETY: the bytes are the caller's for the call.
      return unsafe try keep(bytes, extents[first].part(range))
    }
    let extent =
      memory.count + bytes.count <= Self.mostInMemory
      ? Extent(range: range, place: UInt64(memory.count), isInFile: false)
      : Extent(range: range, place: fileBytes, isInFile: true)
    // SAFETY: as above.
    unsafe try keep(bytes, extent)
    replace(range, first, with: extent)
    ranges.insert(range)
  }

  private mutating func replace(_ range: Range<UInt64>, _ first: Int, with extent: Extent) {
    var (end, kept) = (first, [Extent]())
    while end < extents.count, extents[end].range.lowerBound < range.upperBound {
      let old = extents[end]
      if old.range.lowerBound < range.lowerBound {
        kept.append(old.part(old.range.lowerBound..<range.lowerBound))
      }
      if old.range.upperBound > range.upperBound {
        kept.append(old.part(range.upperBound..<old.range.upperBound))
      }
      end += 1
    }
    if end == first, first > 0, continues(extents[first - 1], extent) {
      extents[first - 1].range = extents[first - 1].range.lowerBound..<range.upperBound
      return
    }
    let place = kept.firstIndex { $0.range.lowerBound > range.lowerBound } ?? kept.endIndex
    kept.insert(extent, at: place)
    extents.replaceSubrange(first..<end, with: kept)
  }

  private func continues(_ one: Extent, _ next: Extent) -> Bool {
    one.isInFile == next.isInFile && one.range.upperBound == next.range.lowerBound
      && one.place + UInt64(one.range.count) == next.place
  }

  private func firstIndex(endingAfter place: UInt64) -> Int {
    if let last = extents.last, last.range.upperBound <= place { return extents.count }
    var (low, high) = (0, extents.count)
    while low < high {
      let middle = (low + high) / 2
      if extents[middle].range.upperBound > place { high = middle } else { low = middle + 1 }
    }
    return low
  }

  private mutating func keep(
    _ bytes: UnsafeRawBufferPointer,
    _ extent: Extent
  ) throws(AtomicWriteError) {
    guard extent.isInFile else {
      let start = Int(extent.place)
      if start == memory.count {
        // SAFETY: the bytes are the caller's for the call.
        unsafe memory.append(contentsOf: bytes)
      } else {
        unsafe memory.replaceSubrange(start..<start + bytes.count, with: bytes)
      }
      return
    }
    do throws(Errno) {
      if file == nil { file = try makeSpillFile() }
      // It stays when it is full: other places have bytes in it.
      switch file {
      case .none: throw .ioError
      // SAFETY: as above.
      case .some(let file): unsafe try file.writeAll(bytes, atBytes: Int64(extent.place))
      }
      fileBytes = max(fileBytes, extent.place + UInt64(bytes.count))
    } catch {
      throw .notWritten(FailureCause(error))
    }
  }

  private func makeSpillFile() throws(Errno) -> OwnedFileDescriptor {
    do throws(Errno) {
      return try OwnedFileDescriptor(unnamedFileIn: folder)
    } catch {
      return try OwnedFileDescriptor(unnamedFileIn: "/var/tmp")
    }
  }

  /// Stores what is kept for a range, all of which is.
  func copy(
    _ range: Range<UInt64>,
    to memory: UnsafeMutableRawBufferPointer
  ) throws(AtomicWriteError) {
    var index = firstIndex(endingAfter: range.lowerBound)
    while index < extents.count, extents[index].range.lowerBound < range.upperBound {
      let part = extents[index].part(range)
      let start = Int(part.range.lowerBound - range.lowerBound)
      // SAFETY: within the memory, which the caller lends.
      let target = unsafe UnsafeMutableRawBufferPointer(
        rebasing: memory[start..<start + part.range.count]
      )
      unsafe try copy(part, to: target)
      index += 1
    }
  }

  private func copy(
    _ extent: Extent,
    to target: UnsafeMutableRawBufferPointer
  ) throws(AtomicWriteError) {
    guard extent.isInFile else {
      let start = Int(extent.place)
      // SAFETY: as many bytes are in memory, and the target has room for them.
      unsafe memory.withUnsafeBytes { bytes in
        unsafe target.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + target.count])
        )
      }
      return
    }
    switch file {
    case .none: throw .readFailed(FailureCause(.ioError))
    case .some(let file):
      do throws(Errno) {
        // SAFETY: the target is the caller's for the call.
        let count = unsafe try file.readAll(into: target, atBytes: Int64(extent.place))
        if count < target.count { throw .ioError }
      } catch {
        throw .readFailed(FailureCause(error))
      }
    }
  }
}
