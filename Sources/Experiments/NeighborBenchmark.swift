// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Clipping
import Datasets
import Lab
import LinearAlgebra
import Models
import Optimizers
import Training

extension StepBenchmark {
  /// Steps of the neighbouring papers' networks at their papers' sizes: the LSTM in 256 columns of 70 words, the autoencoder on
  /// 100 images, ViT-tiny on 64, MiniLM with a classifier on 32 texts of 64 tokens.
  static let neighbors: [StepBenchmark] = [
    lstm, autoencoder, transformer, encoder,
  ]

  private static let lstm = trainer(
    "lstm", LSTMTask.self, LSTMSettings(),
    try LSTMArms.all.named("sgd-norm-large", place: "benchmark"),
    ["learningRate": 1, "maximumNorm": 0.25],
    source: { settings in
      random(
        vocabulary: 10_000, training: settings.batchSize * (4 * settings.length + 2),
        validation: settings.evaluationColumns * (settings.length + 2))
    })

  private static let autoencoder = trainer(
    "vae", VAETask.self, VAESettings(), try VAEArms.all.named("adam", place: "benchmark"),
    ["learningRate": 1e-3]
  ) { ($0.images, $0.trainingImages, $0.testImages) = (.grayStandIn, 1000, 100) }

  private static let transformer = trainer(
    "vit-tiny", ViTTask.self, ViTSettings(), try ViTArms.all.named("adam", place: "benchmark"),
    ["learningRate": 5e-4]
  ) { ($0.images, $0.trainingImages, $0.testImages) = (.standIn, 640, 64) }

  /// Of the model itself: the workload's batches differ in length.
  private static let encoder = StepBenchmark(name: "bert-minilm") { pool in
    let model = BERT()
    let stream = RandomStream(seed: 1, name: "benchmark/bert")
    model.initialize(stream.child("weights"))
    let tape = Tape(pool: pool)
    let (tokens, mask, labels) = (
      tape.indices([32, 64]), tape.indices([32, 64]), tape.indices([32])
    )
    let loss = model.loss(tape, model.logits(tape, tokens, mask: mask), labels)
    func draws(_ name: String, _ count: Int, below limit: Int) -> [Int32] {
      (0..<count).map { Int32(1 + stream.child(name).integer(below: limit - 1, at: $0)) }
    }
    tokens.assign(draws("tokens", tokens.count, below: model.shape.vocabulary))
    mask.assign(Array(repeating: 1, count: mask.count))
    labels.assign(draws("labels", labels.count, below: model.shape.labels))
    let names = model.parameters.map(\.name)
    let optimizer = try ClippedOptimizer(
      NoClip(), on: names,
      then: [
        ParameterGroup(
          names, Adam(weightDecay: 0.01, isDecoupled: true),
          rate: LearningRate(1e-5, steps: 1_000_000))
      ], parameters: model.parameters, pool: pool)
    var step = 0
    return Run(
      step: {
        tape.forward()
        tape.backward(from: loss)
        try optimizer.clip()
        optimizer.move(step: step)
        step += 1
        return Double(loss.scalar)
      }, seconds: { optimizer.seconds })
  }
}
