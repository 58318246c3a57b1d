// SPDX-License-Identifier: Apache-2.0

import Foundation
import Lab
import LinearAlgebra
import Storage
import Theory

/// The theory figure: its table and the numbers of its caption.
extension TheoryBounds {
  /// Theorem 3.3 over τ, Theorem 3.4 over K (a block an α), slopes, bias over τ (a block an α), iteration counts
  /// (a block a function), per-sample clipping (a block a moment).
  package static func table(of set: RecordSet) throws -> Table {
    var table = Table()
    let first = try record(set, "theorem33")
    let (names, taus) = (try first.strings("problem"), try first.doubles("tau"))
    let orders = try first.doubles("alpha")
    let steps33 = try first.ints("steps")
    let (optimisation, noise) = (try runs(first, "optimisation"), try runs(first, "noise"))
    let (measured, biases) = (try runs(first, "squared_norm"), try runs(first, "squared_bias"))
    let alphas33 = try alphas(first)
    for alpha in alphas33 {
      let cases = names.indices.filter {
        names[$0] == names[0] && orders[$0] == alpha && taus[$0].isFinite
          && steps33[$0] == steps33.max()
      }
      var block = Table.Block("theorem33:\(alpha)")
      block.add("tau", cases.map { taus[$0] })
      block.add("measured", cases.map { Statistics.mean(measured[$0]) })
      block.add("optimization", cases.map { optimisation[$0][0] })
      block.add("noise", cases.map { noise[$0][0] })
      block.add("bias", cases.map { Statistics.mean(biases[$0]) })
      block.add(
        "bound",
        cases.map { optimisation[$0][0] + noise[$0][0] + Statistics.mean(biases[$0]) })
      table.add(block)
    }
    let second = try record(set, "theorem34")
    let steps = try second.ints("steps")
    let (own, bounds) = (try second.doubles("alpha"), try second.doubles("bound"))
    let names34 = try second.strings("problem")
    let potentials = try rules.map { try runs(second, "potential_\($0)") }
    for alpha in try alphas(second) {
      let cases = own.indices.filter { own[$0] == alpha && names34[$0] == "quadratic" }
      var block = Table.Block("theorem34:\(alpha)")
      block.add("steps", cases.map { Double(steps[$0]) })
      block.add("bound", cases.map { bounds[$0] })
      for (rule, potential) in zip(rules, potentials) {
        block.add(rule, cases.map { Statistics.mean(potential[$0]) })
      }
      table.add(block)
    }
    var slopes = Table.Block("slopes")
    let all = try alphas(second)
    let intervals = try all.map { try slope(second, alpha: $0) }
    slopes.add("alpha", all)
    slopes.add("slope", intervals.map { $0?.estimate ?? .nan })
    slopes.add("low", intervals.map { $0?.lower ?? .nan })
    slopes.add("high", intervals.map { $0?.upper ?? .nan })
    table.add(slopes)
    var rate = Table.Block("rate")
    let fine = (0...60).map { 1.05 + Double($0) / 60 }
    rate.add("alpha", fine)
    rate.add("rate", fine.map { Theorem34.rate(alpha: $0) })
    table.add(rate)

    let third = try record(set, "bias")
    let (biasAlphas, tau) = (try third.doubles("alpha"), try third.doubles("tau"))
    let (bias, bound) = (try third.doubles("bias"), try third.doubles("bound"))
    for alpha in try alphas(third) {
      let cases = tau.indices.filter { biasAlphas[$0] == alpha }
      var block = Table.Block("bias:\(alpha)")
      block.add("tau", cases.map { tau[$0] })
      // Zero has no place on a logarithmic axis.
      block.add("bias", cases.map { bias[$0] > 0 ? bias[$0] : .nan })
      block.add("bound", cases.map { bound[$0] })
      table.add(block)
    }

    let fourth = try record(set, "acceleration")
    let functions = try fourth.strings("function")
    for function in ["x^4", "cosh"] {
      let cases = functions.indices.filter { functions[$0] == function }
      var block = Table.Block("iterations:\(function)")
      for name in [
        "start", "clipped", "normalised", "fixed", "clipped_bound", "fixed_bound",
        "minimax_lower_bound",
      ] {
        let values = try (try? fourth.doubles(name)) ?? fourth.ints(name).map(Double.init)
        block.add(name, cases.map { values[$0] })
      }
      table.add(block)
    }
    let (moments, samples) = (try fourth.doubles("moment"), try fourth.ints("samples"))
    let (errors, shape) = try fourth.doubles("per_sample_error", axes: 2)
    let (limits, bounded) = try fourth.doubles("per_sample_bound", axes: 2)
    guard Set(moments).count == moments.count, moments.allSatisfy(\.isFinite),
      shape == [moments.count, samples.count], bounded == shape
    else {
      throw StorageError(
        "a moment stands there twice or is not finite, or its errors are not those of its moments and samples",
        at: fourth.source ?? "a record", hint: "compute the record anew")
    }
    for (row, moment) in moments.enumerated() {
      let cases = samples.indices.map { row * samples.count + $0 }
      var block = Table.Block("samples:\(moment)")
      block.add("samples", samples.map(Double.init))
      block.add("error", cases.map { errors[$0] })
      block.add("bound", cases.map { limits[$0] })
      table.add(block)
    }
    // Three of five orders are drawn in panels that hold two lines each.
    func shown(_ values: [Double]) -> [Double] {
      values.count <= 3 ? values : [values[0], values[values.count / 2], values[values.count - 1]]
    }
    table.set("theorem33_alpha", .text("\(alphas33[0])"))
    table.set("alpha34", .texts(shown(all).map { "\($0)" }))
    table.set("alpha_bias", .texts(shown(try alphas(third)).map { "\($0)" }))
    table.set("moment", .texts(shown(moments).map { "\($0)" }))
    return table
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let (first, second) = (try record(set, "theorem33"), try record(set, "theorem34"))
    let slopes = try alphas(second).map { alpha in
      guard let slope = try slope(second, alpha: alpha) else {
        return "α = \(alpha): K out of reach"
      }
      return String(
        format: "α = %g: %.2f [%.2f, %.2f] (bound %.2f)", alpha, slope.estimate, slope.lower,
        slope.upper, Theorem34.rate(alpha: alpha))
    }
    var instances = 0
    for method in ["inequalities", "adversarial"] {
      instances += try record(set, method).int(attribute: "instances_total")
    }
    return [
      ("slopes", slopes.joined(separator: "; ")), ("instances", "\(instances)"),
      ("runs", "\(try runs(second, "potential_spectral").first?.count ?? 0)"),
      ("steps33", "\(try first.int(attribute: "steps"))"),
      ("problem", try first.strings("problem").first ?? "no problem"),
    ]
  }
}
