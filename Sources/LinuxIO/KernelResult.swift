package import SystemPackage

/// Decodes what the C boundary returns: a value, or a negated error number.
///
/// One decoder serves system calls and, later, `cqe.res`, which has the same shape.
package func kernelValue<Value: FixedWidthInteger & SignedInteger>(
  _ result: Value
) throws(Errno) -> Value {
  guard result >= 0 else { throw Errno(rawValue: CInt(truncatingIfNeeded: 0 - result)) }
  return result
}
