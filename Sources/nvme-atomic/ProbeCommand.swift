import ArgumentParser
import NVMeAtomic

/// `nvme-atomic probe`
struct ProbeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe",
    abstract: "Say what each layer of a target promises, in bytes, and why.",
    discussion: """
      A target is a namespace (/dev/nvme0n1), its ng character device, a controller, a partition, \
      any other block device, a file, or a directory (meaning: a new file there).

      With --page-size or --at and --length the exit code answers: 0 yes, 1 no, 2 not known. Who \
      writes decides: RWF_ATOMIC protects only those who use it. Of several targets the worst \
      counts.

      With --all the targets are the block devices that lsblk --noempty lists: disks, \
      partitions, dm, md and loop devices, but no RAM disks and nothing of size 0 except NVMe \
      namespaces. Where there are none the probe says so and ends with 0, or with 2 if there was \
      a question. A device that goes away meanwhile is an entry with an error.
      """
  )

  @Argument(help: "What to probe.")
  var targets: [String] = []

  @Flag(help: "Probe every block device of this machine.")
  var all = false

  @Option(help: "Is every page of this size, each written at once, kept whole?")
  var pageSize: SizeArgument?

  @Option(help: "Is one write at this offset kept whole? With --length.")
  var at: SizeArgument?

  @Option(help: "The length of the write at --at.")
  var length: SizeArgument?

  @Option(help: "Who writes: direct (O_DIRECT), rwf-atomic (RWF_ATOMIC) or buffered.")
  var writer: Writer?

  @Flag(help: "Count a yes that rests on an assumption as a no.")
  var strict = false

  @Flag(help: "Print JSON.")
  var json = false

  @Flag(help: "Print metrics for the textfile collector of Prometheus' node exporter.")
  var prometheus = false

  @Option(
    help: "With --json or --prometheus: replace this file, whole or not at all.",
    completion: .file()
  )
  var output: String?

  func validate() throws {
    if targets.isEmpty, !all { throw ValidationError("Name at least one target, or use --all.") }
    if !targets.isEmpty, all {
      throw ValidationError("--all means every block device; name no targets beside it.")
    }
    if (at == nil) != (length == nil) { throw ValidationError("--at and --length go together.") }
    if pageSize != nil, at != nil {
      throw ValidationError("--page-size and --at are different questions; ask one.")
    }
    if pageSize?.bytes == 0 || length?.bytes == 0 {
      throw ValidationError("A write has at least one byte.")
    }
    if question == nil, writer != nil || strict {
      throw ValidationError("--writer and --strict belong to --page-size or --at.")
    }
    if json, prometheus { throw ValidationError("Choose --json or --prometheus.") }
    if output != nil, !json, !prometheus {
      throw ValidationError("--output belongs to --json or --prometheus.")
    }
    if output == "" { throw ValidationError("--output names no file.") }
  }

  private var question: Question? {
    let writer = writer ?? .direct
    if let pageSize {
      return Question(.everyPage(sizeBytes: pageSize.bytes), writer: writer, isStrict: strict)
    }
    guard let at, let length else { return nil }
    return Question(
      .one(offsetBytes: at.bytes, lengthBytes: length.bytes),
      writer: writer,
      isStrict: strict
    )
  }

  var probeRun: ProbeRun {
    ProbeRun(
      targets: all ? .all : .named(targets),
      question: question,
      form: json ? .json : prometheus ? .prometheus : .text,
      file: output
    )
  }

  func run() throws {
    let exitCode = probeRun.execute()
    if exitCode != ExitStatus.yes { throw exitCode }
  }
}
