import Glibc

/// A value that one thread at a time uses.
///
/// Not `Synchronization.Mutex`: the Thread Sanitizer does not see what that orders, and reports
/// races where there are none as soon as two threads meet. The corresponding call is
/// `pthread_mutex_lock(3)`.
@safe package struct Locked<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let value: UnsafeMutablePointer<Value>

  package init(_ value: consuming sending Value) {
    // SAFETY: both stay where they are until deinit, when nobody can hold the lock.
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    // SAFETY: as above; with default attributes it does not fail.
    _ = unsafe pthread_mutex_init(mutex, nil)
    unsafe self.value = .allocate(capacity: 1)
    unsafe self.value.initialize(to: value)
  }

  deinit {
    // SAFETY: initialised in init, and used by nobody any more.
    _ = unsafe value.deinitialize(count: 1)
    unsafe value.deallocate()
    // SAFETY: as above.
    _ = unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  /// Runs the body with the lock held.
  ///
  /// - Precondition: This thread does not hold it.
  /// - Throws: What the body does.
  package borrowing func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout sending Value) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    // SAFETY: initialised in init; while the lock is held nobody else reaches the value.
    _ = unsafe pthread_mutex_lock(mutex)
    defer { _ = unsafe pthread_mutex_unlock(mutex) }
    return unsafe try body(&value.pointee)
  }
}
