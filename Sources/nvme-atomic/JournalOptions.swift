import ArgumentParser
import NVMeAtomic

/// Where a journal is.
struct JournalOptions: ParsableArguments {
  @Option(
    name: .customLong("journal"),
    help: """
      The file that is the journal; a file's is made where it is not there, a block device's by \
      journal init. The default is what the file's mark says, or its name and \
      .nvme-atomic-journal; a block device has none.
      """
  )
  var file: String?

  @Option(
    name: .customLong("journal-region"),
    help: "The part of the block device that is its journal, made by journal init: OFFSET:LENGTH."
  )
  var region: RangeArgument?

  func validate() throws {
    if file != nil, region != nil {
      throw ValidationError("A journal is in a file or in a region.")
    }
  }

  var isGiven: Bool { file != nil || region != nil }

  var place: JournalPlace {
    if let file { return .file(file) }
    guard let region else { return .automatic }
    return .region(offsetBytes: region.offset.bytes, lengthBytes: region.length.bytes)
  }
}
