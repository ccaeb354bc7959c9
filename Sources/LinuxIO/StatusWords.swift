import CNVMeAtomic

/// What libnvme calls the ends of commands.
package enum StatusWords {
  /// The name of a status, `Write Fault`, without the explanation that follows it.
  package static func name(of status: UInt16) -> String {
    // SAFETY: libnvme returns a constant, NUL-terminated.
    let words = unsafe String(cString: nvmeatomic_status_words(status))
    return words.split(separator: ":").first.map(String.init) ?? words
  }
}
