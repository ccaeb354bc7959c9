import Glibc
package import SystemPackage

/// A thread that is waited for. The corresponding calls are `pthread_create(3)` and
/// `pthread_join(3)`.
package struct WorkerThread: ~Copyable {
  private let thread: pthread_t

  /// Carries the work over; nobody touches it after the thread has begun.
  private final class Work: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  /// Begins the work on a thread of its own.
  package init(_ body: @escaping @Sendable () -> Void) throws(Errno) {
    var thread = pthread_t()
    // SAFETY: the thread takes the reference over, and releases it when it has ended.
    let work = unsafe Unmanaged.passRetained(Work(body))
    let status = unsafe pthread_create(
      &thread,
      nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        // SAFETY: what was passed below, once.
        unsafe Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      },
      work.toOpaque()
    )
    if status != 0 {
      // SAFETY: no thread has begun that would release it.
      unsafe work.release()
      throw Errno(rawValue: status)
    }
    self.thread = thread
  }

  /// Waits for the work to end.
  package consuming func join() {
    _ = pthread_join(thread, nil)
  }
}
