// swift-tools-version: 6.3
import PackageDescription

let strict: [SwiftSetting] = [
  .strictMemorySafety(),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

let tests: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

// Where tests do little but call what is tested, to optimise them takes longer than to run them.
let brief =
  tests + [.unsafeFlags(["-Onone", "-DUNOPTIMISED"], .when(configuration: .release))]

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")

let package = Package(
  name: "nvme-atomic",
  products: [
    .library(name: "NVMeAtomic", targets: ["NVMeAtomic"]),
    .executable(name: "nvme-atomic", targets: ["nvme-atomic"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    .systemLibrary(
      name: "CLibNVMe",
      pkgConfig: "libnvme",
      providers: [.apt(["libnvme-dev", "libjson-c-dev", "libssl-dev"])]
    ),
    .target(
      name: "CNVMeAtomic",
      dependencies: ["CLibNVMe"],
      cSettings: [.define("_GNU_SOURCE")],
      linkerSettings: [
        .linkedLibrary("blkid"), .linkedLibrary("devmapper"), .linkedLibrary("uring"),
        .linkedLibrary("xxhash"),
      ]
    ),
    .target(
      name: "LinuxIO",
      dependencies: ["CNVMeAtomic", system],
      swiftSettings: strict
    ),
    .target(
      name: "NVMeAtomic",
      dependencies: ["LinuxIO", system],
      swiftSettings: strict
    ),
    .target(
      name: "Simulation",
      dependencies: ["NVMeAtomic", "LinuxIO", system],
      swiftSettings: strict
    ),
    .executableTarget(
      name: "crash-explorer",
      dependencies: ["Simulation"],
      swiftSettings: strict
    ),
    .executableTarget(
      name: "nvme-atomic",
      dependencies: [
        "NVMeAtomic", "Simulation", system,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: strict
    ),
    .target(
      name: "TestSupport",
      dependencies: ["NVMeAtomic", "LinuxIO", system],
      path: "Tests/TestSupport",
      swiftSettings: tests
    ),
    .executableTarget(
      name: "transaction-benchmark",
      dependencies: ["NVMeAtomic"],
      path: "Tests/benchmarks/transactions",
      swiftSettings: tests
    ),
    .executableTarget(
      name: "power-cut-writer",
      dependencies: ["NVMeAtomic"],
      path: "Tests/VM/powercut/writer",
      swiftSettings: tests
    ),
    .testTarget(
      name: "NVMeAtomicTests",
      dependencies: ["NVMeAtomic", "LinuxIO", "TestSupport", system],
      swiftSettings: brief
    ),
    .testTarget(
      name: "ClientTests",
      dependencies: ["NVMeAtomic"],
      swiftSettings: brief
    ),
    .testTarget(
      name: "SimulationTests",
      dependencies: ["Simulation", "NVMeAtomic"],
      swiftSettings: tests
    ),
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
    .testTarget(
      name: "HostTests",
      dependencies: [
        "nvme-atomic", "NVMeAtomic", "LinuxIO", "TestSupport", "CAllocationCounter", system,
      ],
      swiftSettings: brief
    ),
    .testTarget(
      name: "CommandTests",
      dependencies: [
        "nvme-atomic", "NVMeAtomic", "LinuxIO", "Simulation", "TestSupport", system,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      exclude: ["Snapshots"],
      swiftSettings: brief
    ),
    .testTarget(name: "StyleTests", swiftSettings: tests),
    .target(name: "CFuzzer", path: "Tests/CFuzzer"),
    .target(
      name: "Fuzzers",
      dependencies: [
        "nvme-atomic", "NVMeAtomic", "LinuxIO", "TestSupport", system,
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Tests/Fuzzers",
      swiftSettings: tests
    ),
    .testTarget(
      name: "FuzzTests",
      dependencies: ["Fuzzers", "CFuzzer", "nvme-atomic"],
      swiftSettings: brief
    ),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu11
)

// Tests/coverage counts the lines of the library, also where they are specialised for the command.
// Tests are built and run faster without.
if Context.environment["NVME_ATOMIC_COVERAGE"] != nil {
  let untested = ["crash-explorer", "transaction-benchmark", "power-cut-writer"]
  package.targets.removeAll { untested.contains($0.name) }
  let counted = ["NVMeAtomic", "LinuxIO", "nvme-atomic"]
  for target in package.targets where counted.contains(target.name) {
    target.swiftSettings?.append(
      .unsafeFlags(["-profile-generate", "-profile-coverage-mapping"])
    )
  }
  for target in package.targets where target.name == "CNVMeAtomic" {
    target.cSettings?.append(.unsafeFlags(["-fprofile-instr-generate", "-fcoverage-mapping"]))
    target.linkerSettings?.append(.unsafeFlags(["-profile-generate"]))
  }
}

// Tests/fuzz/run instruments what reads bytes that it did not make, and builds what it and
// Tests/sanitize run, and nothing else.
if Context.environment["NVME_ATOMIC_FUZZ"] != nil {
  let others = [
    "ClientTests", "SimulationTests", "CommandTests", "StyleTests", "crash-explorer",
    "transaction-benchmark", "power-cut-writer",
  ]
  package.targets.removeAll { others.contains($0.name) }
  for target in package.targets where target.type == .test { target.swiftSettings = brief }
  let sources = [
    "NVMeAtomicTests": [
      "Writing/WriteEngineTests", "Writing/WriteBesideReaderTests",
      "Verification/TearingRunTests", "Verification/TearingDrive",
    ],
    "HostTests": [
      "HostLoadTests", "HostQueueTests", "HostSizeTests", "HostWriteTests", "HostRig", "HostKernel",
      "TracedTool", "ScratchFilesystem", "JournalledFile",
    ],
  ]
  for target in package.targets {
    target.sources = sources[target.name]?.map { $0 + ".swift" } ?? target.sources
  }
  for target in package.targets where ["NVMeAtomic", "nvme-atomic"].contains(target.name) {
    target.swiftSettings?.append(.unsafeFlags(["-Xfrontend", "-sanitize=fuzzer"]))
  }
  for target in package.targets where ["Simulation", "nvme-atomic"].contains(target.name) {
    target.swiftSettings?.append(.unsafeFlags(["-Onone"], .when(configuration: .release)))
  }
}
