// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

// What a search's records say: the picture of every trial, and the rows of its table.

/// An arm's search as its record holds it. Records made before searches had rungs are searches of one rung.
private struct RecordedSearch {
  let record: Record
  let arm: Arm
  let objective: String

  var parameters: [Hyperparameter] { arm.hyperparameters }

  func best(_ parameter: Hyperparameter) throws -> Double {
    try record.double(attribute: "best_\(parameter.name)")
  }

  /// The range as it has grown.
  func range(_ parameter: Hyperparameter) throws -> (low: Double, high: Double) {
    guard record.attributes["low_\(parameter.name)"] != nil else {
      return (parameter.low, parameter.high)
    }
    return (
      try record.double(attribute: "low_\(parameter.name)"),
      try record.double(attribute: "high_\(parameter.name)")
    )
  }

  /// Which best values lie within a tenth of an end of their range.
  func edges() throws -> String {
    if record.attributes["edges"] != nil { return try record.string(attribute: "edges") }
    return try parameters.compactMap { parameter -> String? in
      let place = parameter.fraction(of: try best(parameter))
      guard place.isFinite, min(place, 1 - place) < HyperparameterSearch.edge else { return nil }
      return "\(parameter.name) at its \(place < 0.5 ? "lower" : "upper") end"
    }.joined(separator: ", ")
  }

  /// The part of the longest trial's length that each trial was trained for, NaN in the confirmation.
  func lengths() throws -> [Double] {
    guard record["steps"] != nil else {
      return try record.ints("trial").map { _ in 1 }
    }
    let steps = try record.ints("steps")
    let rounds = try record.ints("round")
    let longest = steps.max() ?? 1
    return zip(steps, rounds).map { $1 < 0 ? .nan : Double($0) / Double(longest) }
  }

  /// The geometric means of the finalists on the fresh seeds, the winner's first.
  func confirmed() throws -> [Double] {
    guard record["round"] != nil else { return [] }
    let winner = try record.int(attribute: "best_candidate")
    let (rounds, candidates) = (try record.ints("round"), try record.ints("candidate"))
    let losses = try record.doubles(objective)
    let rows = rounds.indices.filter { rounds[$0] < 0 }
    let finalists = Set(rows.map { candidates[$0] })
    let means = finalists.map { finalist in
      (
        finalist,
        RunStatistics.geometricMean(
          rows.filter { candidates[$0] == finalist }.map { losses[$0] }, limit: .infinity
        ).mean
      )
    }
    return means.sorted { ($0.0 == winner ? 0 : 1, $0.1) < ($1.0 == winner ? 0 : 1, $1.1) }
      .map(\.1)
  }

  /// What there is to say of the winner.
  func remarks() throws -> String {
    var remarks: [String] = []
    let edges = try edges()
    if !edges.isEmpty { remarks.append(edges) }
    if record.attributes["tied_candidate"] != nil,
      try record.int(attribute: "tied_candidate") >= 0
    {
      remarks.append("tied with another; the one with the lower worst loss")
    }
    if record.attributes["better_inert_steps"] != nil {
      let steps = try record.int(attribute: "better_inert_steps")
      let loss = try record.double(attribute: "better_inert_loss")
      if steps >= 0 {
        remarks.append(
          "the rule never acts where it is best after \(steps) steps (\(threeDigits(loss)))")
      }
    }
    return remarks.joined(separator: "; ")
  }
}

extension SearchExperiment {
  private static func recorded(_ set: RecordSet) throws -> [RecordedSearch] {
    try set.methods.map { name in
      let search = RecordedSearch(
        record: try set.records(of: name)[0], arm: try arms.named(name, place: set.folder),
        objective: objective)
      let columns = ["trial", objective] + search.parameters.map(\.name)
      try search.record.checkLengths(
        of: columns + ["steps", "round", "candidate"].filter { search.record[$0] != nil })
      return search
    }
  }

  /// A block a method: hyper-parameters, loss and length of every trial but the confirmation's (`length` as a part of the
  /// full one); a trial that diverged has the loss NaN. Arrays `arm`, `arm_title`, `arm_best`, `arm_rate`, `arm_low` and
  /// `arm_high` (the range of rates as it has grown), `arm_first` and `arm_last` (as the arm states it), `arm_edge`.
  package static func table(of set: RecordSet) throws -> Table {
    var table = Table()
    let searches = try recorded(set)
    for search in searches {
      var block = Table.Block(search.arm.name)
      let lengths = try search.lengths()
      let trials = lengths.indices.filter { !lengths[$0].isNaN }
      for parameter in search.parameters {
        let values = try search.record.doubles(parameter.name)
        block.add(parameter.name, trials.map { values[$0] })
      }
      let losses = try search.record.doubles(objective)
      block.add("loss", trials.map { losses[$0] })
      block.add("length", trials.map { lengths[$0] })
      table.add(block)
    }
    func setNumbers(_ name: String, _ value: (RecordedSearch) throws -> Double) rethrows {
      table.set(name, .numbers(try searches.map(value)))
    }
    table.set("arm", .texts(searches.map { Table.word($0.arm.name) }))
    table.set("arm_title", .texts(try searches.map { try $0.record.string(attribute: "title") }))
    try setNumbers("arm_best") { try $0.record.double(attribute: "best_loss") }
    try setNumbers("arm_rate") { try $0.best($0.parameters[0]) }
    try setNumbers("arm_low") { try $0.range($0.parameters[0]).low }
    try setNumbers("arm_high") { try $0.range($0.parameters[0]).high }
    setNumbers("arm_first") { $0.parameters[0].low }
    setNumbers("arm_last") { $0.parameters[0].high }
    table.set("arm_edge", .texts(try searches.map { try $0.edges() }))
    table.set("objective", .text(objectiveTitle))
    return table
  }

  /// Of each arm its title, the range of the step size, the winner and its loss, how many trials of its length came within 10 %
  /// of it, at which step sizes, and what of it lies at an edge.
  static func neighborhoods(of set: RecordSet) throws -> [[String]] {
    func short(_ value: Double) -> String { significant(value, 3) }
    return try recorded(set).map { search in
      let rate = search.parameters[0]
      let (losses, lengths) = (try search.record.doubles(objective), try search.lengths())
      let longest = lengths.filter(\.isFinite).max() ?? 0
      let full = losses.indices.filter { lengths[$0] == longest && losses[$0].isFinite }
      let best = try search.record.double(attribute: "best_loss")
      let rates = try search.record.doubles(rate.name)
      let near = full.filter { losses[$0] <= best + 0.1 * abs(best) }.map { rates[$0] }
      let range = try search.range(rate)
      return [
        try search.record.string(attribute: "title"), "\(short(range.low)) to \(short(range.high))",
        short(try search.best(rate)), short(best), "\(near.count) of \(full.count)",
        near.min().map { "\(short($0)) to \(short(near.max() ?? $0))" } ?? "", try search.edges(),
      ]
    }
  }

  /// The rows of the table in its caption, and how many trials and methods there are.
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    let searches = try recorded(set)
    var rows =
      "| method | hyper-parameters | loss | fresh seeds | diverged | remarks | source |\n|---|---|---|---|---|---|---|\n"
    for search in searches {
      let values = try search.parameters.map { parameter in
        let range = try search.range(parameter)
        let hasGrown = range.low < parameter.low * 0.999 || range.high > parameter.high * 1.001
        return "\(parameter.name) \(short(try search.best(parameter))) in "
          + "[\(parameter.low), \(parameter.high)]\(parameter.isLogarithmic ? " (log)" : "")"
          + (hasGrown ? ", grown to [\(short(range.low)), \(short(range.high))]" : "")
      }
      rows +=
        "| \(escaped(try search.record.string(attribute: "title"))) | \(values.joined(separator: ", ")) | "
        + "\(threeDigits(try search.record.double(attribute: "best_loss"))) | "
        + "\(try search.confirmed().map(threeDigits).joined(separator: ", ")) | "
        + "\(try search.record.int(attribute: "diverged_trials")) | "
        + "\(escaped(try search.remarks())) | "
        + "\(escaped(try search.record.string(attribute: "source"))) |\n"
    }
    let config = try config(of: set)
    return [
      ("rows", rows), ("protocol", try `protocol`(searches, config)),
      ("methods", "\(set.methods.count)"),
    ]
  }

  /// How was searched, in a sentence or two.
  private static func `protocol`(_ searches: [RecordedSearch], _ config: Config) throws -> String {
    guard let first = searches.first, first.record["steps"] != nil else {
      let trials = try searches.first?.record.ints("trial").count ?? 0
      return
        "Scrambled Halton search, \(trials) trials for each method, at the same points of the unit cube for all, "
        + "compared by what the figure reports."
    }
    let (own, steps) = (config.own, config.settings.stepCount)
    let lengths = (0..<own.rungs).map {
      "\(Int((own.fraction(rung: $0) * Double(steps)).rounded(.up)))"
    }
    let part =
      [0.5: "half the length", 1: "the whole length"][own.confirmationFraction]
      ?? "\(own.confirmationFraction) of the length"
    return
      "Successive halving, the same compute for every method: \(own.rounds) round\(own.rounds == 1 ? "" : "s") of "
      + "\(own.candidates) candidates (scrambled Halton points) at \(lengths.joined(separator: ", ")) steps, one in "
      + "\(own.reduction) going on to the next length. A later round draws around the best so far, or beyond an edge of the "
      + "range that the best lies within a tenth of. "
      + (own.confirmationSeeds.isEmpty
        ? ""
        : "The best three are trained on \(own.confirmationSeeds.count) fresh seeds for \(part), and the mean "
          + "over these decides (column fresh seeds, the winner first). ")
      + "Candidates are compared \(own.selection == .heldOut ? selectionMeaning : "by what the figure reports")."
  }
}

/// Three significant digits.
package func threeDigits(_ value: Double) -> String { String(format: "%.3g", value) }
