// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// Sets of records check themselves when they are read.
@Suite struct RecordSetTests {
  private static let root = Paths().root ?? "."

  /// A record whose data sets do not fit its axes is refused when it is read, whoever would have read beyond the end.
  @Test func raggedRecordsAreRefused() throws {
    func record(_ losses: Int, _ layers: Int = 2, _ more: Int = 3) -> Record {
      var record = Record(attributes: [
        "method": .string("a"), "seed": .int(1), "config": .string("methods: [a]"),
      ])
      record.add(.init("step", .int64([1, 2, 3]), longName: "steps", units: "1"))
      record.add(
        .init(
          "loss", .double(Array(repeating: 0, count: losses)), longName: "loss", units: "1",
          dimensions: ["step"]))
      record.add(
        .init(
          "tau", .double(Array(repeating: 0, count: 3 * layers)), shape: [3, layers],
          longName: "tau", units: "1", dimensions: ["step", "layer"]))
      record.add(
        .init(
          "sigma", .double(Array(repeating: 0, count: more * 2)), shape: [more, 2],
          longName: "sigma", units: "1", dimensions: ["step", "layer"]))
      return record
    }
    _ = try RecordSet(folder: "x", records: [record(3)])
    for (wrong, place) in [
      (record(2), "loss has 2 values along step, which has 3"), (record(0), "loss has 0"),
      (record(4), "loss has 4"), (record(3, 1), "sigma has 2 values along layer"),
      (record(3, 2, 2), "sigma has 2 values along step"),
    ] {
      let error = #expect(throws: StorageError.self) {
        try RecordSet(folder: "x", records: [wrong])
      }
      #expect("\(error.map(String.init(describing:)) ?? "")".contains(place), "\(place)")
    }
  }

  /// Arms that were computed later, with settings of their own, come in the order of those settings.
  @Test func methodsComeInTheOrderOfEverySetting() throws {
    func record(_ method: String, _ all: String) -> Record {
      Record(attributes: [
        "method": .string(method), "seed": .int(1), "config": .string("methods: [\(all)]"),
      ])
    }
    let set = try RecordSet(
      folder: "x",
      records: [
        record("c", "c, a"), record("a", "c, a"), record("rank10", "rank5, rank10"),
        record("rank5", "rank5, rank10"),
      ])
    #expect(set.methods == ["c", "a", "rank5", "rank10"])
  }

  /// A folder of results reads a profile once, and says whether there is none or nothing in it.
  @Test func aFolderOfResultsIsReadOnce() throws {
    let scratch = Scratch()
    let results = ResultsFolder(scratch.path)
    let place = "\(scratch.path)/x/full/a-seed1.h5"
    var record = Record(attributes: ["method": .string("a"), "seed": .int(1)])
    record.attributes["config"] = .string("methods: [a]")
    #expect(try results.records(of: "x", "full")?.methods == nil)
    try record.write(to: place)
    #expect(try results.records(of: "x", "full")?.methods == ["a"])
    try FileManager.default.removeItem(atPath: place)
    #expect(try results.records(of: "x", "full")?.methods == ["a"])
    #expect(throws: StorageError.self) {
      try ResultsFolder(scratch.path).records(of: "x", "full")
    }
  }

  /// Columns that are read side by side are columns, whatever their axes are called.
  @Test func otherNumbersOfAxesAreRefused() throws {
    var record = Record()
    for (name, shape) in [("a", [3]), ("b", [3, 0]), ("c", [3, 2]), ("d", []), ("e", [2])] {
      let count = shape.reduce(1, *)
      record.add(.init(name, .double(Array(repeating: 1, count: count)), shape: shape))
    }
    #expect(try record.doubles("a") == [1, 1, 1])
    let (values, shape) = try record.doubles("c", axes: 2)
    #expect(values == [1, 1, 1, 1, 1, 1] && shape == [3, 2])
    for (name, shape) in [("b", "[3, 0]"), ("c", "[3, 2]"), ("d", "[]")] {
      let error = #expect(throws: StorageError.self) { try record.doubles(name) }
      #expect(error?.what == "the data set \(name) has the shape \(shape), not one axis")
    }
    #expect(throws: StorageError.self) { try record.doubles("a", axes: 2) }
    try record.checkLengths(of: ["a", "b", "c"])
    for other in ["d", "e"] {
      #expect(throws: StorageError.self) { try record.checkLengths(of: ["a", other]) }
    }
  }

  /// A file's data sets say what they lie along, or all have one length.
  @Test func columnsWithoutAnAxisAreRefused() throws {
    func read(_ losses: Int, _ isLabelled: Bool, more: Bool = false, step: Int64 = 3) throws {
      let scratch = Scratch()
      var record = Record(attributes: [
        "method": .string("a"), "seed": .int(1), "config": .string("methods: [a]"),
      ])
      func add(_ name: String, _ count: Int, _ dimensions: [String]) {
        record.add(
          .init(
            name, .double(Array(repeating: 1, count: count)), longName: name, units: "1",
            dimensions: dimensions))
      }
      record.add(.init("step", .int64([1, 2, step]), longName: "steps", units: "1"))
      add("loss", losses, isLabelled ? ["step"] : [])
      if more { add("more", 3, []) }
      try record.write(to: scratch.path + "/a-seed1.h5")
      _ = try RecordSet(folder: scratch.path)
    }
    try read(3, true)
    try read(3, false)
    for (losses, isLabelled, more, words) in [
      (2, false, false, "loss has the shape [2], step [3], and nothing says along what"),
      (3, true, true, "more does not say what it lies along"),
    ] {
      let error = #expect(throws: StorageError.self) { try read(losses, isLabelled, more: more) }
      #expect("\(error.map(String.init(describing:)) ?? "")".contains(words), "\(words)")
    }
    try read(3, true, step: 1 << 53)
    let error = #expect(throws: StorageError.self) { try read(3, true, step: .max) }
    #expect(error?.what == "step holds whole numbers beyond 2^53")
    let other = Scratch()
    for (name, value) in [("instances", Int.max), ("instances", .min), ("seed", .max)] {
      var attributes: Attributes = [
        "method": .string("a"), "seed": .int(1), "config": .string("methods: [a]"),
      ]
      attributes[name] = .int(value)
      try Record(attributes: attributes).write(to: other.path + "/a-seed1.h5")
      if name == "seed" {
        _ = try RecordSet(folder: other.path)
      } else {
        #expect(throws: StorageError.self) { try RecordSet(folder: other.path) }
      }
    }
  }

  @Test func twoRecordsOfOneMethodAndSeedAreRefused() {
    func record(_ method: String, _ seed: Int) -> Record {
      Record(attributes: [
        "method": .string(method), "seed": .int(seed), "config": .string("methods: [a, b]"),
      ])
    }
    #expect(throws: Never.self) {
      try RecordSet(folder: "x", records: [record("a", 1), record("a", 2), record("b", 1)])
    }
    let error = #expect(throws: StorageError.self) {
      try RecordSet(folder: "x", records: [record("a", 1), record("b", 1), record("a", 1)])
    }
    #expect("\(error.map(String.init(describing:)) ?? "")".contains("second record of 'a', seed 1"))
  }

  @Test func aNegativeSeedIsRefused() {
    for seed in [-1, Int.min] {
      let record = Record(attributes: [
        "method": .string("a"), "seed": .int(seed), "config": .string("methods: [a]"),
      ])
      let error = #expect(throws: StorageError.self) {
        try RecordSet(folder: "x", records: [record])
      }
      #expect(error?.what == "has the seed \(seed), and seeds are 0 or more")
    }
  }

  /// The first row of a data set, along an axis that no other has.
  private func shortened(_ set: Record.DataSet) -> Record.DataSet {
    let count = set.shape.dropFirst().reduce(1, *)
    let values: Record.Values =
      switch set.values {
      case .double(let x): .double(Array(x.prefix(count)))
      case .float(let x): .float(Array(x.prefix(count)))
      case .int64(let x): .int64(Array(x.prefix(count)))
      case .int32(let x): .int32(Array(x.prefix(count)))
      case .uint8(let x): .uint8(Array(x.prefix(count)))
      case .string(let x): .string(Array(x.prefix(count)))
      }
    return Record.DataSet(
      set.name, values, shape: [1] + set.shape.dropFirst(), longName: set.longName,
      units: set.units, dimensions: ["own"] + set.dimensions.dropFirst())
  }

  /// A column along an axis of its own, which no other ties to the length of the rest, is an error to whoever reads both, never a trap.
  @Test(arguments: [
    "nanogpt-shakespeare/full", "cifar10-resnet18/quick", "cifar10-truncation/quick",
    "mlp-heatmap/quick", "theory-bounds/full", "bad-token-spectra/gpt2-basic", "smoothness/quick",
  ])
  func aColumnOfAnotherLengthIsAnError(_ folder: String) throws {
    let whole = try RecordSet(folder: "\(Self.root)/results/\(folder)")
    let experiment = try Suite.clipping.experiment(of: whole)
    var refused = 0
    var tried: Set<String> = []
    for method in whole.methods {
      let first = try whole.records(of: method)[0]
      for set in first.root.dataSets
      where !set.dimensions.isEmpty && set.shape[0] > 1 && tried.insert(set.name).inserted {
        var cut = Record(attributes: first.attributes)
        cut.telemetry = first.telemetry
        for other in first.root.dataSets {
          cut.add(other.name == set.name ? shortened(set) : other)
        }
        let records = whole.records.map {
          $0.attributes["method"] == first.attributes["method"]
            && $0.attributes["seed"] == first.attributes["seed"] ? cut : $0
        }
        let changed = try RecordSet(folder: "memory", records: records)
        for read in [
          { _ = try experiment.table(of: changed) },
          { _ = try experiment.captionValues(of: changed) },
          { for claim in experiment.claims { _ = try claim.evaluate(changed) } },
        ] as [() throws -> Void] {
          do { try read() } catch { refused += 1 }
        }
      }
    }
    #expect(refused > 0)
  }

  /// With an axis more, or a moment or an order that is not a number, a record is refused by whoever would have read beyond the end.
  @Test(arguments: [
    "theory-bounds/full", "clip-cost/paper", "nanogpt-search/quick", "smoothness/quick",
  ])
  func aColumnOfOtherAxesIsAnError(_ folder: String) throws {
    func wider(_ set: Record.DataSet, _ extent: Int) -> Record.DataSet? {
      guard case .double(let values) = set.values else { return nil }
      return .init(
        set.name, .double(extent == 0 ? [] : values + values), shape: set.shape + [extent],
        longName: set.longName, units: set.units)
    }
    func undefined(_ set: Record.DataSet) -> Record.DataSet? {
      guard ["alpha", "moment"].contains(set.name), case .double(let values) = set.values else {
        return nil
      }
      return .init(
        set.name, .double(values.map { _ in .nan }), longName: set.longName, units: set.units)
    }
    let whole = try RecordSet(folder: "\(Self.root)/results/\(folder)")
    let experiment = try Suite.clipping.experiment(of: whole)
    var (tried, refused) = (0, 0)
    for record in whole.records.suffix(3) {
      for set in record.root.dataSets {
        for changed in [wider(set, 0), wider(set, 2), undefined(set)].compactMap(\.self) {
          var other = Record(attributes: record.attributes)
          other.telemetry = record.telemetry
          for old in record.root.dataSets { other.add(old.name == set.name ? changed : old) }
          let records = whole.records.map {
            $0.attributes["method"] == record.attributes["method"]
              && $0.attributes["seed"] == record.attributes["seed"] ? other : $0
          }
          tried += 1
          do {
            _ = try experiment.table(of: RecordSet(folder: "memory", records: records))
          } catch { refused += 1 }
        }
      }
    }
    #expect(refused > 0 && tried > 0, "\(refused) of \(tried)")
  }

  /// A series that lost its dimension's name, so that nothing ties it to its axis, and is too short.
  @Test func aSeriesShorterThanItsAxisIsNotDrawn() throws {
    var record = Record(attributes: [
      "method": .string("a"), "seed": .int(1), "title": .string("a"),
      "config": .string("methods: [a]"),
    ])
    record.add(.init("step", .int64([1, 2, 3]), longName: "steps", units: "1"))
    record.add(.init("loss", .double([1, 2]), longName: "loss", units: "1"))
    let set = try RecordSet(folder: "x", records: [record])
    let error = #expect(throws: StorageError.self) {
      try set.curveTable(
        axis: ("step", { try $0.doubles("step") }), series: [CurveSeries("loss", .mean)],
        finals: [], group: { _ in "" })
    }
    #expect(
      "\(error.map(String.init(describing:)) ?? "")".contains("loss has 2 values, its step axis 3"))
  }
}
