// SPDX-License-Identifier: Apache-2.0

import Foundation
import Lab
import LinearAlgebra
import Storage

/// Figs 1 and 7: their table and the numbers of their captions.
extension BadTokenSpectra {
  /// "block 2 mlp.c_fc" for transformer.h.2.mlp.c_fc.weight.
  static func shortName(_ layer: String) -> String {
    let parts = layer.split(separator: ".").filter { $0 != "transformer" && $0 != "weight" }
    guard parts.count > 2, parts[0] == "h" else { return parts.joined(separator: ".") }
    return "block \(parts[1]) " + parts.dropFirst(2).joined(separator: ".")
  }

  /// The matrices of Fig 7: one of each kind, from the first block to the last.
  static func oneOfEachKind(_ layers: [String]) -> [Int] {
    func kind(_ layer: String) -> String {
      shortName(layer).split(separator: " ").last.map(String.init) ?? layer
    }
    var kinds: [String] = []
    for layer in layers where !kinds.contains(kind(layer)) { kinds.append(kind(layer)) }
    return kinds.enumerated().map { place, name in
      let own = layers.indices.filter { kind(layers[$0]) == name }
      let last = max(1, kinds.count - 1)
      return own[((own.count - 1) * place + last / 2) / last]
    }
  }

  /// Blocks "boxes:l:B", for matrix l (from 1) and mini-batches of B: by number of bad tokens, quantiles of the top singular
  /// values together, medians of the largest and of the last of them; "spectrum:l", whole spectra, a column a number of
  /// bad tokens; "definition:m", what becomes of σ_1 and of the effective rank; "removed", what the rules remove at b = 1.
  package static func table(of set: RecordSet) throws -> Table {
    var table = Table()
    let views = try SpectraView.all(of: set)
    guard let first = views.first else { return table }
    for layer in first.layers.indices {
      for size in first.batchSizes {
        let tops = (0...size).map {
          first.values("sigma", size: size, count: $0, layer: layer)
        }
        var block = Table.Block("boxes:\(layer + 1):\(size)")
        block.add("bad", tops.indices.map(Double.init))
        let together = tops.map { rows in rows.flatMap { $0 }.filter { $0 > 0 }.sorted() }
        for percent in [5, 25, 50, 75, 95] {
          block.add(
            "q\(percent)",
            together.map {
              $0.isEmpty
                ? .nan : Statistics.quantile(sorted: $0, Double(percent) / 100, .interpolated)
            })
        }
        block.add("largest", tops.map { rows in Statistics.median(rows.map { $0[0] }) })
        block.add(
          "last", tops.map { rows in Statistics.median(rows.map { $0.last { $0 > 0 } ?? 0 }) })
        table.add(block)
      }
    }
    var counts: [Int] = []
    for layer in first.layers.indices {
      let spectra = try first.spectra(layer: layer)
      counts = spectra.map(\.count)
      var block = Table.Block("spectrum:\(layer + 1)")
      block.add("index", spectra[0].sigma.indices.map { Double($0 + 1) })
      for spectrum in spectra {
        // Behind a LayerNorm one direction has no gradient: the last value is rounding, far below the one before.
        var sigma = spectrum.sigma
        if let last = sigma.last, sigma.count > 1, last < 0.2 * sigma[sigma.count - 2] {
          sigma[sigma.count - 1] = .nan
        }
        block.add("b\(spectrum.count)", sigma)
      }
      table.add(block)
    }
    for (place, view) in views.enumerated() {
      var block = Table.Block("definition:\(place + 1)")
      let bad = Array(0...view.detailBatchSize)
      block.add("bad", bad.map(Double.init))
      for name in ["bad_fraction", "left_alignment", "right_alignment", "effective_rank"] {
        block.add(
          name,
          bad.map { count in
            Statistics.median(
              view.layers.indices.map {
                Statistics.median(
                  view.column(name, size: view.detailBatchSize, count: count, layer: $0))
              })
          })
      }
      table.add(block)
    }
    var removed = Table.Block("removed")
    removed.add("layer", first.layers.indices.map { Double($0 + 1) })
    for (index, rule) in LayerThresholds.Rule.allCases.enumerated() {
      let shares = first.layers.indices.map {
        first.removed(rule: index, count: 1, layer: $0)
      }
      removed.add("\(rule.rawValue).bad", shares.map { Statistics.median($0.map(\.bad)) })
      removed.add("\(rule.rawValue).rest", shares.map { Statistics.median($0.map(\.rest)) })
    }
    table.add(removed)
    let middles = first.layers.indices.filter { first.layers[$0].contains("mlp.c_fc") }
    table.set("shown", .number(Double(1 + (middles.isEmpty ? 0 : middles[middles.count / 2]))))
    table.set("layer", .texts(first.layers.map(shortName)))
    table.set("kind", .numbers(oneOfEachKind(first.layers).map { Double($0 + 1) }))
    table.set("size", .numbers(first.batchSizes.map(Double.init)))
    table.set("count", .numbers(counts.map(Double.init)))
    table.set("detail", .number(Double(first.detailBatchSize)))
    table.set("model", .text(try set.records[0].string(attribute: "model_title")))
    table.set(
      "definition",
      .texts(views.map { $0.title.components(separatedBy: "bad: ").last ?? $0.title }))
    return table
  }

  /// The numbers of the captions.
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let views = try SpectraView.all(of: set)
    let view = views[0]
    let trends = Trends(view: view)
    func middle(_ entries: [Trends.Entry]) -> Double {
      Statistics.median(entries.map(\.interval.estimate))
    }
    let one = trends.growth("sigma", from: { _ in 0 }, to: { _ in 1 })
    let bulk = trends.growth("sigma_median", from: { _ in 0 }, to: { _ in 1 })
    let records = try set.records(of: view.method)
    func mean(_ name: String) throws -> String {
      short(Statistics.mean(try records.map { try $0.double(attribute: name) }))
    }
    return [
      ("data", escaped(try records[0].string(attribute: "data"))),
      ("model", try records[0].string(attribute: "model_title")), ("definition", view.title),
      ("definitions", views.map(\.title).joined(separator: "; ")),
      ("batches", "\(view.batches)"), ("detail", "\(view.detailBatchSize)"),
      ("top", "\(view.top)"),
      ("good", try mean("mean_good_probability")), ("bad", try mean("mean_bad_probability")),
      ("matrices", "\(view.layers.count)"),
      ("growth", short(exp(middle(one)))), ("bulk", short(exp(middle(bulk)))),
    ]
  }
}
