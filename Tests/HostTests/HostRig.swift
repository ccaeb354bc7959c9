import Foundation
import LinuxIO
import SystemPackage
import TestSupport

/// Filesystems on loop devices that `Tests/run` makes and names in `NVME_ATOMIC_HOST_RIG`.
///
/// `xfs/`, `journal/` (XFS), `full/` (XFS, to be filled up), `ext4/`, `btrfs/` and `tmpfs/` are
/// mounted there;
/// `xfs.device`, `ext4.device`, `free.device` and `spare.device` hold the loop devices' nodes. The
/// last two are mounted nowhere; `free` carries an ext4 signature, and `spare` none. `exchange/`
/// and `crash/` are XFS made with `exchange=1`; the second one is shut down, mounted anew and
/// filled up.
enum HostRig {
  static let root = ProcessInfo.processInfo.environment["NVME_ATOMIC_HOST_RIG"]
  static let isRequired = ProcessInfo.processInfo.environment["NVME_ATOMIC_REQUIRE_RIGS"] == "1"
  static let isPresent = root != nil
  static let missing = "no host rig here: run Tests/run, which makes one, as root"

  /// Whether this kernel keeps atomic writes on XFS in software (Linux 6.16).
  static let hasSoftwareAtomics: Bool = {
    guard isPresent, let (status, _) = try? unnamedFile(in: path("xfs")) else { return false }
    return status.atomicWrite.map { $0.unitMax > 0 } ?? false
  }()
  static let noSoftwareAtomics = "this kernel has no RWF_ATOMIC on XFS without hardware (6.16)"

  /// Whether this kernel mounts XFS whose files can exchange blocks (Linux 6.10).
  static let hasExchange: Bool = {
    guard isPresent, let (_, facts) = try? unnamedFile(in: path("exchange")) else { return false }
    return facts.exchangeRange == true
  }()
  static let noExchange = "no XFS made with exchange=1 here, for which Linux 6.10 is needed"

  static func path(_ name: String) -> String {
    (root ?? "/nonexistent") + "/" + name
  }

  static func device(_ name: String) throws -> String {
    try String(contentsOfFile: path(name + ".device"), encoding: .utf8)
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }

  static func unnamedFile(in directory: String) throws -> (FileStatus, FileSystemFacts) {
    let file = try OwnedFileDescriptor(unnamedFileIn: directory)
    return (try FileStatus(of: file), try FileSystemFacts(of: file))
  }

  /// A new file of this size, its bytes all `fill`, removed by the caller.
  static func makeFile(_ name: String, byteCount: Int, fill: UInt8 = 0x5a) throws -> String {
    let file = path(name)
    try Data(repeating: fill, count: byteCount).write(to: URL(fileURLWithPath: file))
    return file
  }

  static func contents(_ file: String) throws -> [UInt8] {
    try TestSupport.contents(ofFile: file)
  }

  /// What this process has open of a file.
  static func descriptors(of file: String) throws -> [CInt] {
    let manager = FileManager.default
    return try manager.contentsOfDirectory(atPath: "/proc/self/fd").compactMap { CInt($0) }
      .filter { (try? manager.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) == file }
  }
}

/// The program as it was built beside the tests.
struct Tool {
  var status: Int32
  var output: String
  var errors: String

  init(_ arguments: String..., input: [UInt8] = []) throws {
    try self.init(arguments, input: input)
  }

  init(_ arguments: [String], input: [UInt8] = []) throws {
    try self.init(program: Self.path, arguments, input: input)
  }

  init(program: String, _ arguments: [String], input: [UInt8] = []) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    let (stdin, stdout, stderr) = (Pipe(), Pipe(), Pipe())
    (process.standardInput, process.standardOutput, process.standardError) = (stdin, stdout, stderr)
    try process.run()
    stdin.fileHandleForWriting.write(Data(input))
    try stdin.fileHandleForWriting.close()
    output = String(decoding: stdout.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let lines = String(decoding: stderr.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    // Whose calls fail or who may write nowhere cannot write what coverage is counted in either.
    errors = lines.split(separator: "\n", omittingEmptySubsequences: false)
      .filter { !$0.hasPrefix("LLVM Profile") }.joined(separator: "\n")
    process.waitUntilExit()
    status = process.terminationStatus
  }

  static var path: String {
    // swift test may run the bundle through a helper of the toolchain; its argument names it.
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().path + "/nvme-atomic"
  }

  /// A document of the program, decoded.
  func json() throws -> [String: Any] {
    try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any] ?? [:]
  }
}
