public import ArgumentParser
public import NVMeAtomic

/// Spelled out: the derived list of values costs as much as a whole probe.
extension Writer: ExpressibleByArgument {
  /// The values that completion and help offer.
  public static var allValueStrings: [String] { ["direct", "rwf-atomic", "buffered"] }
  /// Described in the option's help.
  public static var allValueDescriptions: [String: String] { [:] }
}
