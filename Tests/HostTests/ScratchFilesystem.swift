import Foundation
import Testing

/// A filesystem of a test's own on a loop device, to be crashed, filled up and copied without
/// disturbing others; it goes with its owner.
final class ScratchFilesystem {
  let mount: String
  let image: String
  private(set) var device = ""

  /// Where the image lies, if that is on another one.
  private let holder: ScratchFilesystem?

  init(_ kind: String, megabytes: Int = 400, on holder: ScratchFilesystem? = nil) throws {
    let name = "scratch-\(UUID().uuidString)"
    self.holder = holder
    mount = HostRig.path(name)
    image = (holder?.mount).map { "\($0)/\(name).image" } ?? mount + ".image"
    try shell(
      """
      mkdir '\(mount)'; truncate -s \(megabytes)M '\(image)'
      mkfs.\(kind) -q '\(image)' >/dev/null 2>&1
      """
    )
    device = try shell("losetup --show --find '\(image)'")
    try shell("mount \(device) '\(mount)'")
  }

  /// What is open there still keeps it until it is closed.
  deinit {
    _ = try? shell("umount -l '\(mount)'; losetup -d \(device); rmdir '\(mount)'; rm '\(image)'")
  }

  /// Programs that other tests start hold the mount for a moment.
  private static func unmounting(_ mount: String) -> String {
    "for try in $(seq 100); do umount '\(mount)' 2>/dev/null && break; sleep 0.05; done"
  }

  /// What was not flushed is lost. Works on XFS and ext4.
  func shutDown() throws { try shell("xfs_io -x -c shutdown '\(mount)'") }

  /// The filesystem recovers itself.
  func mountAnew() throws { try shell("\(Self.unmounting(mount)); mount \(device) '\(mount)'") }

  /// The image as it is at a moment takes the filesystem's place: what its cache has by then is
  /// lost. The holder is XFS, which clones files at one moment.
  func loseWhatIsCached(_ afterwards: () -> Void) throws {
    try shell("cp --reflink=always '\(image)' '\(image).copy'")
    afterwards()
    try shell("\(Self.unmounting(mount)); losetup -d \(device); mv '\(image).copy' '\(image)'")
    device = try shell("losetup --show --find '\(image)'")
    try shell("mount \(device) '\(mount)'")
  }

  /// Leaves no block free.
  func fillUp() throws {
    try shell(
      """
      dd if=/dev/zero of='\(mount)/filler' bs=1M status=none 2>/dev/null || true
      dd if=/dev/zero of='\(mount)/filler.2' bs=4k status=none 2>/dev/null || true
      sync -f '\(mount)' || true
      dd if=/dev/zero of='\(mount)/filler.3' bs=4k status=none 2>/dev/null || true
      """
    )
  }

  func makeRoom() throws { try shell("rm -f '\(mount)'/filler*; sync -f '\(mount)'") }
}
