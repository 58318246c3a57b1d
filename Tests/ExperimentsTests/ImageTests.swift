// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Models
import Optimizers
import Storage
import Testing
import Training

@testable import Datasets
@testable import Experiments
@testable import Lab

/// The CIFAR-10 experiments at toy size, on generated images.
@Suite struct ImageTests {
  init() { _ = BLASEnvironment.pinned() }

  /// Three steps of eight images an epoch, two epochs, the whitening bias trained in the first.
  private func config(_ methods: [String]) throws -> CIFAR10ResNet18.Config {
    var config = CIFAR10ResNet18.defaults
    (config.images, config.trainingImages, config.testImages) = (.standIn, 24, 10)
    (config.widthDivisor, config.lossScale, config.batchSize) = (32, 62, 8)
    (config.epochs, config.whiteningEpochs, config.rank) = (2, 1, 2)
    (config.methods, config.seeds) = (methods, [1])
    for name in methods {
      var values = Hyperparameters()
      for parameter in try ImageArms.all.named(name, place: "test").hyperparameters {
        values[parameter.name] = parameter.name == "tau" ? 0.5 : parameter.value(at: 0.4)
      }
      config.hyperparameters[name] = values
    }
    return config
  }

  private func training(
    _ name: String, _ config: CIFAR10ResNet18.Config, _ images: PreparedImages? = nil
  ) throws -> TrainingRun<ImageTask> {
    try TrainingRun(
      config.settings, ImageArms.all.named(name, place: "test"),
      #require(config.hyperparameters[name]),
      images ?? ImageTask.load(config.settings, folder: "nowhere"), seed: 1)
  }

  /// Two steps of four images an epoch.
  private func short(_ methods: [String]) throws -> CIFAR10ResNet18.Config {
    var config = try config(methods)
    (config.trainingImages, config.batchSize, config.testImages) = (8, 4, 4)
    config.finalViews = .mirror
    return config
  }

  /// Gray images of 28×28 pixels, as Fashion-MNIST has them, train both networks.
  @Test(arguments: ["cifarnet-spectral", "resnet18-norm"])
  func imagesOfOneChannelTrain(_ method: String) throws {
    let scratch = Scratch()
    let folder = scratch.path + "/fashion-mnist"
    func write(_ name: String, _ shape: [Int], _ values: [UInt8]) throws {
      let sizes = shape.flatMap { [0, 0, UInt8($0 / 256), UInt8($0 % 256)] as [UInt8] }
      let header: [UInt8] = [0, 0, 8, UInt8(shape.count)] + sizes
      try AtomicFile.write(Data(header + values), to: "\(folder)/\(name)")
    }
    for (part, count) in [("train", 12), ("t10k", 4)] {
      let draws = RandomStream(seed: 3, name: part).uniforms(count * 28 * 28, as: Float.self)
      try write("\(part)-images-idx3-ubyte", [count, 28, 28], draws.map { UInt8(255 * $0) })
      try write("\(part)-labels-idx1-ubyte", [count], (0..<count).map { UInt8($0 % 10) })
    }
    var config = try short([method])
    config.images = .fashionMNIST
    let images = try ImageTask.load(config.settings, folder: scratch.path)
    #expect(images.data.training.channels == 1)
    let run = try training(method, config, images)
    try run.finish()
    let loss = run.pointLoss()
    #expect(loss.isFinite && run.trainer.divergedAt == nil)
    let metrics = run.task.evaluate()
    #expect(metrics.allSatisfy { $0.isFinite })
    // A file of weights says how many channels there are.
    let path = scratch.path + "/weights.safetensors"
    try run.task.save(to: path)
    let channels =
      try method.hasPrefix("cifarnet")
      ? CifarNet(loading: path).channels : ResNet(loading: path).channels
    #expect(channels == 1)
  }

  @Test(arguments: ["cifarnet-spectral", "resnet18-norm"])
  func threadsDoNotChangeABit(_ method: String) throws {
    let config = try short([method])
    let scratch = Scratch()
    let one = try run(CIFAR10ResNet18.self, config, scratch.path + "/1")
    let three = try run(CIFAR10ResNet18.self, config, scratch.path + "/2", threads: 3)
    expectEqual(one, three, "3 threads")
  }

  @Test func jobsAndKillsDoNotChangeABit() throws {
    var config = try short(["cifarnet-quantile"])
    config.seeds = [1, 2]
    let scratch = Scratch()
    let one = try run(CIFAR10ResNet18.self, config, scratch.path + "/1")
    let losses = try one.records.map { try $0.doubles("train_loss") }
    #expect(losses[0] != losses[1], "the seed matters")
    let two = try run(CIFAR10ResNet18.self, config, scratch.path + "/2", jobs: 2)
    expectEqual(one, two, "2 side by side")
    config.seeds = [1]
    let first = try RecordSet(folder: one.folder, records: [one.records[0]])
    // Before the whitening bias is fixed, as it is, and in the last epoch.
    for step in [1, 2, 3] {
      let place = scratch.path + "/killed\(step)"
      #expect(throws: Killed.self) {
        try run(CIFAR10ResNet18.self, config, place, checkpointSeconds: 0) { _, k in
          if k == step { throw Killed() }
        }
      }
      let resumed = try run(CIFAR10ResNet18.self, config, place)
      expectEqual(first, resumed, "killed before step \(step)")
    }
  }

  @Test func theRecordSaysWhatHappened() throws {
    let scratch = Scratch()
    let names = ["cifarnet-norm", "cifarnet-exact", "resnet18-muon"]
    let set = try run(
      CIFAR10ResNet18.self,
      CIFAR10ResNet18.resolve(
        config(names),
        RunFolders(folder: "nowhere", profile: "test", data: "nowhere", results: "nowhere")),
      scratch.path, jobs: 2)
    for (name, layers) in zip(names, [6, 6, 20]) {
      let record = try set.records(of: name)[0]
      #expect(try record.ints("step") == [1, 3, 6])
      #expect(try record.doubles("epoch") == [1 / 3.0, 1, 2])
      for key in ["train_loss", "val_loss", "grad_norm_pre"] {
        let values = try record.doubles(key)
        #expect(values.count == 3 && values.allSatisfy { $0 > 0 && $0.isFinite }, "\(name) \(key)")
      }
      for accuracy in try record.doubles("val_accuracy") {
        #expect(abs(10 * accuracy - (10 * accuracy).rounded()) < 1e-9 && accuracy <= 1)
      }
      #expect((0...1).contains(try record.double(attribute: "final_augmented_accuracy")))
      let sigma = try record.doubles("sigma_max", axes: 2).values
      #expect(sigma.count == 3 * layers && sigma.allSatisfy { $0 > 0 })
      #expect(try record.string(attribute: "data").contains("first 24 + 10 images"))
    }
    // The joint norm of the convolutions is what norm clipping leaves; a full SVD has no error, and leaves no more than τ.
    let norm = try set.records(of: "cifarnet-norm")[0]
    let limit = try norm.double(attribute: "maximumNorm")
    for (before, after) in try zip(norm.doubles("grad_norm_pre"), norm.doubles("grad_norm_post")) {
      #expect(abs(after - min(before, limit)) <= 1e-5 * limit)
    }
    #expect(try norm.doubles("clip_error", axes: 2).values.allSatisfy(\.isNaN))
    let exact = try set.records(of: "cifarnet-exact")[0]
    #expect(try exact.doubles("clip_error", axes: 2).values.allSatisfy { $0 == 0 })
    #expect(try exact.doubles("clipped_fraction", axes: 2).values.contains { $0 > 0 })
  }

  /// Worked out by hand for the paper's 8 epochs of 25 steps; the whitening bias stops after 3.
  @Test func ratesFallLinearlyEachOverItsOwnSteps() throws {
    var config = try config(["cifarnet-norm"])
    (config.epochs, config.whiteningEpochs) = (8, 3)
    (config.trainingImages, config.batchSize) = (50, 2)
    config.hyperparameters["cifarnet-norm"] = ["learningRate": 0.24, "maximumNorm": 1]
    let run = try training("cifarnet-norm", config)
    let groups = run.trainer.optimizer.groups
    let wanted: [(Int, [Double?])] = [
      (0, [0.24, 0.053, 0.67, 0.053]), (50, [0.18, 0.03975, 0.5025, 0.053 / 3]),
      (74, [0.1512, 0.03339, 0.4221, 0.053 / 75]), (75, [0.15, 0.033125, 0.41875, nil]),
      (199, [0.0012, 0.000265, 0.00335, nil]), (200, [nil, nil, nil, nil]),
    ]
    for (step, rates) in wanted {
      for (got, want) in zip(groups.map { $0.rate(step) }, rates) {
        #expect((got == nil) == (want == nil), "step \(step)")
        #expect(abs((got ?? 0) - (want ?? 0)) <= 1e-15, "step \(step)")
      }
    }
    let names = groups.map(\.names)
    #expect(names[0] == run.task.classifier.filterNames && names[0].count == 6)
    #expect(names[1].count == 6 && names[1].allSatisfy { $0.hasSuffix(".bias") })
    #expect(names[2] == ["head.weight"] && names[3] == ["whiten.bias"])
    // Nesterov's first step on a head entry 2 with gradient 3: 2 - 0.67·1.85·(3 + 2·0.004/0.67).
    let head = try #require(run.task.parameters.first { $0.name == "head.weight" })
    head.tensor.value.fill(2)
    for i in 0..<head.count { head.gradient.entries.base[i] = 3 }
    run.trainer.optimizer.move(step: 0)
    #expect(abs(Double(head.base[0]) + 1.7333) <= 1e-6)
  }

  @Test func theWhiteningBiasIsTrainedInItsEpochsOnly() throws {
    let run = try training("cifarnet-norm", config(["cifarnet-norm"]))
    func values(_ name: String) throws -> [Float] {
      for case .parameter(let parameter) in run.task.classifier.model.state
      where parameter.name == name { return parameter.tensor.array }
      throw Killed()
    }
    let weight = try values("whiten.weight")
    for step in 0..<6 {
      let (bias, head) = (try values("whiten.bias"), try values("head.weight"))
      try run.advance()
      #expect(try (values("whiten.bias") != bias) == (step < 3), "step \(step)")
      #expect(try values("head.weight") != head, "step \(step)")
    }
    #expect(try values("whiten.weight") == weight)
    #expect(weight.contains { $0 != 0 } && run.trainer.step == run.task.steps)
  }

  /// With rates too small to matter, a batch of eight in two parts has the loss and the gradients of two batches of four.
  @Test func partsAddUpToTheBatch() throws {
    var whole = try config(["cifarnet-none"])
    (whole.biasRate, whole.headRate, whole.decay, whole.microBatches) = (1e-30, 1e-30, 0, 2)
    whole.hyperparameters["cifarnet-none"] = ["learningRate": 1e-30, "momentum": 0.5]
    var half = whole
    (half.batchSize, half.microBatches) = (4, 1)
    let images = try ImageTask.load(whole.settings, folder: "nowhere")
    func gradients(_ run: TrainingRun<ImageTask>) -> [[Float]] {
      run.task.parameters.filter { run.task.classifier.filterNames.contains($0.name) }.map {
        Array(UnsafeBufferPointer(start: $0.gradient.entries.base, count: $0.count))
      }
    }
    let both = try training("cifarnet-none", whole, images)
    let report = try both.advance()
    let single = try training("cifarnet-none", half, images)
    var (loss, sums) = (0.0, [[Float]]())
    for part in 0..<2 {
      loss += try single.advance().loss / 2
      sums =
        part == 0
        ? gradients(single) : zip(sums, gradients(single)).map { zip($0, $1).map { $0 + $1 } }
    }
    #expect(abs(report.loss - loss) <= 1e-6 * loss && both.task.pending == single.task.pending)
    for (got, want) in zip(gradients(both), sums) {
      let size = want.reduce(0) { $0 + Double($1 * $1) }.squareRoot()
      let error = zip(got, want).reduce(0) { $0 + pow(Double($1.0 - $1.1 / 2), 2) }.squareRoot()
      #expect(size > 0 && error <= 1e-5 * size, "\(error) of \(size)")
    }
  }

  @Test func theSearchWritesWhatTheExperimentsRead() throws {
    var config = CIFAR10Search.defaults
    (config.images, config.trainingImages, config.testImages) = (.standIn, 16, 10)
    (config.widthDivisor, config.lossScale, config.batchSize) = (32, 62, 8)
    (config.epochs, config.candidates, config.rounds) = (1, 3, 1)
    config.methods = ["cifarnet-spectral"]
    let scratch = Scratch()
    let set = try run(CIFAR10Search.self, config, scratch.path + "/results", threads: 2)
    let companion = try #require(try CIFAR10Search.sideFiles(of: set).first)
    let folder = scratch.path + "/cifar10-resnet18"
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true)
    try companion.text.write(
      toFile: folder + "/tuned.yaml", atomically: true, encoding: .utf8)
    let chosen: Hyperparameters = [
      "learningRate": try set.records[0].double(attribute: "best_learningRate"),
      "tau": try set.records[0].double(attribute: "best_tau"),
    ]
    // The truncations take the values of the method that they truncate.
    var curves = try self.config([])
    curves.methods = ["cifarnet-exact", "cifarnet-spectral", "cifarnet-rank5"]
    let beside = scratch.path + "/cifar10-truncation"
    try FileManager.default.createDirectory(atPath: beside, withIntermediateDirectories: true)
    func folders(_ folder: String) -> RunFolders {
      RunFolders(folder: folder, profile: "quick", data: "nowhere", results: "nowhere")
    }
    for complete in [
      try CIFAR10ResNet18.resolve(curves, folders(folder)),
      try CIFAR10Truncation.resolve(curves, folders(beside)),
    ] {
      #expect(complete.hyperparameters.names.count == 3 && complete.trainingImages == 24)
      for method in curves.methods { #expect(complete.hyperparameters[method] == chosen) }
    }
    #expect(throws: ConfigError.self) {
      var other = CIFAR10Search.defaults
      other.methods = ["cifarnet-rank5"]
      _ = try CIFAR10Search.resolve(other, folders(folder))
    }
  }

  @Test func wrongSettingsAreOneClearLine() throws {
    func message(_ change: (inout CIFAR10ResNet18.Config) -> Void) -> String {
      var config = CIFAR10ResNet18.defaults
      change(&config)
      do {
        _ = try config.checked()
        try CIFAR10ResNet18.checkMethods(config)
        return ""
      } catch { return "\(error)" }
    }
    #expect(message { _ in } == "")
    #expect(message { $0.methods = ["cifarnet-nrom"] }.contains("did you mean 'cifarnet-norm'"))
    #expect(message { $0.batchSize = 60_000 }.contains("at most the 50000 training images"))
    #expect(message { $0.microBatches = 3 }.contains("'microBatches'"))
    #expect(message { $0.widthDivisor = 3 }.contains("'widthDivisor'"))
    #expect(message { $0.headRate = 0 }.contains("'headRate'"))
    #expect(message { $0.filterMomentum = 1 }.contains("'filterMomentum'"))
    #expect(message { $0.epochs = 0 }.contains("'epochs'"))
    #expect(
      message { $0.hyperparameters["cifarnet-none"] = ["learningRate": 1] }.contains("'momentum'"))
    // Images that a network does not take, and such as a shift leaves nothing of.
    func refusal(_ network: String, side: Int) -> String {
      let pixels = [UInt8](repeating: 1, count: 4 * side * side * 3)
      let images = LabeledImages(
        height: side, width: side, channels: 3, pixels: pixels, labels: [0, 1, 2, 3])
      let data = ImageData(
        name: "some", isStandIn: true, classes: ["a", "b", "c", "d"], training: images,
        test: images,
        normalization: .cifar10, digest: "")
      var settings = CIFAR10ResNet18.defaults.settings
      (settings.batchSize, settings.widthDivisor, settings.translate) = (4, 64, 4)
      do {
        _ = try ImageTask(
          settings, CIFAR10ResNet18.arms.named("\(network)-none", place: "here"),
          PreparedImages(data), seed: 1, pool: .single)
        return ""
      } catch { return "\(error)" }
    }
    #expect(refusal("cifarnet", side: 24).contains("CifarNet takes sides of 25 to 48"))
    #expect(refusal("resnet18", side: 4).contains("'translate'"))
    #expect(refusal("resnet18", side: 24) == "")
    // The stand-in has 5 000 images; a set without files is not replaced unless it may be.
    var large = CIFAR10ResNet18.defaults.settings
    (large.images, large.batchSize) = (.standIn, 6000)
    #expect(throws: StorageError.self) { try ImageTask.load(large, folder: "nowhere") }
    large.images = .cifar10Canonical
    #expect(throws: StorageError.self) { try ImageTask.load(large, folder: "nowhere") }
    (large.images, large.batchSize) = (.cifar10Exact, 100)
    #expect(try ImageTask.load(large, folder: "nowhere").isStandIn)
    var few = try config(["cifarnet-none"])
    few.batchSize = 30
    #expect(throws: ConfigError.self) { try training("cifarnet-none", few) }
  }
}
