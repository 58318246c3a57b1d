import Foundation
import LinearAlgebra
import Storage

/// Quasi-random search with equal budgets: every method gets the same points of the unit cube, scaled to
/// its own ranges.
package enum HyperparameterSearch<Method: TunableMethod> {
  /// One trial's outcome.
  package struct Trial: Codable, Sendable {
    /// The loss that is minimised, NaN after divergence.
    package var loss: Double
    /// The step of divergence, -1 for none.
    package var divergedAt: Int
    package var seconds: Double
  }

  /// Hyper-parameters of trial `index`: point `index` of the scrambled Halton sequence `stream`.
  package static func values(_ method: Method, at index: Int, stream: String) -> Method.Values {
    let points = ScrambledHalton(dimensions: 2, stream: RandomStream(seed: 0, name: stream))
    precondition(method.hyperparameters.count <= 2, "\(method.name): the sequence has two axes")
    var values: Method.Values = [:]
    for (parameter, u) in zip(method.hyperparameters, points.point(index)) {
      values[parameter.name] = parameter.value(at: u)
    }
    return values
  }

  /// The record of a method's trials; `objective` is the data set's name and `longName` what it holds.
  package static func record(
    _ method: Method, _ trials: [Trial], stream: String, objective: String, longName: String
  ) -> Record {
    func values(at index: Int) -> Method.Values { Self.values(method, at: index, stream: stream) }
    let best = trials.indices.filter { trials[$0].loss.isFinite }
      .min { trials[$0].loss < trials[$1].loss }
    var attributes: Attributes = [
      "title": .string(method.title), "source": .string(method.source),
      "best_trial": .int(best ?? -1),
      "best_loss": .double(best.map { trials[$0].loss } ?? .nan),
      "diverged_trials": .int(trials.count { $0.divergedAt >= 0 }),
    ]
    for parameter in method.hyperparameters {
      attributes["best_\(parameter.name)"] = .double(
        best.map { values(at: $0)[parameter.name] ?? .nan } ?? .nan)
    }
    var record = Record(attributes: attributes)
    record.add(
      .init(
        "trial", .int64(trials.indices.map { Int64($0) }), longName: "trial, from 0", units: "1"))
    for parameter in method.hyperparameters {
      record.add(
        .init(
          parameter.name, .double(trials.indices.map { values(at: $0)[parameter.name] ?? .nan }),
          longName:
            "hyper-parameter, \(parameter.isLogarithmic ? "log-uniform" : "uniform") on "
            + "[\(parameter.low), \(parameter.high)]", units: "1", dimensions: ["trial"]))
    }
    record.add(
      .init(
        objective, .double(trials.map(\.loss)), longName: longName, units: "1",
        dimensions: ["trial"]))
    record.add(
      .init(
        "diverged_at", .int64(trials.map { Int64($0.divergedAt) }),
        longName: "step of divergence, -1 for none", units: "1", dimensions: ["trial"]))
    record.telemetry.add(
      .init(
        "trial_seconds", .double(trials.map(\.seconds)), longName: "time of each trial",
        units: "s"))
    return record
  }

  /// The winners as the text of a chosen.yaml, in the order of the settings: with several seeds the trial
  /// with the smallest mean log loss.
  package static func chosen(of set: RecordSet, objective: String, command: String) throws -> String
  {
    var winners: [(method: Method, values: Method.Values)] = []
    for name in set.methods {
      let method = try Method.named(name, place: set.folder)
      let records = try set.records(of: name)
      let losses = try records.map { try $0.doubles(objective) }
      let scores = losses[0].indices.map { trial in
        Statistics.mean(losses.map { $0[trial] > 0 ? log($0[trial]) : .nan })
      }
      guard
        let best = scores.indices.filter({ scores[$0].isFinite })
          .min(by: { scores[$0] < scores[$1] })
      else { continue }
      var values: Method.Values = [:]
      for parameter in method.hyperparameters {
        values[parameter.name] = try records[0].doubles(parameter.name)[best]
      }
      winners.append((method, values))
    }
    let trials = try set.records[0].ints("trial").count
    return ChosenHyperparameters.text(
      comment: "Written by \(command) from its records: profile \(set.profile), "
        + "\(trials) trials a method, seeds \(set.seeds.map(String.init).joined(separator: ", ")).",
      winners)
  }

  // MARK: - Table

  /// A winner this near to an end of its range, as a share of it, says that the range is too short.
  package static var edge: Double { 0.1 }

  /// A block a method: hyper-parameters and loss of every trial; one that diverged has
  /// the loss NaN. Arrays `arm`, `arm_title`, `arm_best`, `arm_rate`, and `arm_edge`: the hyper-parameters whose best value lies
  /// within a tenth of an end.
  package static func table(
    of set: RecordSet, objective: String, title: String
  ) throws -> Table {
    var table = Table()
    var titles: [String] = []
    var (best, rates, edges): ([Double], [Double], [String]) = ([], [], [])
    for name in set.methods {
      let record = try set.records(of: name)[0]
      let parameters = try Method.named(name, place: set.folder).hyperparameters
      var block = Table.Block(name)
      for parameter in parameters {
        block.add(parameter.name, try record.doubles(parameter.name))
      }
      block.add("loss", try record.doubles(objective))
      table.add(block)
      titles.append(try record.string(attribute: "title"))
      best.append(try record.double(attribute: "best_loss"))
      rates.append(try record.double(attribute: "best_learningRate"))
      let near = try parameters.compactMap { parameter -> String? in
        let place = parameter.share(of: try record.double(attribute: "best_\(parameter.name)"))
        guard place.isFinite, min(place, 1 - place) < edge else { return nil }
        return "\(parameter.name) at its \(place < 0.5 ? "lower" : "upper") end"
      }
      edges.append(near.joined(separator: ", "))
    }
    table.set("arm", .texts(set.methods.map(Table.word)))
    table.set("arm_title", .texts(titles))
    table.set("arm_best", .numbers(best))
    table.set("arm_rate", .numbers(rates))
    table.set("arm_edge", .texts(edges))
    table.set("objective", .text(title))
    return table
  }

  /// The rows of the table in its caption, and how many trials and methods there are.
  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    var rows = "| method | hyper-parameters | loss | diverged | source |\n|---|---|---|---|---|\n"
    for name in set.methods {
      let record = try set.records(of: name)[0]
      let best = try Method.named(name, place: set.folder).hyperparameters.map {
        "\($0.name) \(short(try record.double(attribute: "best_\($0.name)"))) "
          + "in [\($0.low), \($0.high)]\($0.isLogarithmic ? " (log)" : "")"
      }
      rows +=
        "| \(try record.string(attribute: "title")) | \(best.joined(separator: ", ")) | "
        + "\(threeDigits(try record.double(attribute: "best_loss"))) | "
        + "\(try record.int(attribute: "diverged_trials")) | "
        + "\(try record.string(attribute: "source")) |\n"
    }
    return [
      ("rows", rows), ("trials", "\(try set.records[0].ints("trial").count)"),
      ("methods", "\(set.methods.count)"),
    ]
  }
}

/// Three significant digits.
package func threeDigits(_ value: Double) -> String { String(format: "%.3g", value) }
