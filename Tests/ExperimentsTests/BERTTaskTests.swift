// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage
import Testing
import Training

@testable import Experiments
@testable import Lab

/// BERT on Emotion at toy size, on generated texts; encoders from files are toys, too.
@Suite struct BERTTaskTests {
  init() { _ = BLASEnvironment.pinned() }

  /// Three steps of eight texts an epoch, two epochs.
  private func config(_ methods: [String]) throws -> DeltaGClipBERT.Config {
    var config = DeltaGClipBERT.defaults
    (config.texts, config.encoder) = (.standIn, .seeded)
    (config.trainingTexts, config.testTexts, config.length) = (26, 10, 12)
    (config.width, config.layers, config.heads) = (6, 1, 2)
    (config.batchSize, config.epochs) = (8, 2)
    (config.methods, config.seeds) = (methods, [1])
    for name in methods {
      var values = Hyperparameters()
      for parameter in try BERTArms.all.named(name, place: "test").hyperparameters {
        values[parameter.name] = parameter.value(at: 0.4)
      }
      config.hyperparameters[name] = values
    }
    return config
  }

  private func task(_ settings: BERTSettings, _ source: EncodedTexts, seed: UInt64 = 1) throws
    -> BERTTask
  {
    try BERTTask(
      settings, BERTArms.all.named("adamw", place: "test"), source, seed: seed, pool: .single)
  }

  @Test func threadsJobsAndKillsDoNotChangeABit() throws {
    var config = try config(["adamw", "spectral-const", "spectral-quantile"])
    config.seeds = [1, 2]
    let scratch = Scratch()
    let one = try run(DeltaGClipBERT.self, config, scratch.path + "/1")
    try expectEqual(
      one, run(DeltaGClipBERT.self, config, scratch.path + "/2", jobs: 2, threads: 3), "3 threads")
    let losses = try one.records(of: "adamw").map { try $0.doubles("train_loss") }
    #expect(losses[0] != losses[1], "the seed matters")
    let place = scratch.path + "/killed"
    #expect(throws: Killed.self) {
      try run(DeltaGClipBERT.self, config, place, checkpointSeconds: 0) { _, step in
        if step == 4 { throw Killed() }
      }
    }
    try expectEqual(one, run(DeltaGClipBERT.self, config, place), "killed before step 4")
  }

  @Test func theRecordSaysWhatHappened() throws {
    let scratch = Scratch()
    let names = ["adamw", "gclip", "delta-gclip"]
    var given = try config(names)
    given.hyperparameters["gclip"]?["maximumNorm"] = 0.01
    given.hyperparameters["delta-gclip"]?["maximumNorm"] = 0.01
    given.hyperparameters["delta-gclip"]?["minimumFactor"] = 0.25
    let set = try run(
      DeltaGClipBERT.self,
      DeltaGClipBERT.resolve(
        given, RunFolders(folder: "nowhere", profile: "test", data: "nowhere", results: "nowhere")),
      scratch.path, jobs: 2)
    for record in set.records {
      #expect(try record.ints("step") == [1, 3, 6])
      let (accuracies, errors) = try (
        record.doubles("val_accuracy"), record.doubles("val_error")
      )
      for (accuracy, error) in zip(accuracies, errors) {
        #expect(accuracy >= 0 && accuracy <= 1 && abs(error - max(1 - accuracy, 0.05)) <= 1e-12)
      }
      #expect(try record.double(attribute: "final_val_error") == errors.last)
      #expect(try record.int(attribute: "data_is_stand_in") == 1)
      #expect(try record.int(attribute: "encoder_is_trained") == 0)
    }
    let gclip = try set.records(of: "gclip")[0]
    for after in try gclip.doubles("grad_norm_post") { #expect(abs(after - 0.01) <= 1e-7) }
    let delta = try set.records(of: "delta-gclip")[0]
    for (before, after) in try zip(
      delta.doubles("grad_norm_pre"), delta.doubles("grad_norm_post"))
    {
      #expect(before > 0.04 && abs(after - before / 4) <= 1e-5 * before)
    }
    let table = try DeltaGClipBERT.table(of: set)
    #expect(
      table.blocks.map(\.name).filter { !$0.hasPrefix("authors:") } == names + ["final"])
    #expect(table.blocks.contains { $0.name == "authors:delta-gclip" })
    let encoder = try DeltaGClipBERT.captionValues(of: set).first { $0.0 == "encoder" }
    #expect(encoder?.1.contains("seeded weights") ?? false)
    for claim in DeltaGClipBERT.claims {
      let verdict = try claim.evaluate(set).verdict
      let hasArms = !["deltagclip-bert-spectral", "deltagclip-bert-quantile"].contains(claim.id)
      #expect(verdict == (hasArms ? .inconclusive : .needsRecords), "\(claim.id)")
    }
  }

  @Test func trainingLearns() throws {
    var given = try config(["adamw"])
    (given.trainingTexts, given.epochs, given.width) = (16, 40, 24)
    let run = try TrainingRun<BERTTask>(
      given.settings, BERTArms.all.named("adamw", place: "test"), ["learningRate": 0.01],
      BERTTask.load(given.settings, folder: "nowhere"), seed: 1)
    let first = try run.advance().loss
    while run.trainer.step < run.task.steps - 2 { try run.advance() }
    let last = try (0..<2).map { _ in try run.advance().loss }
    #expect(last[0] + last[1] < first, "\(first) to \(last)")
  }

  // MARK: - Encoders from files

  /// A folder with Emotion, three lines a part, others in each, and a BERT of two blocks without
  /// prefix, pooler and classifier.
  private func folder(_ scratch: borrowing Scratch, vocabulary extra: [String] = []) throws
    -> String
  {
    let place = scratch.path + "/data"
    for name in ["emotion", "minilm"] {
      try FileManager.default.createDirectory(
        atPath: "\(place)/\(name)", withIntermediateDirectories: true)
    }
    for (part, texts) in [
      ("train", "a good day;joy\nbad day;anger\na a a day;love\n"),
      ("val", "good good day;love\na bad day;joy\nday;anger\n"),
      ("test", "bad good day;sadness\na day a;fear\nbad;joy\n"),
    ] {
      try AtomicFile.write(texts, to: "\(place)/emotion/\(part).txt")
    }
    let pieces =
      ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "never", "day", "a", "good", "nor", "ba", "##d"] + extra
    try AtomicFile.write(
      pieces.map { $0 + "\n" }.joined(), to: place + "/minilm/vocab.txt")
    var shape = BERT.Shape()
    (shape.vocabulary, shape.positions, shape.layers, shape.heads) = (11, 16, 2, 2)
    (shape.width, shape.hidden) = (8, 16)
    let model = BERT(shape)
    model.initialize(RandomStream(seed: 9, name: "toy"))
    let tensors = model.parameters.filter {
      !$0.name.contains("pooler") && !$0.name.contains("classifier")
    }.map {
      SafetensorsTensor(
        String($0.name.dropFirst("bert.".count)), shape: $0.shape, floats: $0.tensor.array)
    }
    try SafetensorsFile.write(tensors, to: place + "/minilm/model.safetensors")
    return place
  }

  private var toy: BERTSettings {
    var settings = BERTSettings()
    (settings.heads, settings.layers, settings.length, settings.batchSize) = (2, 1, 10, 2)
    return settings
  }

  @Test func anEncoderIsCutCompletedAndSavedWhole() throws {
    let scratch = Scratch()
    let place = try folder(scratch)
    let source = try BERTTask.load(toy, folder: place)
    #expect(source.name == "Emotion" && !source.isStandIn)
    // [PAD], [CLS], [SEP], day, a, good, ba, ##d; nothing for "never", "nor" and [UNK].
    #expect(source.pieces == [0, 2, 3, 5, 6, 7, 9, 10])
    #expect(source.training.tokens[1] == [1, 6, 7, 3, 2])
    let (one, two) = (try task(toy, source), try task(toy, source, seed: 2))
    let whole = try BERT.load(
      place + "/minilm/model.safetensors", heads: 2,
      completing: RandomStream(seed: 1, name: "bert").child("weights")
    ).model
    let names = ["bert.embeddings.word_embeddings.weight", "classifier.weight"]
    for (own, other) in zip(one.parameters, two.parameters) {
      let given = try #require(whole.parameters.first { $0.name == own.name })
      if own.name == names[0] {
        let rows = source.pieces.flatMap { given.tensor.array[(8 * $0)..<(8 * $0 + 8)] }
        #expect(own.tensor.array == rows && other.tensor.array == rows)
      } else {
        #expect(own.tensor.array == given.tensor.array, "\(own.name)")
      }
    }
    #expect(
      one.parameters.last { $0.name == names[1] }?.tensor.array
        != two.parameters.last { $0.name == names[1] }?.tensor.array, "the seed's own head")
    #expect(
      one.summary(lastMetrics: [])["completed"]
        == "bert.pooler.dense.weight, bert.pooler.dense.bias, classifier.weight, classifier.bias")
    #expect(!one.parameters.contains { $0.name.contains("layer.1.") })
    // What is saved has the whole vocabulary again.
    one.parameters[0].base[8] = 42  // [CLS], which is piece 2
    let path = scratch.path + "/saved.safetensors"
    try one.save(to: path)
    let saved = try BERT.load(path, heads: 2).model
    var want = whole.parameters[0].tensor.array
    want[16] = 42
    #expect(saved.shape.layers == 1 && saved.parameters[0].tensor.array == want)
  }

  /// Padding and company change nothing: each text alone has the same logits' loss.
  @Test func theLossOfABatchIsTheMeanOfItsTexts() throws {
    let scratch = Scratch()
    let source = try BERTTask.load(toy, folder: folder(scratch))
    let task = try task(toy, source)
    let together = task.evaluate()
    var losses = [Double]()
    for text in source.test.tokens.indices {
      let tape = Tape()
      let tokens = source.test.tokens[text]
      let (ids, mask) = (tape.indices([1, tokens.count]), tape.indices([1, tokens.count]))
      let labels = tape.indices([1])
      source.test.fill(
        [text], length: tokens.count, tokens: ids.base, mask: mask.base, labels: labels.base)
      let loss = task.model.loss(tape, task.model.logits(tape, ids, mask: mask), labels)
      tape.forward()
      losses.append(Double(loss.scalar))
    }
    #expect(abs(together[1] - losses.reduce(0, +) / 3) <= 1e-5, "\(together) \(losses)")
  }

  /// A search compares candidates on the validation texts, and never on those that are reported.
  @Test func aSearchHoldsOutTheValidationTexts() throws {
    let scratch = Scratch()
    let source = try BERTTask.load(toy, folder: folder(scratch))
    let held = source.holdingOut()
    #expect(held.test.tokens == source.validation.tokens && held.test.labels == [2, 1, 3])
    #expect(held.test.tokens != source.test.tokens)
    #expect(held.training.tokens == source.training.tokens)
  }

  @Test func missingWeightsAreSaid() throws {
    let scratch = Scratch()
    let place = try folder(scratch)
    try FileManager.default.removeItem(atPath: place + "/minilm")
    var settings = toy
    settings.width = 6
    let source = try BERTTask.load(settings, folder: place)
    #expect(source.isStandIn && source.name == "Emotion, MiniLM missing: seeded weights")
    settings.encoder = .seeded
    let meant = try BERTTask.load(settings, folder: place)
    #expect(!meant.isStandIn && meant.name == "Emotion")
    #expect(meant.pieces.count == 8, "[PAD], [UNK], [CLS], [SEP], a, day, good, bad")
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let scratch = Scratch()
    let place = try folder(scratch)
    func message(_ change: (inout BERTSettings) -> Void) -> String {
      do {
        var settings = toy
        change(&settings)
        let source = try BERTTask.load(settings, folder: place)
        _ = try task(settings, source)
        return ""
      } catch { return "\(error)" }
    }
    #expect(message { _ in } == "")
    #expect(message { $0.length = 17 }.contains("16 positions"))
    #expect(message { $0.layers = 3 }.contains("2 blocks"))
    #expect(message { $0.heads = 3 }.contains("3 heads do not divide"))
    #expect(message { $0.batchSize = 4 }.contains("3 training texts"))
    try AtomicFile.write(" ;joy\n", to: place + "/emotion/train.txt")
    #expect(message { _ in }.contains("no token"))
    _ = try folder(scratch, vocabulary: ["more"])
    #expect(message { _ in }.contains("12 pieces"))
    try FileManager.default.removeItem(atPath: place + "/minilm/vocab.txt")
    #expect(message { _ in }.contains("vocab.txt"))
  }

  @Test(arguments: [
    ("batchSize=16001", "batchSize"), ("epochs=0", "epochs"), ("heads=5", "divisor of the width"),
    ("length=2", "length"), ("encoder=none", "encoder"), ("texts=imdb", "texts"),
    ("methods=[sgd]", "sgd"),
  ])
  func badSettingsAreRefused(_ override: String, _ mention: String) {
    do {
      try DeltaGClipBERT.checkMethods(
        DeltaGClipBERT.defaults.overlaid(yaml: "", file: "test.yaml", overrides: [override]))
      Issue.record("\(override) was accepted")
    } catch { #expect("\(error)".contains(mention), "\(error)") }
  }
}
