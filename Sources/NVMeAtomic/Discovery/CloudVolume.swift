/// What a cloud provider's documentation promises of a volume, kept apart from what the device
/// itself reports: it is shown and never counted, and no answer becomes yes by it.
public struct DocumentedPromise: Hashable, Sendable {
  /// Who documents it.
  public var provider: String
  /// What the model number stands for.
  public var product: String
  /// The lengths in bytes that are said to stay whole; empty where nothing is said.
  public var sizesBytes: [UInt64]
  /// What the documentation demands, or leaves open; a clause.
  public var conditions: String
  /// The address of the page.
  public var source: String
}

/// A cloud provider's volume, recognised by its model number.
public enum CloudVolume: String, CaseIterable, Sendable {
  /// Amazon EBS (`amazonlinux/amazon-ec2-utils`: `ebsnvme-id`).
  case amazonVolume = "Amazon Elastic Block Store"
  /// Amazon's local drives (`amazonlinux/amazon-ec2-utils`: `70-ec2-nvme-devices.rules`).
  case amazonInstanceStore = "Amazon EC2 NVMe Instance Storage"
  /// Google's Persistent Disk and Hyperdisk, which the model does not tell apart
  /// (`GoogleCloudPlatform/guest-configs`: `65-gce-disk-naming.rules`).
  case googleVolume = "nvme_card-pd"
  /// Google's local drives; with several controllers a number follows (the same rules).
  case googleLocal = "nvme_card"
  /// Azure's remote disks (`Azure/azure-vm-utils`: `80-azure-disk.rules`).
  case azureVolume = "MSFT NVMe Accelerator v1.0"
  /// Azure's local disks (the same rules).
  case azureLocal = "Microsoft NVMe Direct Disk"
  /// Azure's local disks of the second kind (the same rules).
  case azureLocal2 = "Microsoft NVMe Direct Disk v2"

  /// Recognises a whole model number, its padding removed; `nil` for any other.
  public init?(model: String) {
    if let volume = CloudVolume(rawValue: model) {
      self = volume
      return
    }
    let number = model.utf8.dropFirst(Self.googleLocal.rawValue.utf8.count)
    guard model.hasPrefix(Self.googleLocal.rawValue), !number.isEmpty,
      number.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
    else { return nil }
    self = .googleLocal
  }

  /// What the provider's documentation says of it.
  public var documented: DocumentedPromise {
    switch self {
    case .amazonVolume, .amazonInstanceStore: amazon
    case .googleVolume, .googleLocal: google
    case .azureVolume, .azureLocal, .azureLocal2: azure
    }
  }

  private var amazon: DocumentedPromise {
    DocumentedPromise(
      provider: "Amazon Web Services",
      product: self == .amazonVolume ? "EBS volume" : "NVMe instance store",
      sizesBytes: VendorTornWriteLimits.documentedBytes,
      conditions: "each at a multiple of its size, neither merged nor split nor relocated by the "
        + "operating system, "
        + (self == .amazonVolume
          ? "attached to a Nitro-based instance"
          : "on current I-family instances; 8 KiB and 16 KiB on I4i, Im4gn, Is4gen, I7i, I7ie, "
            + "I8g and I8ge only"),
      source: "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-block-sizes.html"
    )
  }

  private var google: DocumentedPromise {
    guard self == .googleVolume else {
      return DocumentedPromise(
        provider: "Google Cloud",
        product: "Local SSD",
        sizesBytes: [],
        conditions: "torn-write protection is documented for Hyperdisk only",
        source: "https://docs.cloud.google.com/compute/docs/disks/optimize-hyperdisk"
      )
    }
    return DocumentedPromise(
      provider: "Google Cloud",
      product: "Persistent Disk or Hyperdisk",
      sizesBytes: [16384],
      conditions: "a Persistent Disk made with 16 KiB physical blocks, written by O_DIRECT through "
        + "ext4 with bigalloc and 16 KiB clusters; for Hyperdisk torn-write protection is "
        + "documented without a length "
        + "(https://docs.cloud.google.com/compute/docs/disks/optimize-hyperdisk)",
      source: "https://cloud.google.com/compute/docs/tutorials/16kb-mysql-best-practices"
    )
  }

  private var azure: DocumentedPromise {
    let isRemote = self == .azureVolume
    return DocumentedPromise(
      provider: "Microsoft Azure",
      product: isRemote ? "managed disk" : "local NVMe disk",
      sizesBytes: isRemote ? [8192, 16384] : [],
      conditions: isRemote
        ? "each at a multiple of its size, by direct I/O with Linux 6.13 or newer; 16 KiB only "
          + "where Identify reports it too"
        : "torn-write prevention is documented for managed disks only",
      source: "https://learn.microsoft.com/azure/virtual-machines/disks-torn-write-prevention"
    )
  }
}

extension ControllerReport {
  /// The cloud volume that this is, by model number; `nil` for any other drive and for remote ones,
  /// whose targets may use any name.
  public var cloudVolume: CloudVolume? {
    guard transport == "pcie" else { return nil }
    return (identify?.model ?? model).flatMap(CloudVolume.init(model:))
  }
}

extension TargetReport {
  /// What a cloud provider documents of the one drive below; shown, never counted.
  public var documented: DocumentedPromise? {
    let only = namespaces.count == 1 ? namespaces[0].controller : nil
    return (only ?? controller)?.cloudVolume?.documented
  }
}
