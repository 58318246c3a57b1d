// SPDX-License-Identifier: Apache-2.0

import CHDF5
import Foundation
import Testing

@testable import Storage

@Suite struct RecordTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch() }

  @Test func everythingComesBack() throws {
    let path = scratch.file("deep/er/a.h5")
    let record = sampleRecord()
    try record.write(to: path)
    let back = try Record.read(from: path)
    #expect(back == record, "\(back.firstDifference(from: record) ?? "telemetry differs")")
    #expect(back.source == path)
    #expect(back.groups.map(\.name) == ["zeta", "alpha", "telemetry"])
    #expect(back.attributes.names == record.attributes.names)
    #expect(back.root.dataSets.map(\.name) == record.root.dataSets.map(\.name))
  }

  @Test func theSameRecordGivesTheSameBytes() throws {
    let record = sampleRecord()
    let first = try record.encoded(for: "a")
    for _ in 0..<3 { #expect(try record.encoded(for: "b") == first) }
    let path = scratch.file("a.h5")
    try record.write(to: path)
    #expect(try content(path) == first)
    try Record.read(from: path).write(to: path)
    #expect(try content(path) == first)
  }

  @Test func manyAttributesAndDataSets() throws {
    // HDF5 changes to another storage above 8 attributes and above some links.
    var record = Record()
    for number in 0..<40 {
      record.attributes["a\(97 * number % 40)"] = .int(number)
      record.add(.init("d\(97 * number % 40)", .double([Double(number)])))
    }
    let path = scratch.file("many.h5")
    try record.write(to: path)
    #expect(try Record.read(from: path) == record)
    #expect(try record.encoded(for: "") == (try content(path)))
  }

  @Test func longTextsAndListsInAttributes() throws {
    var record = Record()
    record.attributes["config"] = .string(String(repeating: "schlüssel: wert\n", count: 10_000))
    record.attributes["list"] = .doubles((0..<20_000).map(Double.init))
    let path = scratch.file("long.h5")
    try record.write(to: path)
    #expect(try Record.read(from: path) == record)
  }

  @Test func largeArraysAreCompressed() throws {
    let record = Record(dataSets: [
      .init("flat", .double([Double](repeating: 1, count: 300_000)), shape: [3, 100_000]),
      .init("long", .float([Float](repeating: 2, count: 200_000)), shape: [100_000, 2]),
    ])
    let data = try record.encoded(for: "")
    #expect(data.count < 100_000)
    let path = scratch.file("large.h5")
    try record.write(to: path)
    #expect(try Record.read(from: path) == record)
  }

  // MARK: - Comparison

  @Test func telemetryIsNotAResult() {
    let record = sampleRecord()
    var other = record
    other.telemetry.attributes["host"] = "elsewhere"
    #expect(record != other)
    #expect(record.firstDifference(from: other) == nil)
    other[group: Record.telemetryName] = nil
    #expect(record.firstDifference(from: other) == nil)
  }

  @Test func theFirstDifferenceIsNamed() {
    let record = sampleRecord()
    func difference(_ change: (inout Record) -> Void) -> String {
      var other = record
      change(&other)
      return record.firstDifference(from: other) ?? "none"
    }
    #expect(difference { $0.attributes["seed"] = 12 } == "attribute seed: 11 against 12")
    #expect(difference { $0.attributes["seed"] = nil }.contains("only the first record has seed"))
    #expect(difference { $0.attributes["more"] = 1 }.contains("only the second record has more"))
    #expect(difference { $0[group: "zeta"] = nil }.contains("only the first record has zeta"))
    #expect(difference { $0.add(.init("new", .int32([1]))) }.contains("only the second"))
    var group = Record.Group("zeta", attributes: ["note": "first added, last by name"])
    group.add(.init("x", .double([1, 2, 3.5]), units: "s", dimensions: ["layer"]))
    #expect(difference { $0[group: "zeta"] = group }.hasPrefix("zeta/x[2]: 3.0 (bits 4008"))
  }

  @Test func bitsCount() {
    func record(_ value: Double) -> Record {
      Record(dataSets: [.init("x", .double([0, value]), shape: [1, 2])])
    }
    #expect(record(.nan).firstDifference(from: record(.nan)) == nil)
    #expect(record(.nan).firstDifference(from: record(-.nan)) != nil)
    #expect(
      record(0).firstDifference(from: record(-0.0))
        == "x[0, 1]: 0.0 (bits 0000000000000000) against -0.0 (bits 8000000000000000)")
  }

  // MARK: - Getters

  @Test func gettersNameFileAndPart() throws {
    let path = scratch.file("a.h5")
    try sampleRecord().write(to: path)
    let record = try Record.read(from: path)
    #expect(try record.doubles("telemetry/seconds") == [0.25, 0.5])
    #expect(try record.doubles("bytes", axes: 2).values.last == 255)
    #expect(try record.ints("step").prefix(3) == [0, 10, 20])
    #expect(try record.strings("layer").first == "wte")
    #expect(try record.int(attribute: "seed") == 11)
    #expect(try record.double(attribute: "seed") == 11)
    #expect(try record.string(attribute: "experiment") == "trace-regression")
    expectError("data set tau is missing", at: path) { try record.doubles("tau") }
    expectError("data set layer holds strings", at: path) { try record.doubles("layer") }
    expectError("data set sigma has the shape", at: path) { try record.ints("sigma") }
    expectError("data set telemetry/seconds holds doubles", at: path) {
      try record.ints("telemetry/seconds")
    }
    expectError("data set step holds numbers", at: path) { try record.strings("step") }
    expectError("attribute nope is missing", at: path) { try record.int(attribute: "nope") }
    expectError("attribute lr is not a whole", at: path) { try record.int(attribute: "lr") }
    expectError("attribute lr is not a text", at: path) { try record.string(attribute: "lr") }
    expectError("is not a number", at: path) { try record.double(attribute: "method") }
    let big = Record(dataSets: [.init("n", .int64([.max]))])
    expectError("too large") { try big.doubles("n") }
  }

  // MARK: - Faults

  @Test func aRecordCutOffAnywhereIsAnError() throws {
    let data = try sampleRecord().encoded(for: "")
    let path = scratch.file("cut.h5")
    let places = Array(0..<200) + Array(stride(from: 200, to: data.count, by: 211))
    for length in places + [data.count - 1] {
      try data.prefix(length).write(to: URL(fileURLWithPath: path))
      expectError(at: path) { try Record.read(from: path) }
    }
  }

  @Test func aChangedByteAnywhereIsAnError() throws {
    let data = try sampleRecord().encoded(for: "")
    let path = scratch.file("changed.h5")
    for place in stride(from: 0, to: data.count, by: 61) {
      var changed = data
      changed[place] ^= 1 << UInt8(place % 8)
      try changed.write(to: URL(fileURLWithPath: path))
      // The mark of the seal is not under the seal; the content is whole.
      if place >= data.count - 16 && place < data.count - 8 { continue }
      expectError(at: path) { try Record.read(from: path) }
    }
  }

  @Test func aRecordThatAnotherProgramWroteAnewNeedsNoSeal() throws {
    let path = scratch.file("a.h5")
    let record = sampleRecord()
    try record.encoded(for: "").dropLast(16).write(to: URL(fileURLWithPath: path))
    #expect(try Record.read(from: path) == record)
  }

  /// Headers, indexes and arrays have checksums that any reader of HDF5 holds them against.
  @Test func arraysHaveChecksums() throws {
    let record = Record(dataSets: [
      .init("x", .double([1.5, 2.5, 3.5])), .init("long", .double((0..<1000).map(Double.init))),
      .init("texts", .string(["a", "b"])), .init("scalar", .double([1]), shape: []),
      .init("none", .double([]), shape: [0]),
    ])
    let data = try record.encoded(for: "").dropLast(16)
    #expect(data[8] == 3, "the superblock of HDF5 1.10")
    try HDF5.exclusively {
      try HDF5File.withImage(data) { file in
        for (name, isChunked) in [
          ("x", true), ("long", true), ("texts", false), ("scalar", false), ("none", false),
        ] {
          try HDF5File.withDataSet(name, in: file) { set in
            let properties = H5Dget_create_plist(set)
            defer { H5Pclose(properties) }
            #expect((H5Pget_layout(properties) == H5D_CHUNKED) == isChunked, "\(name)")
            var parameters = 0
            let found = H5Pget_filter_by_id2(
              properties, H5Z_FILTER_FLETCHER32, nil, &parameters, nil, 0, nil, nil)
            #expect((found >= 0) == isChunked, "\(name)")
          }
        }
      }
    }
    let bytes = [1.5, 2.5, 3.5].withUnsafeBytes { Data($0) }
    var changed = Data(data)
    let place = try #require(changed.range(of: bytes))
    changed[place.lowerBound + 6] ^= 1
    let path = try scratch.file("changed.h5", holding: changed)
    expectError("cannot read x", at: path) { try Record.read(from: path) }
  }

  @Test func filesThatAreNoRecords() throws {
    let empty = try scratch.file("empty.h5", holding: Data())
    expectError("empty file", at: empty) { try Record.read(from: empty) }
    let png = try scratch.file("a.png", holding: Data([0x89, 0x50, 0x4e, 0x47, 0x0d]))
    #expect(
      expectError { try Record.read(from: png) }
        == "\(png): not an HDF5 file (first bytes 89 50 4e 47 0d); "
        + "delete it and run its experiment again")
    let missing = scratch.file("missing.h5")
    expectError("no such file", at: missing) { try Record.read(from: missing) }
    expectError("is a folder", at: scratch.path) { try Record.read(from: scratch.path) }
    let tensors = scratch.file("tensors.h5")
    try TensorFile.write([.init("w", shape: [2], .float([1, 2]))], format: .hdf5, to: tensors)
    expectError("no attribute schema", at: tensors) { try Record.read(from: tensors) }
    let other = scratch.file("other.h5")
    let data = try HDF5.exclusively {
      try HDF5File.image { try HDF5Attributes.write("another/9", name: "schema", on: $0) }
    }
    try AtomicFile.write(data, to: other)
    expectError("another/9", Record.schema, at: other) { try Record.read(from: other) }
  }

  /// What h5netcdf asks for: of the axes of a data set all have a scale, or none has one.
  @Test func scalesAreAttachedToAllAxesOrNone() throws {
    let path = scratch.file("a.h5")
    let record = Record(dataSets: [
      .init("step", .int64([1, 2])), .init("layer", .string(["a", "b", "c"])),
      .init("x", .double([1, 2]), dimensions: ["step"]),
      .init("both", .double([1, 2, 3, 4, 5, 6]), shape: [2, 3], dimensions: ["step", "layer"]),
      .init("mixed", .double([1, 2, 3, 4]), shape: [2, 2], dimensions: ["step", "index"]),
      .init("bare", .double([1, 2]), dimensions: ["run"]),
    ])
    try record.write(to: path)
    #expect(try Record.read(from: path).firstDifference(from: record) == nil)
    let attached = try HDF5.exclusively {
      let file = try HDF5File.open(path, writing: false)
      defer { H5Fclose(file) }
      return try ["x", "both", "mixed", "bare"].filter { name in
        try HDF5File.withDataSet(name, in: file) {
          try HDF5Attributes.has("DIMENSION_LIST", on: $0)
        }
      }
    }
    #expect(attached == ["x", "both"])
  }

  @Test func tolerancesAreThoseOfNumPysIsclose() {
    func difference(
      _ a: Double, _ b: Double, absolute: Double = 0, relative: Double = 0
    ) -> String? {
      func record(_ value: Double) -> Record {
        Record(
          attributes: ["final": .double(value)],
          dataSets: [
            .init("x", .double([0, value]), shape: [1, 2]), .init("y", .float([Float(value)])),
          ])
      }
      return record(a).firstDifference(
        from: record(b), within: .init(absolute: absolute, relative: relative))
    }
    #expect(difference(1, 1.25, relative: 0.2) == nil)
    #expect(difference(1.25, 1, relative: 0.2)?.contains("final") == true)  // of the second
    #expect(difference(1.25, 1, relative: 0.25) == nil)
    #expect(
      difference(1, 1.25, absolute: 0.25) == nil && difference(1, 1.25, absolute: 0.24) != nil)
    #expect(difference(.nan, .nan) == nil && difference(.nan, 1, absolute: 10) != nil)
    #expect(difference(.infinity, .infinity) == nil)
    #expect(difference(.infinity, 1, absolute: 1, relative: 1) != nil)
    #expect(difference(0, -0.0) == nil)
    let (one, two) = (
      Record(dataSets: [.init("n", .int64([1]))]), Record(dataSets: [.init("n", .int64([2]))])
    )
    #expect(one.firstDifference(from: two, within: .init(absolute: 5)) != nil)
  }

  /// No text is a reason to lose a finished record: HDF5 cannot hold a NUL, and its symbol stands for it.
  @Test func aNULIsWrittenAsItsSymbol() throws {
    let path = scratch.file("a.h5")
    let record = Record(
      attributes: ["text": "a\u{0}b"], dataSets: [.init("x", .string(["\u{0}"]), longName: "\u{0}")]
    )
    try record.write(to: path)
    let read = try Record.read(from: path)
    #expect(try read.string(attribute: "text") == "a␀b" && read.strings("x") == ["␀"])
  }

  @Test func recordsThatCannotBeWritten() throws {
    let path = scratch.file("a.h5")
    let record = Record(dataSets: [
      .init("step", .int64([1, 2])), .init("x", .double([1]), dimensions: ["step"]),
    ])
    expectError("attach step to x", "[2]", "[1]", at: path) { try record.write(to: path) }
    #expect(scratch.names.isEmpty)
    expectError("cannot", at: "/proc/none/a.h5".replacing("/a.h5", with: "")) {
      try sampleRecord().write(to: "/proc/none/a.h5")
    }
  }

  // MARK: - Concurrency

  @Test func manyTasksAtOnce() async throws {
    let folder = scratch.path
    let differences = await withTaskGroup(of: String?.self) { group in
      for number in 0..<24 {
        group.addTask {
          do {
            var record = sampleRecord()
            record.attributes["seed"] = .int(number)
            let path = "\(folder)/\(number % 8).h5"
            try record.write(to: path)
            let back = try Record.read(from: path)
            guard case .int(let seed)? = back.attributes["seed"], seed % 8 == number % 8 else {
              return "another file's record"
            }
            record.attributes["seed"] = .int(seed)
            return record.firstDifference(from: back)
          } catch {
            return "\(error)"
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(differences.compactMap { $0 } == [])
  }
}
