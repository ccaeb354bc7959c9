import LinuxIO
import SystemPackage

/// What lies between a target and its drives: device-mapper, md, loop devices.
extension TargetProbe {
  /// Where the pages of the target lie on a device below it.
  struct Place {
    /// Where the grid begins that they are laid on, in bytes.
    var originBytes: UInt64
    /// The device above, in the stack.
    var parent: Int
    /// How many layers lie above; kernels have no use for more than a few.
    var depth: Int
    /// The layer directly above, in the limits.
    var layer: Int?
  }

  /// Looks through a disk that is not a namespace: everything below goes into the limits.
  mutating func lookThrough(_ device: BlockDevice, kind: String, entry: Int, originBytes: UInt64?) {
    report.limits.stack = StackLimits()
    report.limits.drive = .unknown(.stacked(stackText(kind)))
    descend(
      into: device,
      kind: kind,
      queue: report.limits.queue,
      Place(originBytes: originBytes ?? 0, parent: entry, depth: 0)
    )
    if originBytes == nil { note(.start) }
    confirmStack()
    report.limits.fabric = report.limits.stack?.foundations.compactMap(\.fabric).min()
  }

  /// Visits what a disk is made of. Bytes of the disk from `place.originBytes` on are in use.
  private mutating func descend(
    into device: BlockDevice,
    kind: String,
    queue: QueueLimits,
    _ place: Place
  ) {
    guard place.depth < 16 else { return note(.stacked("more layers than can be followed")) }
    switch kind {
    case "dm": descendIntoMapper(device, queue, place)
    case "md": descendIntoRAID(device, queue, place)
    case "loop": descendIntoLoop(device, queue, place)
    default:
      addLayer(StackLayer(device: device.diskNode, kind: kind, queue: queue), at: place)
      note(.stacked(stackText(kind)))
      // `drivers/block/brd.c` and `drivers/block/zram`.
      if ["ram", "zram"].contains(where: device.diskName.hasPrefix) { noteMemory(true) }
      for name in sysfs.names(device.diskSysfs + "/slaves") { visitUnmapped(name, place) }
    }
  }

  /// One layer in memory is enough, and one that could not be looked at leaves the doubt.
  private mutating func noteMemory(_ isThere: Bool?) {
    if isThere == true {
      report.limits.stack?.livesInMemory = true
    } else if isThere == nil, report.limits.stack?.livesInMemory == false {
      report.limits.stack?.livesInMemory = nil
    }
  }

  mutating func note(_ fact: MissingFact) {
    report.limits.stack?.note(fact)
  }

  private mutating func narrow(toSeamsAt places: [UInt64]) {
    report.limits.stack?.isContiguous = false
    for place in places { report.limits.stack?.narrow(toSeamAt: place) }
  }

  private mutating func addLayer(_ layer: StackLayer, at place: Place) {
    var layer = layer
    layer.originsBytes = [place.originBytes]
    report.limits.stack?.layers.append(layer)
    report.stack[place.parent].type = layer.type
    report.stack[place.parent].chunkBytes = layer.chunkBytes
  }

  /// The layer that was added last.
  private var lastLayer: Int? { (report.limits.stack?.layers.count).map { $0 - 1 } }

  // MARK: device-mapper

  private mutating func descendIntoMapper(
    _ device: BlockDevice,
    _ queue: QueueLimits,
    _ place: Place
  ) {
    var layer = StackLayer(device: device.diskNode, kind: "dm", queue: queue)
    let sectors = sysfs.number(device.diskSysfs + "/size")
    guard let table = mapperTable(of: device, sectors: sectors) else {
      addLayer(layer, at: place)
      for name in sysfs.names(device.diskSysfs + "/slaves") { visitUnmapped(name, place) }
      return
    }
    layer.type = table.types
    layer.chunkBytes = table.segments.compactMap(\.chunkBytes).min()
    addLayer(layer, at: place)
    let index = lastLayer
    var mapped: Set<DeviceNumber> = []
    for segment in table.segments {
      guard let pieces = segment.pieces else {
        note(.stacked("a device-mapper target of type \(segment.type)"))
        continue
      }
      // One linear segment carries an offset on; else a piece begins a grid of its own.
      let isWhole = table.segments.count == 1 && segment.chunkBytes == nil
      if segment.dividesOrdinaryWrites { report.limits.stack?.isContiguous = false }
      if !isWhole { narrow(toSeamsAt: [place.originBytes, segment.startBytes]) }
      if let chunk = segment.chunkBytes { narrow(toSeamsAt: [chunk]) }
      let offset = isWhole ? place.originBytes : 0
      for piece in pieces {
        mapped.insert(piece.device)
        let (origin, overflow) = piece.startBytes.addingReportingOverflow(offset)
        if overflow { note(.stacked("a table beyond any address")) }
        visit(piece.device, place.below(from: origin, layer: index))
      }
    }
    for name in sysfs.names(device.diskSysfs + "/slaves") {
      if let number = sysfs.text("/sys/class/block/\(name)/dev").flatMap(DeviceNumber.init(text:)),
        mapped.contains(number)
      {
        continue
      }
      visitUnmapped(name, place)
    }
  }

  private mutating func mapperTable(
    of device: BlockDevice,
    sectors: UInt64?
  ) -> DeviceMapperTable? {
    guard let number = diskNumber(device) else {
      note(.layer("the table of \(device.diskNode) could not be asked for"))
      return nil
    }
    do throws(Errno) {
      let text = try machine.deviceMapperTable(of: number)
      guard let table = DeviceMapperTable(text, sectors: sectors) else {
        note(.layer("the table of \(device.diskNode) could not be understood"))
        return nil
      }
      witness.tables[number] = witness.tables[number] ?? text
      return table
    } catch {
      let isPermission = error == .permissionDenied || error == .notPermitted
      let clause =
        isPermission
        ? "the table of \(device.diskNode) needs root"
        : "the table of \(device.diskNode) could not be read: \(error)"
      if isPermission {
        facts.denials.append(.table(device.diskNode))
      } else {
        facts.driveFailure = facts.driveFailure ?? clause
      }
      note(.layer(clause))
      return nil
    }
  }

  // MARK: md

  private mutating func descendIntoRAID(
    _ device: BlockDevice,
    _ queue: QueueLimits,
    _ place: Place
  ) {
    let array = RAIDArray(disk: device.diskSysfs, &sysfs)
    witness.arrays[device.diskSysfs] = witness.arrays[device.diskSysfs] ?? array
    var layer = StackLayer(device: device.diskNode, kind: "md", queue: queue)
    layer.type = array.level
    layer.chunkBytes = array.level == "raid1" ? nil : array.chunkBytes
    addLayer(layer, at: place)
    report.limits.stack?.isContiguous = false
    // Without a stripe, a mirror still ends what it takes at multiples of 64 MiB
    // (`drivers/md/raid1.c:align_to_barrier_unit_end`).
    narrow(toSeamsAt: [place.originBytes, layer.chunkBytes ?? 64 << 20])
    if let doubt = array.doubt { note(.layer(doubt)) }
    let index = lastLayer
    for member in array.members {
      let offset = layer.chunkBytes == nil ? place.originBytes : 0
      let origin = member.dataOffsetBytes.addingOrMax(offset)
      visit(named: member.name, place.below(from: origin, layer: index))
    }
    let members = Set(array.members.map(\.name) + array.idle)
    for name in sysfs.names(device.diskSysfs + "/slaves") where !members.contains(name) {
      visitUnmapped(name, place)
    }
  }

  // MARK: Loop devices

  private mutating func descendIntoLoop(
    _ device: BlockDevice,
    _ queue: QueueLimits,
    _ place: Place
  ) {
    addLayer(StackLayer(device: device.diskNode, kind: "loop", queue: queue), at: place)
    note(.stacked(stackText("loop")))
    guard let file = sysfs.text(device.diskSysfs + "/loop/backing_file"), place.depth < 16,
      let status = try? machine.status(of: file)
    else { return noteMemory(nil) }
    if status.kind == .blockDevice {
      return visit(status.representedDevice, place.below(from: 0, layer: nil))
    }
    let mounts = MountTable(sysfs.table("/proc/self/mountinfo") ?? "")
    let type = status.mountID.flatMap(mounts.mount)?.type
    noteMemory(type.map { ["tmpfs", "ramfs"].contains($0) })
    var inner = place.below(from: 0, layer: nil)
    inner.parent = push(file, "file", start: nil, parents: [place.parent])
    if status.device.major != 0 { visit(status.device, inner) }
  }

  // MARK: Members

  /// A member whose place in the layer above is not known: shown, and asked, but nothing is said
  /// of where pages lie on it. The layer above has a doubt noted already.
  private mutating func visitUnmapped(_ name: String, _ place: Place) {
    note(.stacked("a layer that could not be read"))
    visit(named: name, place.below(from: 0, layer: nil))
  }

  private mutating func visit(named name: String, _ place: Place) {
    guard let device = BlockDevice(named: name, &sysfs) else {
      note(.layer("\(BlockDevice.node(of: name)) could not be found"))
      return
    }
    visit(device, place)
  }

  private mutating func visit(_ number: DeviceNumber, _ place: Place) {
    guard let device = BlockDevice(number, &sysfs) else {
      note(.layer("the block device \(number) could not be found"))
      return
    }
    visit(device, place)
  }

  private mutating func visit(_ device: BlockDevice, _ place: Place) {
    var place = place
    witness.visits += 1
    guard witness.visits <= StackWitness.mostVisits else {
      return note(.stacked("more pieces than can be followed"))
    }
    note(disk: device.diskSysfs)
    if device.isPartition {
      place.parent = pushOnce(
        device.node,
        "partition",
        start: device.partitionStartBytes,
        parent: place.parent
      )
      guard let start = device.partitionStartBytes else { return note(.start) }
      place.originBytes = place.originBytes.addingOrMax(start)
    }
    let kind = device.diskKind(sysfs)
    let isNew = !report.stack.contains { $0.device == device.diskNode && $0.kind == kind }
    place.parent = pushOnce(device.diskNode, kind, start: 0, parent: place.parent)
    let queue = sysfs.queueLimits(ofDisk: device.diskSysfs)
    report.stack[place.parent].atomicWriteUnitMaxBytes = queue.atomicWriteUnitMaxBytes
    if let layer = place.layer {
      let member = StackMember(device: device.node, startBytes: place.originBytes, queue: queue)
      report.limits.stack?.layers[layer].members.append(member)
    }
    if kind == "namespace" {
      visitNamespace(device, queue, entry: place.parent, isNew: isNew, origin: place.originBytes)
    } else {
      descend(into: device, kind: kind, queue: queue, place)
    }
  }

  private mutating func visitNamespace(
    _ device: BlockDevice,
    _ queue: QueueLimits,
    entry: Int,
    isNew: Bool,
    origin: UInt64
  ) {
    if isNew { askPaths(of: device, queue, entry: entry) }
    for index in report.limits.stack?.foundations.indices ?? 0..<0
    where report.limits.stack?.foundations[index].device == device.diskNode {
      let origins = report.limits.stack?.foundations[index].originsBytes ?? []
      if !origins.contains(origin) {
        report.limits.stack?.foundations[index].originsBytes.append(origin)
      }
    }
    // The head of several paths cuts for itself.
    for index in report.limits.stack?.layers.indices ?? 0..<0
    where report.limits.stack?.layers[index].device == device.diskNode {
      report.limits.stack?.layers[index].originsBytes.append(origin)
    }
  }

  /// A device that several others rest on stands in the stack once.
  private mutating func pushOnce(
    _ device: String,
    _ kind: String,
    start: UInt64?,
    parent: Int
  ) -> Int {
    guard let id = report.stack.firstIndex(where: { $0.device == device && $0.kind == kind })
    else { return push(device, kind, start: start, parents: [parent]) }
    if !report.stack[id].parents.contains(parent) { report.stack[id].parents.append(parent) }
    return id
  }
}

extension TargetProbe.Place {
  fileprivate func below(from origin: UInt64, layer: Int?) -> Self {
    Self(originBytes: origin, parent: parent, depth: depth + 1, layer: layer)
  }
}
