// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Datasets
import Lab
import LinearAlgebra
import Models
import Optimizers
import Training

/// A step that the benchmark times: of the trainer itself, at sizes and with optimizers that PyTorch's peer has too.
package struct StepBenchmark: Sendable {
  /// The case's name, the same in compare.py.
  package let name: String
  /// Makes the run on some threads. Its `step` returns the loss.
  package let make: @Sendable (WorkerPool) throws -> Run

  /// A run that is timed.
  package struct Run {
    /// What comes before each step and is not part of it.
    package var prepare: () -> Void = {}
    /// One step; the loss.
    package let step: () throws -> Double
    /// Seconds so far in the clip and in the optimizers.
    package var seconds: () -> (clip: Double, optimizer: Double) = { (0, 0) }
  }

  /// A step of an arm on a workload, whose settings are changed; on its own data where no `source` is given.
  static func trainer<Task: Workload>(
    _ name: String, _ task: Task.Type, _ settings: Task.Settings,
    _ arm: @escaping @Sendable @autoclosure () throws -> Arm, _ values: Hyperparameters,
    changing change: (inout Task.Settings) -> Void = { _ in },
    source: @escaping @Sendable (Task.Settings) throws -> Task.Source = {
      try Task.load($0, folder: "")
    }
  ) -> StepBenchmark {
    var own = settings
    change(&own)
    return StepBenchmark(name: name) { [settings = own] pool in
      let run = try TrainingRun<Task>(
        settings, arm(), values, source(settings), seed: 1, pool: pool)
      return Run(
        step: { try run.advance().loss }, seconds: { run.trainer.optimizer.seconds })
    }
  }

  /// The steps of networks that are compared with PyTorch.
  package static let all: [StepBenchmark] =
    language + images + alexNet + neighbors + [
      gpt2Clip("gpt2-clip", .normal, powerIterations: 2),
      gpt2Clip("gpt2-clip-warm", .lastBasis, powerIterations: 1),
      gpt2Clip("gpt2-clip-warm-0", .lastBasis, powerIterations: 0), gpt2Spectra,
    ]

  /// The step of an MLP arm at the paper's size.
  package static func mlp(_ arm: String, _ values: Hyperparameters) throws -> Run {
    try trainer(
      "mlp", MLPTask.self, MLPSettings(), MLPArms.all.named(arm, place: "benchmark"), values
    ).make(.single)
  }

  // MARK: - Language models

  private static let sgd: @Sendable (ArmSite) throws -> any Optimizer = { _ in SGD() }

  private static func arm(
    _ name: String, _ optimizer: @escaping @Sendable (ArmSite) throws -> any Optimizer = sgd,
    clip: @escaping @Sendable (ArmSite) throws -> any GradientTransform
  ) -> Arm {
    Arm(
      name, name, source: "benchmark", [.logarithmic("learningRate", 1e-4, 1)], optimizer,
      clip: clip)
  }

  private static let normClip = arm("norm") { _ in
    try NormClip(maximumNorm: 1, formula: .torch)
  }

  private static func random(vocabulary: Int, block: Int) -> LanguageData {
    random(vocabulary: vocabulary, training: 64 * block, validation: 2 * block)
  }

  /// So many random tokens to train on, and of zeros to validate on.
  static func random(vocabulary: Int, training: Int, validation: Int) -> LanguageData {
    let stream = RandomStream(seed: 1, name: "benchmark/tokens")
    return LanguageData(
      name: "random tokens", isStandIn: true, vocabulary: vocabulary,
      training: (0..<training).map { UInt16(stream.integer(below: vocabulary, at: $0)) },
      validation: Array(repeating: 0, count: validation), digest: ""
    ) { _ in "" }
  }

  private static func nano(
    _ name: String, _ change: (inout LanguageSettings) -> Void, _ arm: Arm = normClip
  ) -> StepBenchmark {
    trainer(
      name, LanguageTask.self, .nanoGPT, arm, ["learningRate": 0.01], changing: change,
      source: { random(vocabulary: 65, block: $0.contextLength) })
  }

  /// A step of nanoGPT with four blocks of four heads, of `width` channels, on `sequences` of `tokens`.
  package static func nanoGPT(width: Int, tokens: Int, sequences: Int) -> StepBenchmark {
    nano("nanogpt") {
      ($0.layers, $0.heads, $0.width, $0.dropout) = (4, 4, width, 0)
      ($0.contextLength, $0.batchSize) = (tokens, sequences)
    }
  }

  private static let language: [StepBenchmark] = {
    func small(_ s: inout LanguageSettings) {
      (s.layers, s.heads, s.width, s.contextLength, s.batchSize, s.dropout) = (4, 4, 128, 64, 12, 0)
    }
    func half(_ s: inout LanguageSettings) { s.precision = .bf16 }
    func gpt2(
      _ name: String, block: Int, _ arm: Arm, _ precision: ProductPrecision = .fp32
    ) -> StepBenchmark {
      trainer(
        name, LanguageTask.self, .gpt2, arm, ["learningRate": 0.01],
        changing: { s in
          (s.contextLength, s.batchSize, s.microBatches, s.warmup) = (block, 4, 1, 0)
          s.precision = precision
        }, source: { random(vocabulary: 50_257, block: $0.contextLength) })
    }
    let spectral = arm("spectral") { try $0.spectral(.constant(0.01)) }
      .with { $0.clippedSet = .matrices }
    let none: @Sendable (ArmSite) throws -> any GradientTransform = { _ in NoClip() }
    return [
      nano("nanogpt-cpu", small), nano("nanogpt-cpu-spectral", small, spectral),
      nano("nanogpt-paper", { _ in }), nano("nanogpt-paper-bf16", half),
      gpt2("gpt2-4x1024", block: 1024, arm("sgd", clip: none)),
      gpt2("gpt2-4x1024-bf16", block: 1024, arm("sgd", clip: none), .bf16),
      gpt2("gpt2-4x64", block: 64, arm("adamw", { _ in Adam(isDecoupled: true) }, clip: none)),
    ]
  }()

  // MARK: - Images

  private static func image(
    _ name: String, _ network: ImageNetwork, batch: Int, widthDivisor: Int = 1
  ) -> StepBenchmark {
    let arm =
      network == .cifarNet ? arm("spectral") { try $0.spectral(.constant(1)) } : normClip
    return trainer(
      name, ImageTask.self, ImageSettings(),
      arm.with {
        $0.model = network.rawValue
        $0.clippedSet = .filters
        $0.optimizers = [(.filters, { _ in SGD(momentum: 0.85, nesterov: true) })]
      }, ["learningRate": 0.001]
    ) { s in
      (s.images, s.batchSize, s.trainingImages, s.testImages) = (.standIn, batch, batch, 1)
      (s.epochs, s.whiteningEpochs, s.widthDivisor) = (1000, 1000, widthDivisor)
    }
  }

  /// A step of CifarNet at full width, clipped by Algorithm 2.
  package static func cifarNet(images: Int) -> StepBenchmark {
    image("cifarnet", .cifarNet, batch: images)
  }

  private static let images = [
    image("cifarnet-500", .cifarNet, batch: 500), image("cifarnet-2000", .cifarNet, batch: 2000),
    image("resnet18-128", .resNet18, batch: 128),
    // An eighth of the widths, as the checked-in runs of Fig 2a have it.
    image("cifarnet-eighth", .cifarNet, batch: 120, widthDivisor: 8),
    image("resnet18-eighth", .resNet18, batch: 120, widthDivisor: 8),
  ]

  /// AlexNet without a clip and with every sample clipped, at full and at quarter width.
  private static let alexNet = [1, 4].flatMap { divisor in
    [
      alexNet(divisor, "plain", "sgdm-none", ["learningRate": 0.01]),
      alexNet(divisor, "per-sample", "sgdm-per-sample", ["learningRate": 0.01, "scale": 0.1]),
    ]
  }

  private static func alexNet(
    _ divisor: Int, _ words: String, _ arm: String, _ values: Hyperparameters
  ) -> StepBenchmark {
    trainer(
      "alexnet\(divisor == 1 ? "" : "-quarter")-\(words)", AlexNetTask.self, AlexNetSettings(),
      try AlexNetArms.all.named(arm, place: "benchmark"), values
    ) { s in
      (s.images, s.widthDivisor, s.trainingImages, s.testImages) = (.standIn, divisor, 128, 1)
      s.epochs = 1000
    }
  }

  // MARK: - Pieces of GPT-2

  /// Algorithm 2 at rank 64 on gradients of all of GPT-2's matrices, and nothing else.
  private static func gpt2Clip(
    _ name: String, _ start: SketchStart, powerIterations: Int
  ) -> StepBenchmark {
    StepBenchmark(name: name) { pool in
      let model = GPT(.gpt2, .gpt2)
      let names = model.matrixNames
      let s = LanguageSettings.gpt2
      let optimizer = try ClippedOptimizer(
        LayerwiseSpectralClip(
          .constant(1),
          .randomized(
            rank: s.rank, oversampling: s.oversampling, powerIterations: powerIterations),
          layers: names, seed: 1, start: start),
        on: names,
        then: [
          ParameterGroup(model.parameters.map(\.name), SGD(), rate: LearningRate(0.01, steps: 1))
        ], parameters: model.parameters, pool: pool)
      return Run(
        prepare: {
          for parameter in model.matrices {
            RandomStream(seed: 1, name: parameter.name).fill(
              normal: UnsafeMutableBufferPointer(
                start: parameter.gradient.base, count: parameter.count))
          }
        },
        step: {
          try optimizer.clip()
          return 0
        }, seconds: { optimizer.seconds })
    }
  }

  /// GPT-2's gradients of 8 contexts of 128 tokens with one next token each, and all singular values of its 48 matrices: a
  /// mini-batch of bad-token-spectra.
  private static let gpt2Spectra = StepBenchmark(name: "gpt2-spectra") { pool in
    let model = GPT(.gpt2, .gpt2)
    let stream = RandomStream(seed: 1, name: "probe")
    model.initialize(stream.child("weights"))
    let tape = Tape(pool: pool)
    let (tokens, targets) = (tape.indices([8, 128]), tape.indices([8]))
    let loss = model.nextLoss(tape, tokens, targets)
    for (index, part) in [tokens, targets].enumerated() {
      part.assign(
        (0..<part.count).map {
          Int32(stream.child("\(index)").integer(below: 50_257, at: $0))
        })
    }
    return Run(step: {
      tape.forward()
      tape.backward(from: loss)
      _ = try matrixSpectra(model, pool)
      return Double(loss.scalar)
    })
  }
}
