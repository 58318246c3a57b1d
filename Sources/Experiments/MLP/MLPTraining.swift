import Autodiff
import Datasets
import Foundation
import LinearAlgebra
import Models
import Optimizers
import Storage
import Training

/// What the three MLP experiments (curves, search, heat map) have in common: data, model, noise (§6.4).
struct MLPProblem: Equatable, Sendable {
  var inputs = 100
  var hidden = [100, 100, 100]
  var samples = 10_000
  var trainingShare = 0.8
  var batchSize = 32
  var order = BatchOrder.replayed
  var noiseProbability = 0.1
  var noiseAlpha = 1.1
  var noiseScale = 5.0

  func validate() throws {
    func check(_ key: String, _ value: some Any, _ holds: Bool, _ expected: String) throws {
      guard holds else { throw ConfigError.value(key, value, expected) }
    }
    try check("inputs", inputs, inputs >= 3, "a whole number >= 3 (the target is x1·x2·x3)")
    try check(
      "hidden", hidden, !hidden.isEmpty && hidden.allSatisfy { $0 >= 1 }, "a list of widths >= 1")
    try check("samples", samples, samples >= 2, "a whole number >= 2")
    try check(
      "trainingShare", trainingShare, trainingShare > 0 && trainingShare < 1, "a number in (0, 1)")
    let training = Int(trainingShare * Double(samples))
    try check(
      "batchSize", batchSize, batchSize >= 1 && batchSize <= training,
      "a batch size between 1 and the \(training) training samples")
    try check(
      "noiseProbability", noiseProbability, noiseProbability >= 0 && noiseProbability <= 1,
      "a number in [0, 1]")
    try check("noiseAlpha", noiseAlpha, noiseAlpha > 0 && noiseAlpha.isFinite, "a number > 0")
    try check("noiseScale", noiseScale, noiseScale > 0 && noiseScale.isFinite, "a number > 0")
  }

  func data(seed: UInt64) -> ProductRegression {
    ProductRegression(
      samples: samples, inputs: inputs, trainingShare: trainingShare,
      stream: RandomStream(seed: seed, name: "mlp/data"))
  }
}

/// One training run of the MLP, step by step.
final class MLPTraining: StepTraining {
  let model: MLP
  let method: MLPMethod
  private(set) var update: Update
  /// The step to be done next.
  private(set) var step = 0
  /// Losses of the last `window` mini-batches, oldest first.
  private(set) var recentLosses: [Double] = []
  /// The step at which the loss or a gradient left the range of numbers, nil while it has not.
  private(set) var divergedAt: Int?
  /// Seconds in forward and backward.
  private(set) var seconds = (forward: 0.0, backward: 0.0)
  private let problem: MLPProblem
  private let data: ProductRegression
  private let learningRate: Double
  private let tape: Tape
  private let x: Tensor, y: Tensor, loss: Tensor
  private let pool: WorkerPool
  private lazy var validation = makeValidation()
  private var sampler: BatchSampler
  private var noise: HeavyTailedNoise

  /// Losses that are remembered: one pass over the paper's training set.
  static let window = 250
  /// A loss beyond this has diverged (it starts at about 1).
  static let lossLimit = 1e6

  /// A run at its start. The same seed gives every method the same data, weights, batches and noise.
  init(
    _ problem: MLPProblem, _ method: MLPMethod, _ values: MLPMethod.Values, seed: UInt64,
    data: ProductRegression? = nil, pool: WorkerPool = .single
  ) throws {
    self.problem = problem
    self.method = method
    self.data = data ?? problem.data(seed: seed)
    self.pool = pool
    let stream = RandomStream(seed: seed, name: "mlp")
    model = MLP(inputs: problem.inputs, hidden: problem.hidden, outputs: 1)
    model.initialize(stream.child("weights"))
    let layers = model.parameters.map(\.name)
    let (rule, optimizer) = try method.make(values, layers: layers)
    update = try Update(rule, optimizer, of: model.parameters)
    learningRate = values["learningRate"] ?? .nan
    tape = Tape(pool: pool, weightGradients: method.needsSamples ? .perSample : .lowRank)
    x = tape.input([problem.batchSize, problem.inputs])
    y = tape.input([problem.batchSize, 1])
    loss = tape.meanSquaredError(model(tape, x), y)
    sampler = BatchSampler(
      count: self.data.trainingCount, size: problem.batchSize, order: problem.order,
      stream: stream.child("batches"))
    noise = HeavyTailedNoise(
      probability: problem.noiseProbability, alpha: problem.noiseAlpha, scale: problem.noiseScale,
      layers: layers, stream: stream.child("noise"))
    recentLosses.reserveCapacity(Self.window)
  }

  /// What a step has to tell.
  struct Report {
    /// The mini-batch loss before the update.
    var loss: Double
    /// Norms and spectra, where they were asked for.
    var measures: Update.Measures?
    /// ‖x_{k+1} - x_k‖_F over all parameters, where it was asked for.
    var updateNorm: Double?
  }

  /// Trains on one mini-batch; a run that has diverged must not be continued.
  @discardableResult
  func advance(measuring: Bool = false, measuringUpdate: Bool = false) -> Report {
    precondition(divergedAt == nil, "a step after divergence")
    data.fill(sampler.batch(step: step), x.value.base, y.value.base)
    let watch = Stopwatch()
    tape.forward()
    let forward = watch.seconds
    tape.backward(from: loss)
    seconds.forward += forward
    seconds.backward += watch.seconds - forward
    var report = Report(loss: Double(loss.scalar))
    guard report.loss.isFinite, report.loss <= Self.lossLimit else {
      divergedAt = step
      return report
    }
    noise.add(
      to: gradients, step: step, batchSize: problem.batchSize)
    let before = measuringUpdate ? model.values : []
    do {
      report.measures = try update.step(learningRate: learningRate, measuring: measuring)
    } catch {
      // The only error a rule has here is a gradient that is not finite.
      divergedAt = step
      return report
    }
    if measuringUpdate { report.updateNorm = distance(before) }
    if recentLosses.count == Self.window { recentLosses.removeFirst() }
    recentLosses.append(report.loss)
    step += 1
    return report
  }

  private lazy var gradients: [LayerGradient] = model.parameters.map(\.gradient)

  private func distance(_ before: [[Float]]) -> Double {
    var square = 0.0
    for (parameter, old) in zip(model.parameters, before) {
      for i in 0..<parameter.count {
        let difference = Double(parameter.base[i]) - Double(old[i])
        square.addProduct(difference, difference)
      }
    }
    return square.squareRoot()
  }

  /// The mean of the last `count` mini-batch losses (fewer at the start), NaN after divergence.
  func meanLoss(last count: Int) -> Double {
    divergedAt == nil && !recentLosses.isEmpty
      ? Statistics.mean(recentLosses.suffix(count)) : .nan
  }

  /// The mean squared error on all validation samples.
  func validationLoss() -> Double {
    validation.tape.forward()
    return Double(validation.loss.scalar)
  }

  private func makeValidation() -> (tape: Tape, loss: Tensor) {
    let tape = Tape(pool: pool, isTraining: false)
    let x = tape.input([data.validationCount, problem.inputs])
    let y = tape.input([data.validationCount, 1])
    data.fill(
      ArraySlice(data.trainingCount..<(data.trainingCount + data.validationCount)), x.value.base,
      y.value.base)
    return (tape, tape.meanSquaredError(model(tape, x), y))
  }

  // MARK: - Checkpoints

  /// Everything that a resumed run needs besides its settings.
  struct State: Codable {
    var step: Int
    var weights: [Data]
    var update: [Data]
    var recentLosses: [Double]
  }

  /// The state between two steps.
  func state() throws -> State {
    State(
      step: step, weights: model.values.map { values in values.withUnsafeBytes { Data($0) } },
      update: try update.encoded(), recentLosses: recentLosses)
  }

  /// Takes over a state that `state()` gave.
  func restore(_ state: State) throws {
    step = state.step
    model.values = state.weights.map { data in
      data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
    try update.restore(state.update)
    recentLosses = state.recentLosses
  }
}
