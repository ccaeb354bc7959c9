/// Cloud providers' volumes. None was at hand: model numbers are those that the providers' own
/// tools look for, fields are what the providers' pages say, all else is chosen.
extension FixtureDrive {
  /// An EBS volume: 4, 8 and 16 KiB by AWS's supported-block-sizes page, in the bytes of its
  /// twp-namespace page; the specification's own fields say one block.
  package static let amazonVolume = FixtureDrive {
    ($0.vid, $0.model, $0.serial) = (0x1d0f, "Amazon Elastic Block Store", "vol0fixture")
    ($0.nsfeat, $0.nawun, $0.nawupf, $0.nacwu, $0.awun, $0.awupf) = (0, 0, 0, 0, 0, 0)
    ($0.ntwpu, $0.ntwpg, $0.ntwpb) = (31, 7, 31)
  }
  /// The same bytes of a drive that is not Amazon's.
  package static let amazonBytesElsewhere = amazonVolume.with {
    ($0.vid, $0.model) = (0x1b36, "Fixture A")
  }
  /// A Nitro SSD without boundary.
  package static let amazonInstanceStore = amazonVolume.with {
    ($0.model, $0.serial) = ("Amazon EC2 NVMe Instance Storage", "AWS0FIXTURE")
    $0.ntwpb = 0
  }
  /// A managed disk as Azure's disks-torn-write-prevention page shows it: NAWUN 31.
  package static let azureVolume = FixtureDrive {
    ($0.vid, $0.model, $0.serial) = (0x1414, "MSFT NVMe Accelerator v1.0", "SN: 000001")
    ($0.nawun, $0.nawupf, $0.nabspf) = (31, 31, 31)
  }

  package static func model(_ model: String) -> FixtureDrive {
    FixtureDrive {
      $0.model = model
      ($0.nsfeat, $0.nawun, $0.nawupf, $0.nacwu, $0.awun, $0.awupf) = (0, 0, 0, 0, 0, 0)
    }
  }
}

extension FixtureTarget {
  package static let clouds: [FixtureTarget] = [
    .namespace("amazon-volume", .linux7_3, .amazonVolume),
    .namespace("amazon-volume-6.10", .linux6_10, .amazonVolume),
    .namespace("amazon-volume-nomerges", .linux7_3, .amazonVolume) { $0.nomerges = 2 },
    .namespace("amazon-bytes-elsewhere", .linux7_3, .amazonBytesElsewhere) { $0.nomerges = 2 },
    .namespace("amazon-instance-store", .linux7_3, .amazonInstanceStore) { $0.nomerges = 2 },
    .namespace(
      "amazon-volume-zeroes",
      .linux7_3,
      amazon { ($0.ntwpu, $0.ntwpg, $0.ntwpb) = (0, 0, 0) }
    ),
    .namespace("amazon-volume-contradiction", .linux7_3, amazon { $0.ntwpb = 15 }) {
      $0.nomerges = 2
    },
    .namespace("amazon-volume-nawupf", .linux7_3, amazon { ($0.nsfeat, $0.nawupf) = (2, 31) }),
    partition("amazon-partition", startSector: 2048),
    partition("amazon-partition-misaligned", startSector: 2056),
    .file("amazon-ext4", device: nomerges) { .ext4(on: $0) },
    .file("amazon-xfs-16k", device: nomerges) { .xfs(on: $0, block: 16384, reflink: false) },
    FixtureTarget("amazon-generic", "/dev/ng0n1", namespace("", .linux7_3, .amazonVolume).world),
    .namespace("google-volume", .linux7_3, .model("nvme_card-pd")),
    .namespace("google-local", .linux7_3, .model("nvme_card12")),
    .namespace("azure-volume", .linux7_3, .azureVolume) { $0.nomerges = 2 },
    .namespace("azure-local", .linux7_3, .model("Microsoft NVMe Direct Disk v2")),
    .namespace(
      "azure-name-over-tcp",
      .linux7_3,
      FixtureDrive.azureVolume.with { $0.transport = "tcp" }
    ),
  ]

  private static func amazon(_ change: (inout FixtureDrive) -> Void) -> FixtureDrive {
    FixtureDrive.amazonVolume.with(change)
  }

  private static func nomerges(_ world: inout FixtureWorld) -> FixtureDisk {
    var queue = world.kernel.queue(of: .amazonVolume)
    queue.nomerges = 2
    return world.addNamespace(.amazonVolume, queue: queue)
  }

  private static func partition(_ name: String, startSector: UInt64) -> FixtureTarget {
    var world = FixtureWorld()
    let disk = nomerges(&world)
    world.addPartition(of: disk, startSector: startSector)
    return FixtureTarget(name, "/dev/nvme0n1p1", world)
  }
}
