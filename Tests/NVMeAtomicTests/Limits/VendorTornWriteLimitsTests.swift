import Testing

@testable import NVMeAtomic

@Suite struct VendorTornWriteLimitsTests {
  /// LBADS, NTWPU, NTWPG, NTWPB, the lengths that may be counted on, part of the contradiction.
  typealias Row = (UInt8, UInt16, UInt16, UInt32, [UInt64], String?)

  @Test(
    arguments: [
      (9, 31, 7, 31, [4096, 8192, 16384], nil),
      (12, 3, 0, 3, [4096, 8192, 16384], nil),
      (9, 31, 7, 0, [4096, 8192, 16384], nil),
      (9, 31, 0, 0, [4096, 8192, 16384], nil),
      (9, 31, 15, 31, [8192, 16384], nil),
      (9, 31, 31, 31, [16384], nil),
      (9, 15, 7, 15, [4096, 8192], nil),
      (9, 7, 7, 7, [4096], nil),
      // 12 KiB are declared; no page says that a 12 KiB write is supported.
      (9, 23, 7, 0, [4096, 8192], nil),
      // More than is documented: what is documented.
      (9, 63, 7, 0, [4096, 8192, 16384], nil),
      (9, 0xffff, 7, 0xffff_ffff, [4096, 8192, 16384], nil),
      (12, 0xffff, 0, 0xffff_ffff, [4096, 8192, 16384], nil),
      // Zeroes are one block each and no boundary.
      (9, 0, 0, 0, [], nil),
      (12, 0, 0, 0, [4096], nil),
      (9, 6, 0, 0, [], nil),
      // All ones, as of erased memory.
      (9, 0xffff, 0xffff, 0xffff_ffff, [], nil),
      (9, 0, 7, 0, [], "granularity exceeds"),
      (9, 7, 0xffff, 0, [], "granularity exceeds"),
      (9, 31, 4, 0, [], "no multiple of the granularity"),
      (9, 31, 7, 30, [], "smaller than the unit"),
      (9, 31, 7, 1, [], "smaller than the unit"),
      (9, 0xffff, 0xffff, 0xfffe, [], "smaller than the unit"),
      (9, 31, 7, 32, [], "boundary is no multiple"),
      (9, 31, 7, 47, [4096, 8192, 16384], nil),
    ] as [Row]
  )
  func fieldsAllowTheseLengths(row: Row) throws {
    let block = try #require(LogicalBlockSize(lbads: row.0))
    let limits = VendorTornWriteLimits(Self.fields(row.1, row.2, row.3), block)
    let size = UInt64(block.bytes)
    #expect(limits.unitBytes == (UInt64(row.1) + 1) * size)
    #expect(limits.granuleBytes == (UInt64(row.2) + 1) * size)
    let boundary = row.3 == 0 ? nil : (UInt64(row.3) + 1) * size
    #expect(limits.boundary?.sizeBytes == boundary)
    #expect(limits.boundary?.offsetBytes ?? 0 == 0)
    #expect(limits.lengthsBytes == row.4)
    #expect((limits.contradiction == nil) == (row.5 == nil))
    if let part = row.5 { #expect(limits.contradiction?.contains(part) == true) }
  }

  static func fields(_ ntwpu: UInt16, _ ntwpg: UInt16, _ ntwpb: UInt32) -> VendorTornWriteFields {
    var page = IdentifyFixture.page()
    for (offset, value, count) in [
      (640, UInt32(ntwpu), 2), (642, UInt32(ntwpg), 2), (644, ntwpb, 4),
    ] {
      for index in 0..<count {
        page[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
      }
    }
    var controller = IdentifyFixture.controller()
    (controller.vid, controller.model) = (0x1d0f, "Amazon Elastic Block Store")
    guard let fields = VendorTornWriteFields(page: page, of: controller) else {
      fatalError("the page is whole and Amazon's")
    }
    return fields
  }
}

/// Which of the fields counts.
@Suite struct DeviceLimitsVendorTests {
  /// NSFEAT, AWUPF, NAWUPF, NABO, NABSPF, the power-fail limit in bytes, its source and boundary.
  typealias Row = (UInt8, UInt16, UInt16, UInt16, UInt16, UInt64, DeviceLimits.Source, UInt64)

  /// NTWPU 31, NTWPG 7 and NTWPB 31 with 512-byte blocks, beside the specification's fields.
  @Test(
    arguments: [
      (0, 0, 0, 0, 0, 16384, .vendor, 16384),
      (0, 30, 0, 0, 0, 16384, .vendor, 16384),
      (2, 0, 30, 0, 0, 16384, .vendor, 16384),
      // As much, or more, by the specification's own fields.
      (0, 31, 0, 0, 0, 16384, .controller, 0),
      (2, 0, 31, 0, 0, 16384, .namespace, 0),
      (2, 63, 63, 0, 0, 32768, .namespace, 0),
      (0, 0xffff, 0, 0, 0, 32 << 20, .controller, 0),
      // The same boundary; another one; one that begins elsewhere.
      (0, 0, 0, 0, 31, 16384, .vendor, 16384),
      (0, 0, 0, 0, 63, 512, .controller, 32768),
      (0, 0, 0, 8, 31, 512, .controller, 16384),
      (0, 0, 0, 8, 0, 512, .controller, 0),
    ] as [Row]
  )
  func theVendorCountsOnlyWhereItSaysMoreAndContradictsNothing(row: Row) throws {
    let limits = try #require(Self.limits(row, VendorTornWriteLimitsTests.fields(31, 7, 31)))
    #expect(limits.powerFailBytes == row.5)
    #expect(limits.powerFailSource == row.6)
    #expect(limits.powerFailBoundary?.sizeBytes ?? 0 == row.7)
    #expect(limits.normalSource == .controller)
    #expect(limits.normalBytes == 512)
    // What the kernel goes by is as if there were no such bytes.
    var plain = try #require(Self.limits(row, nil))
    #expect(plain.vendorTornWrite == nil)
    plain.vendorTornWrite = limits.vendorTornWrite
    #expect(limits.withoutVendor == plain)
    #expect(limits.withoutVendor.powerFailSource != .vendor)
  }

  @Test(
    arguments: [(0, 0, 0), (31, 7, 15), (31, 4, 0), (0xffff, 0xffff, .max)]
      as [(UInt16, UInt16, UInt32)]
  )
  func valuesThatAllowNothingAreNotCounted(ntwpu: UInt16, ntwpg: UInt16, ntwpb: UInt32) throws {
    let row: Row = (0, 0, 0, 0, 0, 0, .controller, 0)
    let fields = VendorTornWriteLimitsTests.fields(ntwpu, ntwpg, ntwpb)
    let limits = try #require(Self.limits(row, fields))
    #expect(limits.powerFailBytes == 512)
    #expect(limits.powerFailSource == .controller)
    #expect(limits == limits.withoutVendor)
  }

  /// With DN set, the drive honours its power-fail unit; of the vendor's nothing is said.
  @Test func nothingIsUntornByTheVendor() throws {
    let fields = VendorTornWriteLimitsTests.fields(31, 7, 31)
    for disabled in [false, true] {
      let row: Row = (0, 0, 0, 0, 0, 0, .controller, 0)
      let limits = try #require(Self.limits(row, fields, disabled: disabled))
      #expect(limits.powerFailBytes == 16384)
      #expect(limits.normalBytes == 512)
      #expect(limits.normalSource == .controller)
    }
  }

  private static func limits(
    _ row: Row,
    _ fields: VendorTornWriteFields?,
    disabled: Bool = false
  ) -> DeviceLimits? {
    var controller = IdentifyFixture.controller()
    controller.awupf = row.1
    var namespace = IdentifyFixture.namespace([130: 9])
    (namespace.nsfeat, namespace.nawupf) = (row.0, row.2)
    (namespace.nabo, namespace.nabspf) = (row.3, row.4)
    return DeviceLimits(
      controller: controller,
      namespace: namespace,
      writeAtomicityNormal: disabled,
      vendorTornWrite: fields
    )
  }
}
