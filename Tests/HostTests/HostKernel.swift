import LinuxIO

enum HostKernel {
  static func version() throws -> (Int, Int) {
    let parts = try HostProcess.kernelRelease().split(separator: ".")
    return (Int(parts[0]) ?? 0, Int(parts[1].prefix { $0.isNumber }) ?? 0)
  }
}
