import LinuxIO

extension StatxLimits {
  init(_ status: FileStatus) {
    self.init()
    if let fields = status.atomicWrite {
      atomicWriteUnitMin = fields.unitMin
      atomicWriteUnitMax = fields.unitMax
      atomicWriteUnitMaxOpt = fields.unitMaxOpt
      atomicWriteSegmentsMax = fields.segmentsMax
    }
    dioMemAlign = status.directIO?.memoryBytes
    dioOffsetAlign = status.directIO?.offsetBytes
  }
}
