import Autodiff
import Clipping
import Datasets
import Foundation
import LinearAlgebra
import Models
import Optimizers
import Storage
import Training

/// One training run on images, step by step, with the authors' optimizers: one for the convolutions, which alone are
/// clipped, and another for biases and head.
final class ImageTraining: StepTraining {
  let classifier: ImageClassifier
  /// The step to be done next.
  private(set) var step = 0
  /// The step at which the loss or a gradient left the range of numbers, nil while it has not.
  private(set) var divergedAt: Int?
  /// Seconds in forward, in backward, and in all of the steps (clip and optimizers included; batches, evaluation and
  /// records not).
  private(set) var seconds = (forward: 0.0, backward: 0.0, model: 0.0)
  /// Steps of an epoch, and of the run.
  let stepsPerEpoch: Int, steps: Int
  private let problem: ImageProblem
  private let method: ImageMethod
  private let data: ImageData
  private let pool: WorkerPool
  private var batches: ImageBatches
  private var groups: [ParameterGroup]
  private var pass: TrainingPass?
  private lazy var evaluation = ImageEvaluation(classifier, data, pool)

  /// A mean loss of an image beyond this has diverged (it starts near log 10).
  static let lossLimit = 1e3

  /// A run at its start. The same seed gives all methods of a network the same weights and batches.
  ///
  /// Throws a `ConfigError` for a batch larger than the data or not divisible into the parts.
  init(
    _ problem: ImageProblem, _ method: ImageMethod, _ values: ImageMethod.Values,
    images: PreparedImages, seed: UInt64, pool: WorkerPool = .single
  ) throws {
    try method.check(values, place: "method '\(method.name)'")
    (self.problem, self.method, self.pool, data) = (problem, method, pool, images.data)
    let count = data.training.count
    guard problem.batchSize <= count else {
      throw ConfigError(
        "setting 'batchSize'",
        "\(count) training images of \(data.name) are fewer than a batch of \(problem.batchSize)",
        hint: "use a smaller batch or a larger set (make data-cifar gets CIFAR-10)")
    }
    let stream = RandomStream(seed: seed, name: "images")
    classifier = ImageClassifier(
      method.network, narrowing: problem.narrowing, classes: data.classes.count,
      whitening: images.whitening, stream.child("weights"))
    batches = ImageBatches(
      data.training, size: problem.batchSize, augmentation: problem.augmentation,
      normalization: data.normalization, stream: stream.child("batches"))
    stepsPerEpoch = batches.batchesPerEpoch
    steps = problem.epochs * stepsPerEpoch
    groups = try ParameterGroup.groups(
      classifier, problem, method, values, stepsPerEpoch: stepsPerEpoch, seed: seed, pool: pool)
  }

  // MARK: - Parameters and rates

  /// The rates of the next step: convolutions, shifts, head, whitening bias; nil for what stays as it is.
  var rates: [Double?] { groups.map { $0.rate(at: step) } }

  /// Clip and optimizer of the convolutions.
  var filters: Update { groups[0].update }

  // MARK: - Steps

  /// What a step has to tell.
  struct Report {
    /// The mean loss of an image before the update, with smoothed labels, in nats.
    var loss = 0.0
    /// Images of the batch whose largest logit is their class.
    var correct = 0
    /// Norms and spectra of the convolutions' gradients, where they were asked for.
    var measures: Update.Measures?
    /// ‖C - C_exact‖_F / ‖C_exact‖_F of each convolution, where spectra were clipped and measured.
    var clipErrors: [Double] = []
  }

  /// Trains on one mini-batch; a run that has diverged must not be continued.
  @discardableResult
  func advance(measuring: Bool = false) throws -> Report {
    precondition(divergedAt == nil, "a step after divergence")
    var report = Report()
    do {
      guard try accumulate(&report) else { return report }
      let before = measuring ? method.copies(of: filters) : []
      report.measures = try clip(measuring: measuring)
      report.clipErrors = try zip(before, filters.parameters.indices).map { copy, index in
        try relativeError(of: filters, index, exactly: copy)
      }
      move()
    } catch LinearAlgebraError.notFinite {
      divergedAt = step
      return report
    }
    step += 1
    return report
  }

  /// Leaves the gradient of the next batch in the parameters; false if the loss has left the range of numbers.
  private func accumulate(_ report: inout Report) throws -> Bool {
    let pass = currentPass()
    let chosen = batches.batch(step: step)
    let epoch = step / stepsPerEpoch
    let size = chosen.count / problem.parts
    for part in 0..<problem.parts {
      let own = chosen[(chosen.startIndex + part * size)..<(chosen.startIndex + (part + 1) * size)]
      pass.fill(own, data, pool) { batches.transform(image: $0, epoch: epoch) }
      let watch = Stopwatch()
      pass.tape.forward()
      let forward = watch.seconds
      report.loss += Double(pass.loss.scalar) / Double(problem.imagesSummed)
      report.correct += pass.correct
      guard report.loss.isFinite, report.loss <= Self.lossLimit else {
        divergedAt = step
        return false
      }
      pass.tape.backward(from: pass.loss, accumulating: part > 0)
      seconds.forward += forward
      seconds.backward += watch.seconds - forward
      seconds.model += watch.seconds
    }
    return true
  }

  /// Clips the convolutions' gradients; measuring does not count as time of the step.
  private func clip(measuring: Bool) throws -> Update.Measures? {
    let before = groups[0].update.seconds.clip
    let measures = try groups[0].update.clip(measuring: measuring)
    seconds.model += groups[0].update.seconds.clip - before
    return measures
  }

  private func move() {
    let watch = Stopwatch()
    for index in groups.indices {
      guard let rate = groups[index].rate(at: step) else { continue }
      groups[index].update.move(learningRate: rate)
    }
    seconds.model += watch.seconds
  }

  /// The tape of the present epoch: once the whitening bias is fixed, one that does not differentiate down to it.
  private func currentPass() -> TrainingPass {
    let whitening: CifarNet.WhiteningBias =
      classifier.whiteningBiasName == nil || rates[3] == nil ? .frozen : .trained
    if let pass, pass.whitening == whitening { return pass }
    pass = nil  // its buffers are free before the next ones are made
    let new = TrainingPass(classifier, problem, data.training, whitening, pool)
    pass = new
    return new
  }

  /// The time of a step of `images` images, from one batch, one update and one evaluation; the run is spent then.
  func secondsPerStep(of images: Int, evaluations: Double, testImages: Int) throws -> Double {
    var report = Report()
    _ = currentPass()
    let watch = Stopwatch()
    _ = try accumulate(&report)
    let batch = watch.seconds
    if divergedAt == nil {
      _ = try clip(measuring: false)
      move()
    }
    let update = watch.seconds - batch
    let count = min(200, testImages)
    _ = evaluation.measure(.none, count: 1)
    let start = watch.seconds
    _ = evaluation.measure(.none, count: count)
    return batch * Double(images) / Double(problem.batchSize) + update
      + (watch.seconds - start) * Double(testImages) / Double(count) * evaluations
  }

  /// Accuracy and cross-entropy on the first `count` test images.
  func validate(
    _ views: TestTimeAugmentation, count: Int
  ) -> (accuracy: Double, loss: Double) {
    evaluation.measure(views, count: count)
  }

  // MARK: - Checkpoints

  /// Everything that a resumed run needs besides its settings.
  struct State: Codable {
    var step: Int
    var weights: [Data]
    var updates: [[Data]]
    var updateSeconds: [[Double]]
    var seconds: [Double]
  }

  /// The state between two steps.
  func state() throws -> State {
    State(
      step: step,
      weights: classifier.model.values.map { values in values.withUnsafeBytes { Data($0) } },
      updates: try groups.map { try $0.update.encoded() },
      updateSeconds: groups.map { [$0.update.seconds.clip, $0.update.seconds.optimizer] },
      seconds: [seconds.forward, seconds.backward, seconds.model])
  }

  /// Takes over a state that `state()` gave.
  func restore(_ state: State) throws {
    step = state.step
    classifier.model.values = state.weights.map { data in
      data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
    for index in groups.indices {
      let seconds = state.updateSeconds[index]
      try groups[index].update.restore(state.updates[index], seconds: (seconds[0], seconds[1]))
    }
    seconds = (state.seconds[0], state.seconds[1], state.seconds[2])
  }

  /// Seconds of all optimizers.
  var optimizerSeconds: Double { groups.reduce(0) { $0 + $1.update.seconds.optimizer } }
}

// MARK: - The error of truncation

extension ImageMethod {
  /// The gradients before they are clipped, for rules that clip singular values.
  fileprivate func copies(of update: Update) -> [Matrix<Float>] {
    switch clip {
    case .none, .norm, .delta: []
    case .spectral, .ema, .quantile:
      update.parameters.map { $0.gradient.entries.readOnly.copied() }
    }
  }
}

/// ‖C - C_exact‖_F / ‖C_exact‖_F of parameter `index` after the rule's step, whose gradient was `before`.
private func relativeError(
  of update: Update, _ index: Int, exactly before: Matrix<Float>
) throws -> Double {
  var exact = before
  let tau = update.statistics[index].tau
  try SpectralClip.exact.clip(&exact, at: tau)
  let clipped = update.parameters[index].gradient.entries.readOnly.copied()
  let norm = exact.frobeniusNorm
  return norm == 0 ? 0 : (clipped - exact).frobeniusNorm / norm
}
