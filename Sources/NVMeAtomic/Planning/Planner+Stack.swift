/// Targets on several drives, or on one by several paths: every drive is asked.
extension Planner {
  /// `RWF_ATOMIC` through the layers of a stack: each foundation has to keep every page of this
  /// length, wherever the layers may put it.
  func stackPromise(
    _ request: WriteRequest,
    _ stack: StackLimits,
    backing: Backing
  ) throws(Objection) -> PathPromise {
    if let doubt = stack.doubt { throw .missing(doubt) }
    try require(!stack.foundations.isEmpty, elseMissing: .stacked("unknown devices"))
    let length = request.lengthBytes
    switch stack.refusal(ofPages: length) {
    case .known(nil): break
    case .known(let refusal?): throw .refused(refusal)
    case .unknown(let fact): throw .missing(fact)
    }
    if request.promises.contains(.untorn) {
      // Two copies are written one after the other.
      try require(!stack.layers.contains(where: \.isMirrored), elseMissing: .stacked("a mirror"))
      try require(backing == .hardware, elseMissing: .placement)
    }
    let flushed = request.promises.contains(.durable) ? try checkFlushed() : nil
    var promises = request.promises
    promises.remove(.durable)
    let below = WriteRequest(.everyPage(sizeBytes: length), promises: promises, writer: .rwfAtomic)
    return try combined(stack.targets, backing: backing) { Planner($0).plan(below).kernel }
      .durable(by: flushed)
  }

  /// An ordinary direct write through layers that never divide it.
  func plainThroughStack(
    _ request: WriteRequest,
    _ stack: StackLimits
  ) throws(Objection) -> PathPromise {
    if let doubt = stack.doubt { throw .missing(doubt) }
    guard stack.isContiguous, !stack.foundations.isEmpty else {
      throw .missing(.layer("the layers below may divide an ordinary write"))
    }
    let flushed = request.promises.contains(.durable) ? try checkFlushed() : nil
    // Every layer cuts by its own queue; the layers merge nothing.
    var places = [(target.queue, target.startBytes)]
    for layer in stack.layers { places += layer.originsBytes.map { (layer.queue, $0) } }
    for (queue, start) in places {
      var layer = target
      (layer.queue, layer.startBytes, layer.stack) = (queue, start, nil)
      try Planner(layer).checkNotSplit(request)
    }
    var inner = request
    inner.promises.remove(.durable)
    let targets = stack.targets.map { below in
      var target = target
      (target.queue, target.drive, target.fabric) = (below.queue, below.drive, below.fabric)
      (target.startBytes, target.stack) = (below.startBytes, nil)
      return target
    }
    return try combined(targets, backing: .hardware) { Planner($0).plan(inner).plain }
      .durable(by: flushed)
  }

  /// A promise that all of several targets give; a no counts more than a missing fact.
  private func combined(
    _ targets: [TargetLimits],
    backing: Backing,
    _ verdict: (TargetLimits) -> PathVerdict
  ) throws(Objection) -> PathPromise {
    var promise = PathPromise(backing: backing)
    var missing: MissingFact?
    for target in targets {
      switch verdict(target) {
      case .fails(let refusal): throw .refused(refusal)
      case .unknown(let fact): missing = missing ?? fact
      case .holds(let own):
        promise.assumptions += own.assumptions.filter { !promise.assumptions.contains($0) }
      }
    }
    if let missing { throw .missing(missing) }
    return promise
  }

  /// Whether flushes reach every drive below a stack that may cache writes.
  func checkStackFlushed(_ stack: StackLimits) throws(Objection) -> [Assumption] {
    guard let livesInMemory = stack.livesInMemory else {
      throw .missing(.layer("what lies behind a loop device could not be looked at"))
    }
    try require(!livesInMemory, else: .noDrive)
    let caching = stack.foundations.filter { $0.drive.limits?.volatileWriteCache != false }
    // A layer that nothing is known of may cache by itself.
    if stack.doubt == nil, caching.isEmpty, !stack.foundations.isEmpty { return [] }
    var assumptions: [Assumption] = []
    for queue in [target.queue] + stack.layers.map(\.queue) + caching.map(\.queue) {
      guard let writeBack = queue.writeBack else { throw .missing(.queue("write_cache")) }
      if writeBack { continue }
      if caching.contains(where: { $0.drive.limits != nil }) { throw .refused(.cacheNeverFlushed) }
      assumptions = [.nothingCaches(stack.doubt ?? .stacked("several drives"))]
    }
    return assumptions
  }
}

extension PathPromise {
  /// The same for a write that is flushed: with what the flush rests on, and without what only a
  /// write that is not flushed does.
  fileprivate func durable(by flushed: [Assumption]?) -> PathPromise {
    guard let flushed else { return self }
    var promise = self
    promise.assumptions.removeAll { $0 == .volatileCacheKeepsWritesWhole }
    promise.assumptions += flushed.filter { !promise.assumptions.contains($0) }
    return promise
  }
}
