// SPDX-License-Identifier: Apache-2.0

import Lab
import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage

/// What a run of `BadTokenSpectra` leaves, and the way back from it.
struct SpectraRecord {
  private let config: BadTokenSpectra.Config
  private let definition: TokenDefinition
  private let model: TrainedModel
  private let names: [String]

  init(
    _ config: BadTokenSpectra.Config, _ definition: TokenDefinition, _ model: TrainedModel,
    _ names: [String]
  ) {
    (self.config, self.definition, self.model, self.names) = (config, definition, model, names)
  }

  /// The record of the results of all mini-batches, of the size `sizes` says.
  func record(
    _ results: [ReplacementSweep.Result], sizes: [Int], batches: [TokenSample],
    thresholds: [LayerThresholds]
  ) -> Record {
    let finite = batches.map(\.badProbability).filter(\.isFinite)
    var record = Record(attributes: [
      "title": .string(definition.title(config)),
      "model_title": .string(model.title(config.model)),
      "data_is_stand_in": .int(model.data.isStandIn ? 1 : 0),
      "parameters": .int(model.gpt.parameterCount),
      "mean_good_probability": .double(Statistics.mean(batches.map(\.goodProbability))),
      "mean_bad_probability": .double(finite.isEmpty ? .nan : Statistics.mean(finite)),
    ])
    let cells = config.batchSizes.flatMap { size in (0...size).map { (size: size, count: $0) } }
    func whole(_ name: String, _ values: [Int], _ longName: String, _ dimensions: [String]) {
      record.add(
        .init(
          name, .int64(values.map { Int64($0) }), longName: longName, units: "1",
          dimensions: dimensions))
    }
    whole("batch_size", cells.map(\.size), "samples of a mini-batch, B", ["cell"])
    whole("bad_count", cells.map(\.count), "bad samples among them, b", ["cell"])
    record.add(.init("layer", .string(names), longName: "matrix parameter"))

    /// [cell, batch, layer, width] out of the mini-batches' [b, layer, width].
    func gather(_ values: (ReplacementSweep.Result) -> [Float], width: Int) -> [Float] {
      let row = names.count * width
      return cells.flatMap { cell in
        sizes.indices.filter { sizes[$0] == cell.size }.flatMap { piece in
          values(results[piece])[(cell.count * row)..<((cell.count + 1) * row)]
        }
      }
    }
    func add(
      _ name: String, _ values: (ReplacementSweep.Result) -> [Float], _ longName: String,
      width: Int? = nil
    ) {
      record.add(
        .init(
          name, .float(gather(values, width: width ?? 1)),
          shape: [cells.count, config.batches, names.count] + (width.map { [$0] } ?? []),
          longName: longName, units: "1",
          dimensions: ["cell", "batch", "layer"] + (width == nil ? [] : ["rank"])))
    }
    add(
      "sigma", \.sigma, "largest singular values of the gradient, 0 behind its numerical rank",
      width: config.top)
    add("sigma_median", \.median, "median singular value within the numerical rank")
    add("norm", \.norm, "Frobenius norm of the gradient")
    add("effective_rank", \.effectiveRank, "exp of the entropy of the squared singular values")
    add("bad_fraction", \.badShare, "share of the largest singular value that bad samples make")
    add("left_alignment", \.leftAlignment, "cosine between u_1 and G_bad v_1")
    add("right_alignment", \.rightAlignment, "cosine between v_1 and G_bad' u_1")
    addDetails(to: &record, zip(sizes, results).filter { $0.0 == config.detailBatchSize }.map(\.1))
    for (name, values) in [
      ("norm", thresholds.map(\.norm)), ("spectral", thresholds.map(\.spectral)),
      ("quantile", thresholds.map(\.quantile)),
    ] {
      record.add(
        .init(
          "threshold_\(name)", .double(values),
          longName: "threshold of the rule '\(name)' from mini-batches of good tokens", units: "1",
          dimensions: ["layer"]))
    }
    return record
  }

  /// Whole spectra (geometric means over the mini-batches) and what the rules remove.
  private func addDetails(to record: inout Record, _ results: [ReplacementSweep.Result]) {
    let counts = ReplacementSweep.spectrumCounts(config.detailBatchSize)
    let width = results[0].spectra.count / (counts.count * names.count)
    let mean = results[0].spectra.indices.map { i in
      Float(geometricMean(results.map { Double($0.spectra[i]) }))
    }
    record.add(
      .init(
        "spectrum_count", .int64(counts.map { Int64($0) }),
        longName: "bad samples b of the whole spectra, B = \(config.detailBatchSize)", units: "1"))
    record.add(
      .init(
        "spectrum", .float(mean), shape: [counts.count, names.count, width],
        longName: "singular values, geometric mean over the mini-batches (0 if one is)", units: "1",
        dimensions: ["spectrum_count", "layer", "index"]))
    record.add(
      .init(
        "rule", .string(LayerThresholds.Rule.allCases.map(\.rawValue)), longName: "clipping rule"))
    let row = names.count * LayerThresholds.Rule.allCases.count
    for (name, values, what) in [
      ("removed_bad", results.map(\.removedBad), "of the bad samples' gradient"),
      ("removed_rest", results.map(\.removedRest), "of the other samples' gradient"),
    ] {
      let all = (0..<config.detailBatchSize).flatMap { b in
        values.flatMap { $0[(b * row)..<((b + 1) * row)] }
      }
      record.add(
        .init(
          name, .float(all),
          shape: [
            config.detailBatchSize, config.batches, names.count,
            LayerThresholds.Rule.allCases.count,
          ], longName: "share of the squared norm \(what) that the rule removes", units: "1",
          dimensions: ["bad_count_from_1", "batch", "layer", "rule"]))
    }
  }
}

/// 0 if one of the values is.
private func geometricMean(_ values: [Double]) -> Double {
  exp(Statistics.mean(values.map { log($0) }))
}

/// The measurements of one definition of tokens over all seeds, by mini-batch size, b and matrix.
struct SpectraView {
  let method: String
  let title: String
  let layers: [String]
  let batchSizes: [Int]
  let detailBatchSize: Int
  /// Mini-batches of a cell, all seeds together.
  let batches: Int
  /// The singular values recorded of each matrix.
  let top: Int
  private let records: [Record]
  private let cells: [(size: Int, count: Int)]
  private typealias Numbers = (values: [Double], shape: [Int])
  /// The numbers of each record, converted once.
  private let numbers: [[String: Numbers]]

  init(_ method: String, of set: RecordSet) throws {
    self.method = method
    records = try set.records(of: method)
    title = try records[0].string(attribute: "title")
    layers = try records[0].strings("layer")
    let (sizes, counts) = (try records[0].ints("batch_size"), try records[0].ints("bad_count"))
    cells = zip(sizes, counts).map { (size: $0, count: $1) }
    batchSizes = cells.filter { $0.count == 0 }.map(\.size)
    top = try records[0].doubles("sigma", axes: 4).shape[3]
    detailBatchSize = try records[0].doubles("removed_bad", axes: 4).shape[0]
    numbers = try records.map(Self.numbers)
    batches = numbers.reduce(0) { $0 + ($1["sigma"]?.shape[1] ?? 0) }
    // Whole rows of cells, b = 0 to B, for each B once, and the same in every record.
    let rows =
      Set(batchSizes).count == batchSizes.count && batchSizes.contains(detailBatchSize)
      && batchSizes.allSatisfy { (1...sizes.count).contains($0) }
      && Set(cells.map { [$0.size, $0.count] })
        == Set(batchSizes.flatMap { size in (0...size).map { [size, $0] } })
      && cells.count == batchSizes.reduce(0) { $0 + $1 + 1 }
    for (record, numbers) in zip(records, numbers) {
      let same =
        try record.ints("batch_size") == sizes && record.ints("bad_count") == counts
        && record.strings("layer") == layers
      guard same, rows, counts.count == sizes.count, !layers.isEmpty, top > 0,
        Self.fit(
          numbers, cells: cells.count, detail: detailBatchSize, layers: layers.count, top: top)
      else {
        throw StorageError(
          "its cells are not those of mini-batches with 0 to all samples replaced, or not those of the other records",
          at: record.source ?? "a record", hint: "compute the records anew")
      }
    }
  }

  private static func numbers(_ record: Record) throws -> [String: Numbers] {
    var numbers: [String: Numbers] = [:]
    for name in [
      "sigma_median", "norm", "effective_rank", "bad_fraction", "left_alignment", "right_alignment",
    ] { numbers[name] = try record.doubles(name, axes: 3) }
    for name in ["sigma", "removed_bad", "removed_rest"] {
      numbers[name] = try record.doubles(name, axes: 4)
    }
    numbers["spectrum"] = try record.doubles("spectrum", axes: 3)
    let counts = try record.ints("spectrum_count")
    numbers["spectrum_count"] = (counts.map(Double.init), [counts.count])
    return numbers
  }

  /// Whether all have the shapes that one sweep gives them.
  private static func fit(
    _ numbers: [String: Numbers], cells: Int, detail: Int, layers: Int, top: Int
  ) -> Bool {
    let batches = numbers["sigma"]?.shape[1] ?? 0
    let counts = numbers["spectrum_count"]?.values ?? []
    let width = numbers["spectrum"]?.shape[2] ?? 0
    guard batches > 0, width > 0, !counts.isEmpty, Set(counts).count == counts.count else {
      return false
    }
    return numbers.allSatisfy { name, numbers in
      let shape =
        switch name {
        case "sigma": [cells, batches, layers, top]
        case "removed_bad", "removed_rest":
          [detail, batches, layers, LayerThresholds.Rule.allCases.count]
        case "spectrum": [counts.count, layers, width]
        case "spectrum_count": [counts.count]
        default: [cells, batches, layers]
        }
      return numbers.shape == shape
    }
  }

  /// Every definition of a set, in its order.
  static func all(of set: RecordSet) throws -> [SpectraView] {
    try set.methods.map { try SpectraView($0, of: set) }
  }

  /// A quantity of a cell and matrix: one row a mini-batch, with `sigma`'s width or 1.
  func values(_ name: String, size: Int, count: Int, layer: Int) -> [[Double]] {
    guard let cell = cells.firstIndex(where: { $0 == (size, count) }) else { return [] }
    return numbers.flatMap { numbers -> [[Double]] in
      guard let (all, shape) = numbers[name] else { return [] }
      let width = shape.count == 4 ? shape[3] : 1
      return (0..<shape[1]).map { batch in
        let start = ((cell * shape[1] + batch) * shape[2] + layer) * width
        return Array(all[start..<(start + width)])
      }
    }
  }

  /// The largest singular value, or another quantity, one number a mini-batch.
  func column(_ name: String, size: Int, count: Int, layer: Int) -> [Double] {
    values(name, size: size, count: count, layer: layer).map { $0[0] }
  }

  /// What a rule removes along the bad samples' gradient and of the rest, one pair a mini-batch.
  func removed(rule: Int, count: Int, layer: Int) -> [(bad: Double, rest: Double)] {
    numbers.flatMap { numbers -> [(Double, Double)] in
      guard let (bad, shape) = numbers["removed_bad"], let rest = numbers["removed_rest"]?.values
      else { return [] }
      return (0..<shape[1]).map { batch in
        let i = (((count - 1) * shape[1] + batch) * shape[2] + layer) * shape[3] + rule
        return (bad[i], rest[i])
      }
    }
  }

  /// The whole spectra: (b, singular values), geometric means over the seeds.
  func spectra(layer: Int) throws -> [(count: Int, sigma: [Double])] {
    let counts = try records[0].ints("spectrum_count")
    let all = numbers.compactMap { $0["spectrum"] }
    let shape = all[0].shape
    return counts.enumerated().map { row, count in
      let start = (row * shape[1] + layer) * shape[2]
      return (
        count,
        (start..<(start + shape[2])).map { i in
          geometricMean(all.map { $0.values[i] })
        }
      )
    }
  }
}
