// SPDX-License-Identifier: Apache-2.0

import Lab
import Autodiff
import Datasets
import Foundation
import LinearAlgebra
import Models

/// A context and the next tokens that it may be trained on.
struct TokenSample: Equatable, Sendable {
  /// Token ids, [T].
  var context: [Int32]
  /// A token that the model thinks likely.
  var good: Int32
  /// A token that it does not.
  var bad: Int32
  /// p(good | context).
  var goodProbability: Double
  /// p(bad | context).
  var badProbability: Double
}

/// What good and bad tokens are; the paper says only "high" and "low probability".
struct TokenDefinition: Equatable, Sendable {
  enum Good: String, CaseIterable, Sendable {
    /// The model's most likely next token.
    case argmax
    /// The text's own next token, of contexts where its probability is at least `confidence`.
    case confident
  }

  enum Bad: String, CaseIterable, Sendable {
    /// Uniformly from the `lowestFraction` of the vocabulary that is least likely.
    case lowest
    /// Uniformly from the vocabulary, the good token excepted.
    case random
    /// The good token of the next sample of the mini-batch: right words in the wrong place.
    case permuted
  }

  let good: Good
  let bad: Bad

  /// From "good-bad".
  init(name: String) throws {
    let parts = name.split(separator: "-").map(String.init)
    guard parts.count == 2, let good = Good(rawValue: parts[0]), let bad = Bad(rawValue: parts[1])
    else {
      throw ConfigError(
        "setting 'methods'", "'\(name)' is no definition of good and bad tokens",
        hint: "write \(Good.allCases.map(\.rawValue).joined(separator: " or ")), a hyphen, and "
          + Bad.allCases.map(\.rawValue).joined(separator: ", "))
    }
    (self.good, self.bad) = (good, bad)
  }

  /// In words.
  func title(_ config: BadTokenSpectra.Config) -> String {
    let good =
      switch good {
      case .argmax: "good: the most likely token"
      case .confident: "good: the text's token, p ≥ \(short(config.confidence))"
      }
    let bad =
      switch bad {
      case .lowest: "bad: from the \(short(100 * config.lowestFraction)) % least likely"
      case .random: "bad: uniformly random"
      case .permuted: "bad: another sample's good token"
      }
    return "\(good); \(bad)"
  }
}

/// Draws samples from a text: contexts without repetition, in an order that depends on the seed alone.
struct SampleDrawer {
  private let model: TrainedModel
  private let config: BadTokenSpectra.Config
  private let stream: RandomStream
  private let pool: WorkerPool
  /// Contexts that the model looks at together.
  private static let rows = 16

  init(
    _ model: TrainedModel, _ config: BadTokenSpectra.Config, _ stream: RandomStream,
    _ pool: WorkerPool
  ) {
    (self.model, self.config, self.stream, self.pool) = (model, config, stream, pool)
  }

  /// `count` samples; throws a `ConfigError` if the text has too few contexts for them.
  func draw(_ count: Int, _ definition: TokenDefinition) throws -> [TokenSample] {
    let tokens = model.data.validation
    let places = tokens.count - config.context
    guard places >= count else {
      throw ConfigError(
        "settings 'batchSizes' and 'batches'",
        "\(count) samples are wanted, but \(model.data.name) has \(max(0, places)) contexts of "
          + "\(config.context) tokens", hint: "choose fewer, or a longer text")
    }
    var cursor = stream.child("contexts").cursor()
    let order = cursor.permutation(places)
    let tape = Tape(pool: pool, isTraining: false)
    let window = tape.indices([Self.rows, config.context])
    let logits = model.gpt.nextLogits(tape, window)
    var samples: [TokenSample] = []
    var looked = 0
    while samples.count < count && looked < places {
      let starts = order[looked..<min(places, looked + Self.rows)]
      let contexts = starts.map { start in
        tokens[start..<(start + config.context)].map { Int32($0) }
      }
      let filling = Array(
        repeating: contexts[0], count: Self.rows - contexts.count)  // a last, partly filled look
      window.assign((contexts + filling).flatMap { $0 })
      tape.forward()
      for (row, start) in starts.enumerated() where samples.count < count {
        let scores = UnsafeBufferPointer(
          start: logits.value.base + row * logits.columns, count: logits.columns)
        let sample = choose(
          Array(scores), contexts[row], next: Int(tokens[start + config.context]), definition,
          draw: samples.count)
        if let sample { samples.append(sample) }
      }
      looked += starts.count
    }
    guard samples.count == count else {
      throw ConfigError(
        "setting 'confidence'",
        "only \(samples.count) of \(places) contexts give their next token a probability of "
          + "\(config.confidence), \(count) are wanted",
        hint: "lower it, take fewer mini-batches, or use argmax")
    }
    return definition.bad == .permuted ? permuted(samples) : samples
  }

  /// The sample of a context, nil if its next token is not good enough.
  private func choose(
    _ logits: [Float], _ context: [Int32], next: Int, _ definition: TokenDefinition, draw: Int
  ) -> TokenSample? {
    let largest = Double(logits.max() ?? 0)
    let weights = logits.map { exp(Double($0) - largest) }
    let total = weights.reduce(0, +)
    func probability(_ token: Int) -> Double { weights[token] / total }
    let good =
      switch definition.good {
      case .argmax: weights.indices.max { weights[$0] < weights[$1] } ?? 0
      case .confident: next
      }
    if definition.good == .confident && probability(good) < config.confidence { return nil }
    let random = stream.child("bad tokens")
    var bad = good
    switch definition.bad {
    case .lowest:
      let share = max(1, Int(config.lowestFraction * Double(weights.count)))
      let order = weights.indices.sorted { (weights[$0], $0) < (weights[$1], $1) }
      bad = order[random.integer(below: share, at: draw)]
    case .random:
      bad = random.integer(below: weights.count - 1, at: draw)
      if bad >= good { bad += 1 }
    case .permuted: break  // once the others are there
    }
    return TokenSample(
      context: context, good: Int32(good), bad: Int32(bad), goodProbability: probability(good),
      badProbability: probability(bad))
  }

  /// Everyone's bad token is the good one of the next sample whose good token is another.
  private func permuted(_ samples: [TokenSample]) -> [TokenSample] {
    samples.indices.map { i in
      var sample = samples[i]
      let other = (1..<samples.count).lazy.map { samples[(i + $0) % samples.count].good }
        .first { $0 != sample.good }
      sample.bad = other ?? sample.good
      sample.badProbability = .nan  // of no further use, and not known
      return sample
    }
  }
}
