import ArgumentParser
import NVMeAtomic

/// `nvme-atomic verify crash`
struct VerifyCrashCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "crash",
    abstract: "Cut the power while this writes, and see what is left.",
    discussion: """
      verify crash TARGET --log FILE|tcp:HOST:PORT makes a range of the target blank, and then \
      goes on writing blocks that say what they are. Each operation is one write, or by --path \
      exchange and journal one transaction of several blocks; once it is acknowledged, a line goes \
      to the log. The log must not be on the drive under test: a file on another one, or another \
      machine that listens, by nc -l 7000 > FILE or by verify crash --listen 7000 --log FILE.

      As a control, ordinary writes of more than the drive keeps whole go on beside it.

      Cut the power, of the machine or of the drive; let it start again; mount the filesystem; and \
      run verify crash TARGET --check --log FILE. Every block must be whole, no older than what \
      was acknowledged there, and of a transaction all blocks or none. Where not even the control \
      was torn, nothing was shown about the drive. Nothing is written but what recovers a file's \
      journal.

      verify crash --simulate needs no hardware: it shows on a simulated drive a page torn by a \
      power cut, and the same workload whole on each path but exchange.

      Exit codes: 0 whole, and the control was torn, or a workload or log that has ended; 1 torn, \
      lost or damaged; 2 not done, or nothing was shown, as no power was cut, the target is \
      another one, or the log is damaged; 3 failed in the middle; 130 a workload that was \
      interrupted.
      """
  )

  enum Path: String, ExpressibleByArgument, CaseIterable {
    case auto, kernel, passthrough, exchange, journal, plain
  }

  enum Durable: String, ExpressibleByArgument, CaseIterable {
    case none, each
  }

  @Argument(
    help: """
      The block device or file to write to, whose bytes within --range are lost; with --check, the \
      one to look at.
      """
  )
  var target: String?

  @Option(
    help: """
      Where the log is kept: a file that is not there yet, or tcp:HOST:PORT. With --check, the \
      file to read.
      """
  )
  var log: String?

  @Flag(help: "Look at what is left of a workload, rather than carry one out.")
  var check = false

  @Flag(help: "With --check, also where the system has not started anew: no power was cut then.")
  var sameBoot = false

  @Flag(help: "Show on a simulated drive what a power cut does, without a target.")
  var simulate = false

  @Option(
    help: ArgumentHelp(
      "Take the log of one workload on another machine by this port, and keep it in --log.",
      valueName: "port"
    )
  )
  var listen: UInt16?

  @Option(
    help: """
      How to write, as in nvme-atomic write; plain is not atomic, and may be torn. auto is the \
      first that applies of kernel, exchange and journal.
      """
  )
  var path: Path?

  @OptionGroup var journal: JournalOptions

  @Option(help: "Bytes of each block that is written at once. The default is 16k.")
  var blockSize: SizeArgument?

  @Option(
    help: """
      Blocks of each transaction, by exchange and journal. The default is 4; other paths write one.
      """
  )
  var ranges: Int?

  @Option(help: "Write within OFFSET:LENGTH only. The default is 0:64m, or the whole target.")
  var range: RangeArgument?

  @Option(help: "How many operations. The default is to go on until the power is cut, or Ctrl-C.")
  var count: UInt64?

  @Option(help: "How long to write: 10s, 500ms or 2m.")
  var runtime: TimeArgument?

  @Option(help: "Threads; each writes to blocks of its own.")
  var threads: Int?

  @Option(help: "Decides where operations go. The default is chance, and is in the log.")
  var seed: UInt64?

  @Option(
    help: """
      Whether an operation must survive a power failure once it was acknowledged. The default is \
      each; with none, nothing can be found to be lost.
      """
  )
  var durable: Durable?

  @Option(help: "Make the file with this size if it is not there; one that is there must have it.")
  var size: SizeArgument?

  @Flag(help: "Write to a block device although it carries a filesystem or partition table.")
  var overwriteExistingData = false

  @Flag(
    help: """
      Passthrough: write to a namespace that other hosts can reach; you answer for none of them \
      writing there.
      """
  )
  var allowShared = false

  @Flag(help: "Print JSON.")
  var json = false

  static let format = "nvme-atomic-verify-crash/1"

  func validate() throws {
    guard [check, simulate, listen != nil].count(where: { $0 }) <= 1 else {
      throw ValidationError("--check, --simulate and --listen do not go together.")
    }
    if simulate {
      guard target == nil, log == nil else {
        throw ValidationError("--simulate takes neither a target nor a log.")
      }
    } else if log == nil {
      throw ValidationError("Give --log, or --simulate.")
    }
    if let log, log.isEmpty || log == "-" {
      throw ValidationError("--log is a file with a name, or tcp:HOST:PORT.")
    }
    if listen != nil, target != nil {
      throw ValidationError("--listen takes a log from elsewhere, and no target.")
    }
    if !simulate, listen == nil, target == nil {
      throw ValidationError("Give the target.")
    }
    if check || listen != nil, log?.hasPrefix("tcp:") == true {
      throw ValidationError("--check and --listen take the log as a file.")
    }
    if sameBoot, !check { throw ValidationError("--same-boot goes with --check.") }
    if listen == 0 { throw ValidationError("--listen takes a port from 1 on.") }
    try validateWorkload()
  }

  private func validateWorkload() throws {
    let isWorkload = !check && !simulate && listen == nil
    let isAsked =
      path != nil || blockSize != nil || ranges != nil || range != nil || count != nil
      || runtime != nil || threads != nil || durable != nil || size != nil
      || overwriteExistingData || allowShared
    guard isWorkload || !isAsked else {
      throw ValidationError("Options of the workload are in the log, and go with neither mode.")
    }
    guard isWorkload || simulate || seed == nil else {
      throw ValidationError("--seed is in the log.")
    }
    guard isWorkload || check || !journal.isGiven else {
      throw ValidationError("--journal and --journal-region go with a target.")
    }
    guard isWorkload else { return }
    if let log, log.hasPrefix("tcp:"), LogAddress(log) == nil {
      throw ValidationError("--log is a file, or tcp:HOST:PORT.")
    }
    if journal.isGiven, let path, path != .journal, path != .auto {
      throw ValidationError("--journal and --journal-region go with --path journal or auto.")
    }
    if durable == Durable.none, path == .journal || journal.isGiven {
      throw ValidationError("What a journal has taken is durable: --durable none goes without.")
    }
    if allowShared, path != .passthrough {
      throw ValidationError("--allow-shared goes with --path passthrough.")
    }
    let block = blockBytes
    guard block >= 512, block % 512 == 0, block <= 1 << 30 else {
      throw ValidationError("--block-size is a multiple of 512 bytes, up to 1 GiB.")
    }
    guard (range?.offset.bytes ?? 0) % block == 0 else {
      throw ValidationError("--range begins at a multiple of --block-size.")
    }
    guard (1...1024).contains(threads ?? 1) else {
      throw ValidationError("--threads is 1 to 1024.")
    }
    guard (1...1024).contains(ranges ?? 1) else {
      throw ValidationError("--ranges is 1 to 1024.")
    }
    if let ranges, ranges > 1, let path, [.kernel, .passthrough, .plain].contains(path) {
      throw ValidationError("--ranges goes with --path auto, exchange or journal.")
    }
    guard count != 0 else { throw ValidationError("--count is at least 1.") }
  }

  var blockBytes: UInt64 { blockSize?.bytes ?? 16384 }

  func run() throws {
    do throws(Failure) {
      do throws(AtomicWriteError) {
        try ProgramStart.checkDescriptors()
      } catch {
        throw Failure(error, target: target ?? "nvme-atomic")
      }
      let exitCode =
        if let listen { try runListener(listen) } else if check { try runCheck() } else if simulate
        {
          try runSimulation()
        } else { try runWorkload() }
      if let exitCode { Terminal.exit(exitCode) }
    } catch {
      if json { Terminal.print(error.document(format: Self.format).rendered) }
      Terminal.printError(error.line)
      throw error.exitCode
    }
  }
}

/// `tcp:HOST:PORT`; an address of the sixth version of IP stands in brackets.
struct LogAddress: Equatable {
  var host: String
  var port: UInt16

  init?(_ text: String) {
    guard text.hasPrefix("tcp:") else { return nil }
    let address = text.dropFirst(4)
    guard let colon = address.lastIndex(of: ":"),
      let port = UInt16(address[address.index(after: colon)...]), port > 0
    else { return nil }
    var host = address[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard !host.isEmpty else { return nil }
    self.host = String(host)
    self.port = port
  }
}
