import Glibc

/// A lock whose holder can wait for something to change. The corresponding calls are
/// `pthread_mutex_lock(3)` and `pthread_cond_wait(3)`.
@safe package final class Monitor: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>

  package init() {
    // SAFETY: both stay where they are until nobody can hold or wait for them, which is deinit.
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    // SAFETY: as above; with default attributes neither call fails.
    _ = unsafe pthread_mutex_init(mutex, nil)
    _ = unsafe pthread_cond_init(condition, nil)
  }

  deinit {
    // SAFETY: nobody has a reference any more, so nobody waits.
    _ = unsafe pthread_cond_destroy(condition)
    _ = unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Runs the body with the lock held.
  package func withLock<Result>(_ body: () -> Result) -> Result {
    // SAFETY: initialized in init; the lock is not held by this thread.
    _ = unsafe pthread_mutex_lock(mutex)
    defer { _ = unsafe pthread_mutex_unlock(mutex) }
    return body()
  }

  /// Lets go of the lock until somebody calls ``wakeAll()``, or for no reason.
  ///
  /// - Precondition: The lock is held by this thread.
  package func wait() {
    // SAFETY: initialized in init.
    _ = unsafe pthread_cond_wait(condition, mutex)
  }

  /// Wakes whoever waits.
  package func wakeAll() {
    // SAFETY: initialized in init.
    _ = unsafe pthread_cond_broadcast(condition)
  }
}
