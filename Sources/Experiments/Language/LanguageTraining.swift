import Autodiff
import Datasets
import Foundation
import LinearAlgebra
import Models
import Optimizers
import Storage
import Training

/// Model, batches and schedule of a language-model run: what all methods of an experiment share.
struct LanguageProblem: Sendable {
  var form: GPT.Form
  var layers: Int
  var heads: Int
  var width: Int
  var block: Int
  var dropout: Double
  /// Sequences a step.
  var batchSize: Int
  /// Parts that a batch is computed in, one after another; gradients are added up in order.
  var microBatches: Int
  var steps: Int
  var schedule: Schedule
  var order: TokenBatches.Order
  /// Sequences of an evaluation during training.
  var evaluationSequences: Int
  /// Sequences of the evaluation at the end, at most.
  var finalSequences: Int
  var sketch: LanguageMethod.Sketch
}

/// One training run of a language model, step by step.
final class LanguageTraining: StepTraining {
  let model: GPT
  private(set) var update: Update
  /// The step to be done next.
  private(set) var step = 0
  /// The step at which the loss or a gradient left the range of numbers, nil while it has not.
  private(set) var divergedAt: Int?
  /// Seconds in forward, in backward, and in all of the steps (clip and optimizer included; evaluation, data
  /// and records not).
  private(set) var seconds = (forward: 0.0, backward: 0.0, model: 0.0)
  private let problem: LanguageProblem
  private let learningRate: Double
  private let schedule: Schedule
  /// The threads of the run.
  let pool: WorkerPool
  private let tape: Tape
  private let tokens: Indices, targets: Indices, loss: Tensor
  private let pieces: Int
  /// Sums of clipped micro-batch gradients, where micro-batches are clipped.
  private let sums: [Buffer]
  private var batches: TokenBatches
  private let validation: TokenBatches
  private lazy var evaluation = makeEvaluation()

  /// A loss beyond this has diverged (it starts near the logarithm of the vocabulary's size).
  static let lossLimit = 1e3

  /// A run at its start. The same seed gives every method the same weights and batches, and those that cut
  /// batches alike the same dropout masks.
  init(
    _ problem: LanguageProblem, _ method: LanguageMethod, _ values: LanguageMethod.Values,
    data: LanguageData, seed: UInt64, pool: WorkerPool = .single
  ) throws {
    self.problem = problem
    self.pool = pool
    let stream = RandomStream(seed: seed, name: "language")
    model = GPT(
      problem.form,
      GPT.Shape(
        vocabulary: data.vocabulary, block: problem.block, layers: problem.layers,
        heads: problem.heads, width: problem.width), dropout: problem.dropout)
    model.initialize(stream.child("weights"))
    let (rule, optimizer) = try method.make(
      values, model: model, sketch: problem.sketch, seed: seed)
    update = try Update(
      rule, optimizer, of: model.parameters, clipping: method.clippedNames(of: model), pool: pool)
    learningRate = values["learningRate"] ?? .nan
    schedule = method.schedule ?? problem.schedule
    pieces = method.parts ?? problem.microBatches
    guard problem.batchSize % pieces == 0 else {
      throw ConfigError(
        "setting 'batchSize'", "\(problem.batchSize) sequences do not divide into \(pieces) parts",
        hint: "choose a multiple of \(pieces)")
    }
    sums = method.parts == nil ? [] : model.parameters.map { Buffer(count: $0.count) }
    tape = Tape(pool: pool, dropoutStream: stream.child("dropout"))
    let shape = [problem.batchSize / pieces, problem.block]
    tokens = tape.indices(shape)
    targets = tape.indices(shape)
    loss = model.loss(
      tape, tokens, targets,
      total: (method.parts == nil ? problem.batchSize : shape[0]) * problem.block)
    let chunks = TokenBatches.chunks(in: data.training.count, length: problem.block)
    guard problem.order == .windows || chunks >= problem.batchSize else {
      throw ConfigError(
        "setting 'batchSize'",
        "the corpus has \(chunks) sequences of \(problem.block) tokens, fewer than a batch",
        hint: "use a longer text, a smaller batch or a shorter block")
    }
    batches = TokenBatches(
      data.training, length: problem.block, size: problem.batchSize, order: problem.order,
      stream: stream.child("batches"))
    validation = TokenBatches(
      data.validation, length: problem.block, size: 1, order: .windows, stream: stream)
  }

  /// What a step has to tell.
  struct Report {
    /// The mini-batch loss before the update, in nats a token.
    var loss: Double
    /// Norms and spectra, where they were asked for.
    var measures: Update.Measures?
  }

  /// Trains on one mini-batch; a run that has diverged must not be continued.
  @discardableResult
  func advance(measuring: Bool = false) throws -> Report {
    precondition(divergedAt == nil, "a step after divergence")
    let starts = nextBatch()
    var report = Report(loss: 0)
    let watch = Stopwatch()
    do {
      guard let loss = try accumulate(starts, pieces: 0..<pieces, from: 0) else { return report }
      report.loss = loss
      var apart = 0.0  // measuring is not part of the step
      if sums.isEmpty {
        let before = update.seconds.clip
        let started = watch.seconds
        report.measures = try update.clip(measuring: measuring)
        apart = watch.seconds - started - (update.seconds.clip - before)
      }
      update.move(
        learningRate: learningRate * schedule.factor(step: step, of: problem.steps))
      seconds.model += watch.seconds - apart
    } catch LinearAlgebraError.notFinite {
      divergedAt = step
      return report
    }
    step += 1
    return report
  }

  /// The time of a step, from one micro-batch, one update and one evaluation batch; the run is spent then.
  func secondsPerStep(evaluations: Double) throws -> Double {
    let watch = Stopwatch()
    _ = try accumulate(nextBatch(), pieces: 0..<1, from: 0)
    let piece = watch.seconds
    if divergedAt == nil {
      if sums.isEmpty { try update.clip() }
      update.move(learningRate: learningRate)
    }
    let updated = watch.seconds
    _ = validationLoss(sequences: tokens.shape[0])
    let batches = Double(problem.evaluationSequences) / Double(tokens.shape[0])
    return piece * Double(pieces) + (updated - piece)
      + (watch.seconds - updated) * batches * evaluations
  }

  /// Adds the gradients (and to `loss` the losses) of some of the batch's micro-batches to those before
  /// them; any split of 0 ..< pieces gives the same bits. Nil if the loss has left the range of numbers.
  func accumulate(_ starts: [Int], pieces range: Range<Int>, from loss: Double) throws -> Double? {
    let size = starts.count / pieces
    var sum = loss
    for piece in range {
      batches.fill(
        starts[(piece * size)..<(piece * size + size)], inputs: tokens.base,
        targets: targets.base)
      tape.step = UInt64(step * pieces + piece)
      let watch = Stopwatch()
      tape.forward()
      let forward = watch.seconds
      sum += Double(self.loss.scalar) / (sums.isEmpty ? 1 : Double(pieces))
      guard sum.isFinite, sum <= Self.lossLimit else {
        divergedAt = step
        return nil
      }
      tape.backward(from: self.loss, accumulating: piece > 0 && sums.isEmpty)
      seconds.forward += forward
      seconds.backward += watch.seconds - forward
      if !sums.isEmpty { try clipPart(piece) }
    }
    return sum
  }

  /// The sequences of the next batch.
  func nextBatch() -> [Int] { batches.starts(step: step) }

  /// Clips the gradient of one micro-batch and adds it to the others'; the last one's mean is the gradient.
  private func clipPart(_ piece: Int) throws {
    try update.clip()
    for (parameter, sum) in zip(model.parameters, sums) {
      let gradient = parameter.gradient.materialized.base
      let weight = 1 / Float(pieces)
      for i in 0..<sum.count {
        sum.base[i] = (piece == 0 ? 0 : sum.base[i]).addingProduct(weight, gradient[i])
      }
      if piece == pieces - 1 { gradient.update(from: sum.base, count: sum.count) }
    }
  }

  // MARK: - Evaluation

  /// The mean loss over `sequences` validation sequences (or all, if fewer), the same for every method and
  /// step.
  func validationLoss(sequences: Int) -> Double {
    let starts = validation.evenStarts(sequences)
    let (tape, tokens, targets, loss) = evaluation
    let rows = tokens.shape[0]
    var total = 0.0
    for start in stride(from: 0, to: starts.count, by: rows) {
      // What does not fill a batch goes one by one.
      let own = starts[start..<min(starts.count, start + rows)]
      if own.count == rows {
        validation.fill(own, inputs: tokens.base, targets: targets.base)
        tape.forward()
        total += Double(loss.scalar) * Double(rows)
      } else {
        total += own.reduce(0) { $0 + singleLoss($1) }
      }
    }
    return total / Double(starts.count)
  }

  private func singleLoss(_ start: Int) -> Double {
    let (tape, tokens, targets, loss) = single
    validation.fill([start], inputs: tokens.base, targets: targets.base)
    tape.forward()
    return Double(loss.scalar)
  }

  private lazy var single = makeEvaluation(rows: 1)

  private typealias Evaluation = (tape: Tape, tokens: Indices, targets: Indices, loss: Tensor)

  private func makeEvaluation(rows: Int? = nil) -> Evaluation {
    let tape = Tape(pool: pool, isTraining: false)
    let shape = [rows ?? self.tokens.shape[0], problem.block]
    let (tokens, targets) = (tape.indices(shape), tape.indices(shape))
    return (tape, tokens, targets, model.loss(tape, tokens, targets))
  }

  // MARK: - Checkpoints

  /// Everything that a resumed run needs besides its settings.
  struct State: Codable {
    var step: Int
    var weights: [Data]
    var update: [Data]
    var seconds: [Double]
  }

  /// The state between two steps.
  func state() throws -> State {
    State(
      step: step, weights: model.values.map { values in values.withUnsafeBytes { Data($0) } },
      update: try update.encoded(),
      seconds: [
        seconds.forward, seconds.backward, seconds.model, update.seconds.clip,
        update.seconds.optimizer,
      ])
  }

  /// Takes over a state that `state()` gave.
  func restore(_ state: State) throws {
    step = state.step
    model.values = state.weights.map { data in
      data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
    try update.restore(state.update, seconds: (state.seconds[3], state.seconds[4]))
    seconds = (state.seconds[0], state.seconds[1], state.seconds[2])
  }
}
