import LinuxIO
import SystemPackage

/// What the devices of a stack were known by when they were looked at: names, numbers, tables and
/// members are all given anew while a machine runs.
struct StackWitness {
  /// Real stacks have a handful of pieces; a volume that was grown often has some hundreds.
  static let mostVisits = 4096

  /// `diskseq` of each disk, by its directory; `nil` before Linux 5.15.
  var sequences: [String: UInt64?] = [:]
  var tables: [DeviceNumber: String] = [:]
  var arrays: [String: RAIDArray] = [:]
  var visits = 0
}

extension TargetProbe {
  /// Remembers which disk it is that everything read from now on belongs to.
  mutating func note(disk: String) {
    if witness.sequences[disk] != nil { return }
    witness.sequences[disk] = .some(sysfs.number(disk + "/diskseq"))
  }

  /// Nothing is promised of a stack that was rebuilt while it was being read.
  mutating func confirmStack() {
    var changed: [String] = []
    for disk in witness.sequences.keys.sorted() {
      let before = witness.sequences[disk] ?? nil
      if sysfs.number(disk + "/diskseq") != before { changed.append(disk.lastComponent) }
    }
    for disk in witness.arrays.keys.sorted()
    where RAIDArray(disk: disk, &sysfs) != witness.arrays[disk] {
      changed.append(disk.lastComponent)
    }
    for (number, text) in witness.tables.sorted(by: { $0.key.minor < $1.key.minor }) {
      let now = try? machine.deviceMapperTable(of: number)
      if now != text { changed.append("dm-\(number.minor)") }
    }
    if let name = changed.first {
      note(.layer("\(BlockDevice.node(of: name)) changed while it was being read"))
    }
  }
}
