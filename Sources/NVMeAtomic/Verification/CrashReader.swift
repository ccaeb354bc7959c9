import LinuxIO
package import SystemPackage

/// Reads what a power cut has left, for ``CrashCheck``. Nothing is written.
package struct CrashReader: ~Copyable {
  private let target: OwnedFileDescriptor
  private let plan: CrashPlan

  /// Opens the target, past the page cache, and keeps this library's writers from it: what is
  /// being written looks torn and lost.
  ///
  /// - Parameters:
  ///   - path: A file or block device.
  ///   - plan: What the workload was.
  ///   - isFile: Which one of them.
  /// - Throws: What `open(2)` does; `EBUSY` where it is in use.
  package init(_ path: String, _ plan: CrashPlan, isFile: Bool) throws(Errno) {
    self.plan = plan
    target = try isFile ? Self.file(path) : Self.device(path)
  }

  /// Why a target cannot be opened to be read; `nil` if it can.
  package static func openError(_ path: String) -> Errno? {
    do throws(Errno) {
      _ = try OwnedFileDescriptor(opening: path, .readOnly)
      return nil
    } catch {
      return error
    }
  }

  private static func device(_ path: String) throws(Errno) -> OwnedFileDescriptor {
    try OwnedFileDescriptor(opening: path, [.readOnly, .direct, .exclusive])
  }

  private static func file(_ path: String) throws(Errno) -> OwnedFileDescriptor {
    do throws(Errno) {
      // To lock, not to write.
      let file = try OwnedFileDescriptor(opening: path, [.readWrite, .direct])
      guard try file.lock(RangeLock.journal, .exclusive) else { throw Errno.resourceBusy }
      return file
    } catch {
      // Where nothing can be written nobody writes.
      let others: [Errno] = [.readOnlyFileSystem, .permissionDenied, .notPermitted]
      guard others.contains(error) else { throw error }
      return try OwnedFileDescriptor(opening: path, [.readOnly, .direct])
    }
  }

  /// Reads every slot. One that cannot be read is taken for unreadable, one behind the end for
  /// blank.
  ///
  /// - Parameters:
  ///   - check: Takes them.
  ///   - goesOn: Called after each slot with how many are done; false ends it there.
  /// - Returns: Whether all were read.
  /// - Throws: ``AtomicWriteError/noResources(_:_:)``.
  package func read(
    into check: inout CrashCheck,
    _ goesOn: (UInt64) -> Bool
  ) throws(AtomicWriteError) -> Bool {
    var buffer = try AlignedBuffer(reserving: plan.slotBytes)
    for slot in 0..<plan.slots {
      // SAFETY: the bytes are lent for the call.
      unsafe buffer.withMutableBytes { bytes in
        do throws(Errno) {
          unsafe try read(bytes, atBytes: plan.offset(ofSlot: slot))
          unsafe check.take(bytes, slot: slot)
        } catch {
          check.takeUnreadable(slot: slot, "it cannot be read: \(error)")
        }
      }
      if !goesOn(slot + 1) { return false }
    }
    try readControl(into: &check)
    return true
  }

  private func readControl(into check: inout CrashCheck) throws(AtomicWriteError) {
    if plan.controls == 0 { return }
    var buffer = try AlignedBuffer(reserving: plan.controlBytes)
    for control in 0..<plan.controls {
      // SAFETY: the bytes are lent for the call.
      unsafe buffer.withMutableBytes { bytes in
        do throws(Errno) {
          unsafe try read(bytes, atBytes: plan.offset(ofControl: control))
          unsafe check.take(bytes, control: control)
        } catch {
          check.takeUnreadable(control: control, "it cannot be read: \(error)")
        }
      }
    }
  }

  private func read(
    _ bytes: UnsafeMutableRawBufferPointer,
    atBytes offset: UInt64
  ) throws(Errno) {
    var done = 0
    while done < bytes.count {
      // SAFETY: within the bytes, which are the caller's for the call.
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
      let count = unsafe try target.readOnce(into: rest, atBytes: Int64(offset) + Int64(done))
      // Behind the end of a file there is nothing.
      if count == 0 {
        unsafe rest.initializeMemory(as: UInt8.self, repeating: 0)
        return
      }
      done += count
    }
  }
}

extension CrashLog {
  /// Reads a log from a file.
  package static func read(
    _ path: String
  ) throws(Errno) -> Result<CrashLog, CrashLogProblem> {
    let file = try OwnedFileDescriptor(opening: path, .readOnly)
    var reader = CrashLogReader()
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    while true {
      var result: Swift.Result<Int, Errno> = .success(0)
      // SAFETY: the buffer is valid for the call.
      unsafe chunk.withUnsafeMutableBytes { buffer in
        do throws(Errno) {
          result = .success(unsafe try file.read(into: buffer))
        } catch {
          result = .failure(error)
        }
      }
      let count = try result.get()
      do throws(CrashLogProblem) {
        if count == 0 { return .success(try reader.finish()) }
        try reader.feed(chunk[..<count])
      } catch {
        return .failure(error)
      }
    }
  }
}
