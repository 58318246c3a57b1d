// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra
import Models
import Storage
import Testing

@testable import Datasets
@testable import Experiments
@testable import Lab

/// What a record calls validation is measured on data that no step has seen: the loss in the record is that of the weights
/// beside it on the held-out part, computed here once more, and not that on the part trained on.
@Suite struct HeldOutTests {
  init() { _ = BLASEnvironment.pinned() }

  @Test func theMLPsValidationLossIsOfHeldOutSamples() throws {
    let scratch = Scratch()
    let (record, heldOut, trained) = try MLPHarness.reported(scratch.path)
    // Three layers in Float against Double.
    #expect(abs(record - heldOut) <= 1e-5 * heldOut, "\(record), not \(heldOut)")
    #expect(abs(record - trained) > 1e-2 * heldOut, "the two sets do not differ")
    let (seen, count, held) = MLPHarness.samplesSeen()
    #expect(count == 32 && held == 8 && seen == Set(0..<32))
  }

  @Test func theLanguageModelsValidationLossIsOfHeldOutTokens() throws {
    let block = 9
    let training = (0..<400).map { UInt16($0 * $0 % 11) }
    let validation = (0..<203).map { UInt16($0 % 10) }
    let scratch = Scratch()
    let got = try LanguageHarness.reported(
      training: training, validation: validation, sequences: (5, 22), block: block,
      below: scratch.path)
    let model = try GPT(loading: got.weights, form: .nanoGPT, heads: 2)
    func loss(_ tokens: [UInt16], _ count: Int) -> Double {
      // Sequences spread evenly over the text: the i-th of `count` is chunk ⌊i · chunks/count⌋.
      let chunks = (tokens.count - 1) / block
      let starts = (0..<count).map { $0 * chunks / count * block }
      let tape = Tape(isTraining: false)
      let (x, y) = (tape.indices([count, block]), tape.indices([count, block]))
      x.assign(starts.flatMap { tokens[$0..<($0 + block)].map { Int32($0) } })
      y.assign(starts.flatMap { tokens[($0 + 1)...($0 + block)].map { Int32($0) } })
      let loss = model.loss(tape, x, y)
      tape.forward()
      return Double(loss.scalar)
    }
    for (record, count) in [(got.point, 5), (got.end, 22)] {
      let heldOut = loss(validation, count)
      #expect(abs(record - heldOut) <= 1e-5 * heldOut, "\(record), not \(heldOut)")
      #expect(abs(record - loss(training, count)) > 1e-2, "the two texts do not differ")
    }
  }

  /// Batches lie within the training text, targets included.
  @Test(arguments: [false, true])
  func sequencesLieInTheTrainingText(_ gpt2: Bool) {
    let (starts, tokens, length) = LanguageHarness.startsSeen(gpt2: gpt2)
    #expect((starts.min() ?? -1) >= 0 && (starts.max() ?? tokens) + length + 1 <= tokens)
    #expect(starts.count > 50)
  }

  @Test func theImageNetworksValidationIsOfTestImages() throws {
    let scratch = Scratch()
    let got = try ImageHarness.reported(scratch.path)
    let model = try CifarNet(loading: got.weights)
    func evaluate(_ images: LabeledImages) -> (accuracy: Double, loss: Double) {
      let tape = Tape(isTraining: false)
      let x = tape.input([images.count, images.height, images.width, images.channels])
      let logits = model.logits(tape, x, whiteningBias: .frozen)
      let normalization = got.data.normalization
      x.assign(
        images.pixels.enumerated().map {
          (Float($1) / 255 - normalization.mean[$0 % 3]) / normalization.deviation[$0 % 3]
        })
      tape.forward()
      return judged(logits.array, images.labels)
    }
    let heldOut = evaluate(got.data.test)
    #expect(abs(got.loss - heldOut.loss) <= 1e-5 * heldOut.loss, "\(got.loss), \(heldOut.loss)")
    #expect(got.accuracy == heldOut.accuracy)
    let trained = evaluate(got.data.training)
    #expect(abs(got.loss - trained.loss) > 1e-3, "the two sets do not differ")
  }

  /// One pass over the whole of each column, so that the state is carried through all windows.
  @Test func theLSTMsValidationLossIsOfHeldOutWords() throws {
    let training = (0..<61).map { UInt16($0 * $0 % 11) }
    let validation = (0..<53).map { UInt16($0 * 7 % 10) }
    let data = LanguageData(
      name: "numbers", isStandIn: false, vocabulary: 11, training: training,
      validation: validation, digest: ""
    ) { _ in "" }
    var settings = LSTMSettings()
    (settings.embedding, settings.hidden, settings.length) = (4, 6, 5)
    (settings.batchSize, settings.evaluationColumns) = (2, 2)
    let task = try LSTMTask(settings, LSTMArms.all[0], data, seed: 1, pool: .single)
    for parameter in task.parameters {
      let weights = ClosedForm.weights(parameter.name, shape: parameter.shape)
      parameter.tensor.assign(weights.map { 3 * $0 })
    }
    func loss(_ tokens: [UInt16]) -> Double {
      let rows = tokens.count / 2
      let used = (rows - 1) / 5 * 5
      let tape = Tape(isTraining: false)
      let (x, y) = (tape.indices([used, 2]), tape.indices([used, 2]))
      x.assign((0..<used).flatMap { [Int32(tokens[$0]), Int32(tokens[rows + $0])] })
      y.assign((1...used).flatMap { [Int32(tokens[$0]), Int32(tokens[rows + $0])] })
      let loss = task.model.loss(tape, x, y, task.model.states(count: 2))
      tape.forward()
      return Double(loss.scalar)
    }
    let (got, heldOut) = (task.evaluate()[0], loss(validation))
    #expect(abs(got - heldOut) <= 1e-5 * heldOut, "\(got), not \(heldOut)")
    #expect(abs(got - loss(training)) > 1e-2, "the two texts do not differ")
    #expect(task.objective(finalTrainLoss: .nan) == got)
  }

  @Test func theTransformersValidationIsOfTestImages() throws {
    func part(_ name: String, _ count: Int) -> LabeledImages {
      LabeledImages(
        height: 32, width: 32, channels: 3,
        pixels: ClosedForm.integers("held.\(name)", count * 3072, below: 256).map { UInt8($0) },
        labels: ClosedForm.integers("held.\(name).labels", count, below: 10).map { UInt8($0) })
    }
    let data = ImageData(
      name: "closed form", isStandIn: true, classes: (0..<10).map(String.init),
      training: part("training", 7), test: part("test", 5), normalization: .cifar10, digest: "")
    var settings = ViTSettings()
    (settings.imageSide, settings.width, settings.layers, settings.heads) = (32, 6, 1, 2)
    settings.batchSize = 4
    let task = try ViTTask(
      settings, ViTArms.all[0], LoadedImages(data: data), seed: 1, pool: .single)
    for parameter in task.parameters {
      parameter.tensor.assign(ClosedForm.weights(parameter.name, shape: parameter.shape))
    }
    // Images as large as the network sees them are seen as they are.
    func evaluate(_ images: LabeledImages) -> (accuracy: Double, loss: Double) {
      let tape = Tape(isTraining: false)
      let x = tape.input([images.count, 32, 32, 3])
      let logits = task.model.logits(tape, x)
      x.assign(images.pixels.map { Float($0) / 255 })
      tape.forward()
      return judged(logits.array, images.labels)
    }
    let (got, heldOut) = (task.measure(), evaluate(data.test))
    #expect(abs(got.loss - heldOut.loss) <= 1e-5 * heldOut.loss, "\(got), not \(heldOut)")
    #expect(got.accuracy == heldOut.accuracy)
    #expect(abs(got.loss - evaluate(data.training).loss) > 1e-3, "the two sets do not differ")
  }

  /// Accuracy and mean cross-entropy of logits[B, 10].
  private func judged(_ logits: [Float], _ labels: [UInt8]) -> (accuracy: Double, loss: Double) {
    let z = logits.map(Double.init)
    var (correct, loss) = (0.0, 0.0)
    for (i, label) in labels.enumerated() {
      let own = z[(10 * i)..<(10 * i + 10)]
      correct += own.max() == own[10 * i + Int(label)] ? 1 : 0
      loss += log(own.reduce(0) { $0 + exp($1) }) - own[10 * i + Int(label)]
    }
    return (correct / Double(labels.count), loss / Double(labels.count))
  }

  /// Half of each logit is the image's, half its mirror image's; labels are right for the image's.
  @Test func theFinalAccuracyIsOverTheViews() throws {
    var settings = ImageSettings()
    (settings.widthDivisor, settings.batchSize, settings.finalViews) = (64, 1, .mirror)
    let (side, count) = (25, 16)
    // Gray images of 5 x 5 squares.
    let squares = ClosedForm.integers("views.squares", count * 25, below: 256).map { UInt8($0) }
    let pixels = (0..<count * side * side).map { pixel -> UInt8 in
      let (row, column) = (pixel / side % side, pixel % side)
      return squares[pixel / (side * side) * 25 + row / 5 * 5 + column / 5]
    }
    func task(labels: [UInt8]) throws -> ImageTask {
      let test = LabeledImages(
        height: side, width: side, channels: 1, pixels: pixels, labels: labels)
      let data = ImageData(
        name: "squares", isStandIn: true, classes: (0..<10).map(String.init),
        training: test.images(0..<1), test: test, normalization: .unit, digest: "")
      return try ImageTask(
        settings, ImageArms.all.named("cifarnet-none", place: "test"), PreparedImages(data),
        seed: 1, pool: .single)
    }
    let tape = Tape(isTraining: false)
    let x = tape.input([count, side, side, 1])
    let logits = try task(labels: Array(repeating: 0, count: count)).classifier
      .logits(tape, x, whiteningBias: .frozen)
    func outputs(mirrored: Bool) -> [Float] {
      x.assign(
        pixels.indices.map { pixel -> Float in
          let column = pixel % side
          return Float(pixels[mirrored ? pixel - column + side - 1 - column : pixel]) / 255
        })
      tape.forward()
      return logits.array
    }
    let (plain, mirrored) = (outputs(mirrored: false), outputs(mirrored: true))
    let labels = (0..<count).map { UInt8(largest(plain[(10 * $0)..<(10 * $0 + 10)])) }
    let want = judged(zip(plain, mirrored).map { ($0 + $1) / 2 }, labels).accuracy
    #expect(want < 1, "the mirror images make no difference")
    let summary = try task(labels: labels).summary(lastMetrics: [0, 0, 0, 1])
    #expect(summary["final_augmented_accuracy"] == .double(want))
    #expect(summary["final_val_accuracy"] == .double(1))
  }

  @Test func theAutoencodersLossesAreOfTheirSets() throws {
    let scratch = Scratch()
    let got = try VAEHarness.reported(scratch.path)
    func loss(_ images: LabeledImages, _ noise: [Float]) -> Double {
      let tape = Tape(isTraining: false)
      let x = tape.input([images.count, images.imageSize])
      let draws = tape.input([images.count, got.model.latent])
      x.assign(images.pixels.map { Float($0) / 255 })
      draws.assign(noise)
      let loss = got.model.loss(tape, x, noise: draws)
      tape.forward()
      return Double(loss.scalar) / Double(images.count)
    }
    let (test, training) = (got.data.test, got.data.training)
    #expect(test.count == 203 && training.count == 260)
    let (heldOut, trained) = (loss(test, got.noise.test), loss(training, got.noise.training))
    #expect(abs(got.test - heldOut) <= 1e-5 * heldOut, "\(got.test), not \(heldOut)")
    #expect(abs(got.training - trained) <= 1e-5 * trained, "\(got.training), not \(trained)")
    #expect(abs(heldOut - trained) > 1e-3 * trained, "the two sets do not differ")
  }

  // MARK: - The sets themselves

  private func digest<Word>(_ words: [Word]) throws -> String {
    Digest.sha256(of: words.withUnsafeBytes { Data($0) })
  }

  /// The text is cut once, after nine tenths; the part reported on has this digest.
  @Test func textsAreCutOnce() throws {
    let data = try LanguageData.load(.standIn, folder: "nowhere", block: 8)
    let text = try TextCorpus.load(.standIn, folder: "nowhere").text
    let cut = Int(0.9 * Double(text.unicodeScalars.count))
    #expect(data.training.count == cut)
    let symbols = Array(Set(text.unicodeScalars)).sorted()
    let ids = Dictionary(uniqueKeysWithValues: symbols.enumerated().map { ($1, UInt16($0)) })
    #expect(text.unicodeScalars.map { ids[$0] ?? .max } == data.training + data.validation)
    #expect(
      try digest(data.validation)
        == "29f6838ed9e031bfe91f94882f3b2aa7648313ad8adf32cdfa18650de002e75a")
  }

  /// No image is in both parts, whichever set it is; the part reported on has this digest.
  @Test func noImageIsInBothParts() throws {
    let data = try ImageData.load(.standIn, folder: "nowhere")
    #expect(data.training.count == 5000 && data.test.count == 1000)
    func hashes(_ images: LabeledImages) -> Set<Int> {
      let size = images.imageSize
      return images.pixels.withUnsafeBytes { bytes in
        Set(
          (0..<images.count).map { i in
            var hasher = Hasher()
            hasher.combine(
              bytes: UnsafeRawBufferPointer(rebasing: bytes[(i * size)..<((i + 1) * size)]))
            return hasher.finalize()
          })
      }
    }
    let (training, test) = (hashes(data.training), hashes(data.test))
    #expect(training.count == 5000 && test.count == 1000 && training.isDisjoint(with: test))
    #expect(
      try digest(data.test.pixels + data.test.labels)
        == "fdbfda32c8616ef8d5698508ecc94f68728c06c38392d7e0f7f60ef78e6c3616")
    // A smaller set is the beginning of each part.
    let first = data.first(training: 7, test: 3)
    #expect(first.training == data.training.images(0..<7))
    #expect(first.test == data.test.images(0..<3))
  }

  /// The MLP's samples are drawn once; the last fifth is held out.
  @Test func samplesAreDrawnOnce() throws {
    let data = MLPTask.Source(MLPHeavyTails.defaults.settings).data(seed: 1)
    #expect(data.trainingCount == 8000 && data.validationCount == 2000)
    let rows = Set((0..<10_000).map { Array(data.x[(100 * $0)..<(100 * $0 + 4)]) })
    #expect(rows.count == 10_000)
    #expect(
      try digest(Array(data.x[800_000...]) + Array(data.y[8000...]))
        == "9805cdc2a8a6f98b6f4e05448928173157f689d465122a12164d6f0839a1da5c")
  }
}
