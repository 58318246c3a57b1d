// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Lab
import LinearAlgebra
import Models
import Optimizers
import Storage
import Training

/// Settings of the LSTM on Penn Treebank; the defaults are those of the code of arXiv 1905.11881.
package struct LSTMSettings: WorkloadSettings {
  /// How many tokens the windows of the training text have.
  package enum Windows: String, Codable, Sendable, CaseIterable {
    /// All of them `length`.
    case fixed
    /// As in the authors' code: random around `length` (`TokenWindow.random`), a step's rate in proportion to its window.
    case random
  }

  /// The text.
  package var corpus = LanguageData.Source.pennTreebank
  /// Width of the embedding, and so of the last layer.
  package var embedding = 200
  /// Units of the layers before the last.
  package var hidden = 512
  /// LSTM layers.
  package var layers = 2
  /// Columns that the text is cut into, read side by side.
  package var batchSize = 256
  /// Tokens of a column that a step goes through, and back: the authors' bptt.
  package var length = 70
  /// Whether all windows are that long.
  package var windows = Windows.fixed
  /// Times the mean square of the last layer's activations, added to the training loss: 2 in the authors' code.
  package var activationPenalty = 0.0
  /// Times the mean square of their changes from token to token: 1 in the authors' code.
  package var temporalPenalty = 0.0
  /// Training steps; an epoch of the authors' has 51.
  package var steps = 102
  /// Steps between two recorded points.
  package var recordEvery = 17
  /// Columns that the validation text is cut into.
  package var evaluationColumns = 10
  /// Validation windows at a recorded point, at most.
  package var evaluationWindows = 1000

  /// The defaults.
  package init() {}

  package var stepCount: Int { steps }
  package var pointEvery: Int { recordEvery }

  package static let later = ["windows": "fixed"]
  package static let limits: [String: ClosedRange<Int>] = [
    "embedding": 1...100_000, "hidden": 1...100_000, "layers": 1...1000, "batchSize": 1...1_000_000,
    "length": 1...1_000_000, "steps": .positive, "recordEvery": .positive,
    "evaluationColumns": 1...1_000_000, "evaluationWindows": .positive,
  ]

  package func lasting(_ fraction: Double) -> LSTMSettings {
    var own = self
    own.steps = max(1, Int((fraction * Double(steps)).rounded(.up)))
    return own
  }

  package func validate() throws {
    for (key, value) in [
      ("activationPenalty", activationPenalty), ("temporalPenalty", temporalPenalty),
    ] where !(value >= 0 && value.isFinite) {
      throw ConfigError.value(key, value, "a number >= 0")
    }
  }

  /// Shorter windows, then fewer columns, until a pass is some thousand million multiplications; an evaluation of the whole Penn
  /// Treebank is about a hundred windows of 700 tokens.
  package var rehearsal: Rehearsal<LSTMSettings> {
    var small = self
    small.evaluationWindows = 1
    func isLarge() -> Bool { small.multiplications(columns: small.batchSize) > 1e9 }
    while small.length > 8, isLarge() { small.length /= 2 }
    while small.batchSize > 8, isLarge() { small.batchSize /= 2 }
    var rehearsal = Rehearsal(small)
    rehearsal.pass =
      multiplications(columns: batchSize) / small.multiplications(columns: small.batchSize)
    rehearsal.evaluation =
      min(
        Double(evaluationWindows) * Double(length),
        70_000 / Double(evaluationColumns)) / Double(small.length)
    return rehearsal
  }

  /// Multiplications of a forward pass: the gates of each layer, and the decoder.
  private func multiplications(columns: Int) -> Double {
    let (e, h, l) = (Double(embedding), Double(hidden), Double(layers))
    let gates = 4 * h * (e + h) + max(0, l - 1) * 8 * h * h
    return Double(columns) * Double(length) * (gates + e * 10_000)
  }
}

/// The LSTM on Penn Treebank: columns of the text side by side, the hidden state carried from window to window and set to zero
/// where the text begins anew.
package final class LSTMTask: ModelTask {
  package static let metrics = [
    Metric("val_loss", "cross-entropy on the validation text, nats a word")
  ]
  package static func trainLossMeaning(_ settings: LSTMSettings) -> String {
    let penalties = settings.activationPenalty + settings.temporalPenalty > 0
    return "mean of the mini-batch losses since the point before (cross-entropy, nats a word"
      + (penalties ? ", with its penalties)" : ")")
  }
  /// A loss beyond this has diverged (it starts near the logarithm of the vocabulary's size).
  package static let lossLimit = 1e3

  package static func placeholder(_ settings: LSTMSettings) -> LanguageData {
    .placeholder(
      settings.corpus,
      count: (settings.batchSize + settings.evaluationColumns) * (settings.length + 2))
  }

  package static func load(_ settings: LSTMSettings, folder: String) throws -> LanguageData {
    try LanguageData.load(settings.corpus, folder: folder, block: settings.length)
  }

  package let model: LSTM
  package let settings: LSTMSettings
  private let pool: WorkerPool
  private let vocabulary: Int
  private let states: [RecurrentState]
  /// Of every step, where they are random.
  private let windows: [TokenWindow]
  /// Of windows of the last length.
  private var pass: Pass
  private let training: TokenColumns, validation: TokenColumns
  private lazy var evaluation = makeEvaluation()

  /// Throws a `ConfigError` for a text too short for a window.
  package init(
    _ settings: LSTMSettings, _ arm: Arm, _ data: LanguageData, seed: UInt64, pool: WorkerPool
  ) throws {
    (self.settings, self.pool, vocabulary) = (settings, pool, data.vocabulary)
    func columns(_ part: String, _ tokens: [UInt16], _ count: Int) throws -> TokenColumns {
      guard TokenColumns.windows(in: tokens.count, columns: count, length: settings.length) >= 1
      else {
        throw ConfigError(
          "setting 'length'",
          "the \(tokens.count) \(part) tokens of \(data.name) in \(count) columns hold no \(settings.length) tokens and a target",
          hint: "use a longer text, fewer columns or a shorter length")
      }
      return TokenColumns(tokens, count: count, length: settings.length)
    }
    training = try columns("training", data.training, settings.batchSize)
    validation = try columns("validation", data.validation, settings.evaluationColumns)
    model = LSTM(
      .init(
        vocabulary: data.vocabulary, embedding: settings.embedding, hidden: settings.hidden,
        layers: settings.layers))
    let stream = RandomStream(seed: seed, name: "lstm")
    model.initialize(stream.child("weights"))
    states = model.states(count: settings.batchSize)
    windows =
      settings.windows == .fixed
      ? []
      : TokenWindow.random(
        steps: settings.steps, rows: training.rows, around: settings.length,
        stream.child("windows"))
    pass = Pass(model, settings, states, length: windows.first?.length ?? settings.length, pool)
  }

  /// A recorded forward and backward pass over a window, its regularization included.
  private struct Pass {
    let tape: Tape
    let tokens: Indices, targets: Indices, loss: Tensor
    let length: Int

    init(
      _ model: LSTM, _ settings: LSTMSettings, _ states: [RecurrentState], length: Int,
      _ pool: WorkerPool
    ) {
      self.length = length
      tape = Tape(pool: pool)
      let shape = [length, settings.batchSize]
      (tokens, targets) = (tape.indices(shape), tape.indices(shape))
      loss = model.loss(
        tape, tokens, targets, states, activation: settings.activationPenalty,
        temporal: settings.temporalPenalty)
    }
  }

  // MARK: - Training

  /// The weights, and what the layers remember.
  package var modelState: [[Float]] {
    get { model.values + memory.map(\.array) }
    set {
      model.values = newValue.dropLast(memory.count)
      for (buffer, values) in zip(memory, newValue.suffix(memory.count)) { buffer.assign(values) }
    }
  }
  private var memory: [Buffer] { states.flatMap { [$0.lastHidden, $0.lastCell] } }

  package func names(in set: ParameterSet) -> [String] {
    let all = parameters.map(\.name)
    switch set {
    case .all, .others: return all
    case .matrices, .filters: return model.matrices.map(\.name)
    case .exceptEmbeddings: return all.filter { $0 != model.embeddingName }
    case .matricesAndEmbeddings: return model.matrices.map(\.name) + [model.embeddingName]
    }
  }

  /// Steps in proportion to their windows, where those are random.
  package var schedule: Schedule {
    windows.isEmpty
      ? settings.schedule
      : .factors(windows.map { Double($0.drawn) / Double(settings.length) })
  }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    let window =
      windows.isEmpty
      ? TokenWindow(
        start: step % training.windows * settings.length, length: settings.length)
      : windows[step % windows.count]
    if window.length != pass.length {
      pass = Pass(model, settings, states, length: window.length, pool)
    }
    training.fill(window, inputs: pass.tokens.base, targets: pass.targets.base)
    for state in states {
      if window.start == 0 { state.reset() } else { state.carry() }
    }
    return (pass.tape, pass.loss)
  }

  // MARK: - Evaluation

  package func evaluate() -> [Double] { [validationLoss()] }
  package func objective(finalTrainLoss: Double) -> Double { validationLoss() }

  package func summary(lastMetrics: [Double]) -> Attributes {
    [
      "vocabulary": .int(vocabulary), "final_val_loss": .double(lastMetrics.first ?? .nan),
      "steps_per_epoch": .int(training.windows),
    ]
  }

  private typealias Evaluation = (
    tape: Tape, tokens: Indices, targets: Indices, states: [RecurrentState], loss: Tensor
  )

  private func makeEvaluation() -> Evaluation {
    let tape = Tape(pool: pool, isTraining: false)
    let shape = [settings.length, settings.evaluationColumns]
    let (tokens, targets) = (tape.indices(shape), tape.indices(shape))
    let states = model.states(count: settings.evaluationColumns)
    return (tape, tokens, targets, states, model.loss(tape, tokens, targets, states))
  }

  /// The mean cross-entropy over the validation windows in their order, the state carried from one to the next.
  private func validationLoss() -> Double {
    let windows = min(settings.evaluationWindows, validation.windows)
    var total = 0.0
    for window in 0..<windows {
      validation.fill(
        window: window, inputs: evaluation.tokens.base, targets: evaluation.targets.base)
      for state in evaluation.states {
        if window == 0 { state.reset() } else { state.carry() }
      }
      evaluation.tape.forward()
      total += Double(evaluation.loss.scalar)
    }
    return total / Double(windows)
  }
}
