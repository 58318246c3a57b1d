// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Lab
import LinearAlgebra
import Models
import Storage
import Training

/// Settings of the MLP under heavy-tailed gradient noise (§6.4); the defaults are the paper's.
package struct MLPSettings: WorkloadSettings {
  /// d, the dimension of x.
  package var inputs = 100
  /// Widths of the hidden layers.
  package var hidden = [100, 100, 100]
  /// Samples drawn.
  package var samples = 10_000
  /// Fraction of them that is trained on.
  package var trainingFraction = 0.8
  /// Mini-batch size.
  package var batchSize = 32
  /// Whether every epoch has the same batches.
  package var order = BatchOrder.replayed
  /// Probability of noise in a step.
  package var noiseProbability = 0.1
  /// Tail exponent α of the noise.
  package var noiseAlpha = 1.1
  /// Smallest size of the noise.
  package var noiseScale = 5.0
  /// Training steps.
  package var steps = 30_000
  /// Steps between two recorded points.
  package var recordEvery = 250
  /// Mini-batch losses in the mean that a point records, as the authors log it.
  package var smoothing = 25

  package var stepCount: Int { steps }
  package var pointEvery: Int { recordEvery }

  package static let limits: [String: ClosedRange<Int>] = [
    "inputs": 1...100_000, "hidden": 1...100_000, "samples": 2...100_000_000,
    "batchSize": 1...1_000_000, "steps": .positive, "recordEvery": .positive,
    "smoothing": 1...MLPTask.finalLosses,
  ]

  package func lasting(_ fraction: Double) -> MLPSettings {
    var own = self
    own.steps = max(1, Int((fraction * Double(steps)).rounded(.up)))
    return own
  }

  package func validate() throws {
    try check("inputs", inputs, inputs >= 3, "a whole number >= 3 (the target is x1·x2·x3)")
    try check("hidden", hidden, !hidden.isEmpty, "a list of widths >= 1")
    try check(
      "trainingFraction", trainingFraction, trainingFraction > 0 && trainingFraction < 1,
      "a number in (0, 1)")
    let training = Int(trainingFraction * Double(samples))
    try check(
      "batchSize", batchSize, batchSize <= training,
      "a batch size between 1 and the \(training) training samples")
    try check(
      "noiseProbability", noiseProbability, noiseProbability >= 0 && noiseProbability <= 1,
      "a number in [0, 1]")
    try check("noiseAlpha", noiseAlpha, noiseAlpha > 0 && noiseAlpha.isFinite, "a number > 0")
    try check("noiseScale", noiseScale, noiseScale > 0 && noiseScale.isFinite, "a number > 0")
  }
}

/// The MLP on y = x₁x₂x₃ whose gradients suffer heavy-tailed low-rank noise (§6.4).
package final class MLPTask: ModelTask {
  package static let metrics = [Metric("val_loss", "mean squared error on the validation samples")]
  package static func trainLossMeaning(_ settings: MLPSettings) -> String {
    "mean of the last \(settings.smoothing) mini-batch losses (mean squared error)"
  }
  /// Mini-batch losses in the final training loss: one pass over the paper's training set.
  package static let finalLosses = 250
  /// A loss beyond this has diverged (it starts at about 1).
  package static let lossLimit = 1e6

  /// Data are computed from the seed.
  package struct Source: WorkloadSource {
    package let name: String
    package let digest = ""
    package let isStandIn = false
    private let settings: MLPSettings

    init(_ settings: MLPSettings) {
      self.settings = settings
      name = "synthetic data, batches \(settings.order.rawValue)"
    }

    func data(seed: UInt64) -> ProductRegression {
      ProductRegression(
        samples: settings.samples, inputs: settings.inputs,
        trainingFraction: settings.trainingFraction,
        stream: RandomStream(seed: seed, name: "mlp/data"))
    }
  }

  package static func load(_ settings: MLPSettings, folder: String) -> Source { Source(settings) }
  package static func placeholder(_ settings: MLPSettings) -> Source { Source(settings) }

  package let model: MLP
  package let settings: MLPSettings
  private let data: ProductRegression
  private let pool: WorkerPool
  private let tape: Tape
  private let x: Tensor, y: Tensor, loss: Tensor
  private let gradients: [LayerGradient]
  private lazy var validation = makeValidation()
  private var sampler: BatchSampler
  private var noise: HeavyTailedNoise

  package convenience init(
    _ settings: MLPSettings, _ arm: Arm, _ source: Source, seed: UInt64, pool: WorkerPool
  ) {
    self.init(settings, arm, source.data(seed: seed), seed: seed, pool: pool)
  }

  /// A run at its start on data that are there already.
  init(
    _ settings: MLPSettings, _ arm: Arm, _ data: ProductRegression, seed: UInt64,
    pool: WorkerPool
  ) {
    (self.settings, self.data, self.pool) = (settings, data, pool)
    let stream = RandomStream(seed: seed, name: "mlp")
    model = MLP(inputs: settings.inputs, hidden: settings.hidden, outputs: 1)
    model.initialize(stream.child("weights"))
    gradients = model.parameters.map(\.gradient)
    tape = Tape(pool: pool, weightGradients: arm.needsSamples ? .perSample : .lowRank)
    x = tape.input([settings.batchSize, settings.inputs])
    y = tape.input([settings.batchSize, 1])
    loss = tape.meanSquaredError(model(tape, x), y)
    sampler = BatchSampler(
      count: data.trainingCount, size: settings.batchSize, order: settings.order,
      stream: stream.child("batches"))
    noise = HeavyTailedNoise(
      probability: settings.noiseProbability, alpha: settings.noiseAlpha,
      scale: settings.noiseScale, layers: model.parameters.map(\.name),
      stream: stream.child("noise"))
  }

  // MARK: - Training

  package var measuring: StepMeasuring { [.clip, .update] }
  package var lossWindow: LossWindow { .last(settings.smoothing) }
  package var finalLossWindow: LossWindow { .last(Self.finalLosses) }

  package func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor) {
    data.fill(sampler.batch(step: step), x.value.base, y.value.base)
    return (tape, loss)
  }

  package func perturbGradient(step: Int) {
    noise.add(to: gradients, step: step, batchSize: settings.batchSize)
  }

  // MARK: - Evaluation

  /// The mean squared error on all validation samples.
  package func evaluate() -> [Double] {
    validation.tape.forward()
    return [Double(validation.loss.scalar)]
  }

  package func objective(finalTrainLoss: Double) -> Double { finalTrainLoss }

  package func summary(lastMetrics: [Double]) -> Attributes {
    ["final_val_loss": .double(lastMetrics.first ?? .nan)]
  }

  private func makeValidation() -> (tape: Tape, loss: Tensor) {
    let tape = Tape(pool: pool, isTraining: false)
    let x = tape.input([data.validationCount, settings.inputs])
    let y = tape.input([data.validationCount, 1])
    data.fill(
      ArraySlice(data.trainingCount..<(data.trainingCount + data.validationCount)), x.value.base,
      y.value.base)
    return (tape, tape.meanSquaredError(model(tape, x), y))
  }
}
