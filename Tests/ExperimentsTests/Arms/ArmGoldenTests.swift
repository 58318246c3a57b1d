// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Testing

@testable import Experiments
@testable import Lab

/// Every arm of every experiment against PyTorch (Goldens/make_arm_goldens.py), which states each arm's recipe on its
/// own: some steps from the same weights, batches and noise.
///
/// A new arm needs a row in that script. Where inputs change on purpose:
///
///     ARM_INPUTS=write swift test --filter ArmGoldenTests && python3 Tests/ExperimentsTests/Goldens/make_arm_goldens.py
@Suite struct ArmGoldenTests {
  init() { _ = BLASEnvironment.pinned() }

  private static func path(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Goldens/\(name).safetensors").path
  }

  /// The arms of a family, by name, and how one is trained.
  private struct Family: Sendable {
    let goldens: String
    let names: [String]
    let train: @Sendable (String, [String: Double], Int) throws -> ArmTrajectory

    static let mlp = Family(goldens: "arms-mlp", names: MLPHarness.names, train: MLPHarness.train)
    static let language = Family(
      goldens: "arms-language", names: LanguageHarness.names, train: LanguageHarness.train)
    static let images = Family(
      goldens: "arms-images", names: ImageHarness.names, train: ImageHarness.train)
    static let vae = Family(goldens: "arms-vae", names: VAEHarness.names, train: VAEHarness.train)

    static func classifier(_ kind: ClassifierHarness.Kind) -> Family {
      Family(goldens: "arms-\(kind.rawValue)", names: kind.names) {
        try ClassifierHarness.train(kind, $0, $1, steps: $2)
      }
    }
    static let all =
      [mlp, language, images, vae] + ClassifierHarness.Kind.allCases.map(classifier)

    /// Losses and final weights of an arm against the goldens.
    ///
    /// The generator measures, for every parameter, how far a trajectory goes astray whose gradients are wrong by 1e-6
    /// (images: 5e-6, encoders: 1e-5, single channels: 2e-5) of their norm at every step: what the gradients' own goldens allow (GoldenTests, GPTTests,
    /// ConvolutionalTests). Four times that, and the rounding of the weights, is the tolerance. It also
    /// refuses a golden that a small change of the recipe would leave within ten times the tolerance.
    func check(_ arm: String) throws {
      let file = try SafetensorsFile(ArmGoldenTests.path(goldens))
      let prefix = "\(arm)/"
      let own = file.entries.map(\.name).filter { $0.hasPrefix(prefix) }
      var hyperparameters: [String: Double] = [:]
      for name in own where name.hasPrefix(prefix + "hyper.") {
        hyperparameters[String(name.dropFirst(prefix.count + 6))] = try file.doubles(name)[0]
      }
      let losses = try file.doubles(prefix + "losses")
      let slack = try file.doubles(prefix + "losses.slack")
      let got = try train(arm, hyperparameters, losses.count)
      #expect(got.losses.count == losses.count)
      for (k, (a, b)) in zip(got.losses, losses).enumerated() {
        // A loss in Float is a sum of at most some hundred terms: 16 ulp.
        #expect(
          abs(a - b) <= 4 * slack[k] + 16 * 0x1p-23 * abs(b), "\(arm), loss \(k): \(a), not \(b)")
      }
      try checkWeights(arm, got.weights.sorted { $0.name < $1.name }, file, steps: losses.count)
    }

    private func checkWeights(
      _ arm: String, _ got: [(name: String, values: [Float])], _ file: SafetensorsFile, steps: Int
    ) throws {
      let names = got.map(\.name)
      let hash = Int(ClosedForm.hash(names.joined(separator: "\n")) >> 1)
      #expect(try file.ints("\(arm)/names")[0] == hash, "\(arm) has other parameters: \(names)")
      let (final, slack) = (try file.floats("\(arm)/final"), try file.doubles("\(arm)/slack"))
      let sketches = got.map { WeightSketch.of($0.values.map(Double.init)) }
      try #require(slack.count == got.count && final.count == sketches.map(\.count).reduce(0, +))
      var start = 0
      for (index, sketch) in sketches.enumerated() {
        var (error, size) = (0.0, 0.0)
        for (i, value) in sketch.enumerated() {
          let want = Double(final[start + i])
          error += (value - want) * (value - want)
          size += want * want
        }
        start += sketch.count
        // Every step rounds every weight, and the golden is rounded too.
        let rounding = 0x1p-24 * Double(steps + 1).squareRoot() * size.squareRoot()
        let allowed = 4 * slack[index] + 2 * rounding
        #expect(
          error.squareRoot() <= allowed,
          "\(arm), \(names[index]): off by \(error.squareRoot()), allowed \(allowed)")
      }
    }
  }

  @Test(arguments: MLPHarness.names)
  func anMLPArmIsItsRecipe(_ arm: String) throws { try Family.mlp.check(arm) }

  @Test(arguments: LanguageHarness.names)
  func aLanguageArmIsItsRecipe(_ arm: String) throws { try Family.language.check(arm) }

  @Test(arguments: ImageHarness.names)
  func anImageArmIsItsRecipe(_ arm: String) throws { try Family.images.check(arm) }

  @Test(arguments: VAEHarness.names)
  func anAutoencodersArmIsItsRecipe(_ arm: String) throws { try Family.vae.check(arm) }

  @Test(arguments: ClassifierHarness.Kind.resNet.names)
  func aResidualNetworksArmIsItsRecipe(_ arm: String) throws {
    try Family.classifier(.resNet).check(arm)
  }

  @Test(arguments: ClassifierHarness.Kind.vit.names)
  func aVisionTransformersArmIsItsRecipe(_ arm: String) throws {
    try Family.classifier(.vit).check(arm)
  }

  @Test(arguments: ClassifierHarness.Kind.bert.names)
  func anArmOfBERTIsItsRecipe(_ arm: String) throws { try Family.classifier(.bert).check(arm) }

  /// Toy matrices have no more than ten singular values.
  @Test func classifiersAreClippedAtRankTen() throws {
    #expect(
      try ClassifierHarness.decompositions()
        == Array(
          repeating: .sketch(rank: 10, oversampling: 5, powerIterations: 1), count: 3))
  }

  @Test func noGoldenIsLeftOver() throws {
    for family in Family.all {
      let file = try SafetensorsFile(Self.path(family.goldens))
      let names = Set(file.entries.map { String($0.name.split(separator: "/")[0]) })
      #expect(names == Set(family.names), "\(family.goldens)")
    }
  }

  /// The two experiments without goldens are those of ArmRecipeTests.
  @Test func everyOtherExperimentsArmsHaveGoldens() {
    let without = Suite.clipping.experiments.filter { experiment in
      guard let curves = experiment as? any CurveExperiment.Type else { return false }
      return !Family.all.contains { Set($0.names).isSuperset(of: curves.arms.map(\.name)) }
    }
    #expect(without.map { $0.name } == ["lstm-ptb", "per-sample-clipping"])
  }

  /// Batches and noise are those that the goldens were made with.
  @Test func inputsAreThoseOfTheGoldens() throws {
    let now =
      try MLPHarness.inputs() + LanguageHarness.inputs() + ImageHarness.inputs()
      + VAEHarness.inputs() + ClassifierHarness.inputs()
    if ProcessInfo.processInfo.environment["ARM_INPUTS"] == "write" {
      try SafetensorsFile.write(now, metadata: [], to: Self.path("arm-inputs"))
    }
    let file = try SafetensorsFile(Self.path("arm-inputs"))
    #expect(Set(file.entries.map(\.name)) == Set(now.map(\.entry.name)))
    for tensor in now {
      #expect(try file.entry(tensor.entry.name) == tensor.entry)
      #expect(try file.bytes(tensor.entry.name) == tensor.bytes, "\(tensor.entry.name)")
    }
  }

  /// Rates over a whole run, of which ten steps show only the beginning.
  @Test(arguments: LanguageHarness.names)
  func ratesFollowTheSchedule(_ arm: String) throws {
    let file = try SafetensorsFile(Self.path("arms-language"))
    let steps = try file.ints("\(arm)/rate.steps")
    let rates = try file.doubles("\(arm)/rate.factors")
    let total = try file.ints("\(arm)/rate.of")[0]
    #expect(steps.count == rates.count && steps.count > 3)
    for (step, rate) in zip(steps, rates) {
      let got = try LanguageHarness.rateFactor(arm, step: step, of: total)
      #expect(abs(got - rate) <= 1e-14, "\(arm), step \(step): \(got), not \(rate)")
    }
  }

  /// Every arm that clips singular values decomposes as its row says; toy filters have few of them.
  @Test(arguments: ImageHarness.names)
  func truncationsHaveTheirRank(_ arm: String) throws {
    let parts = arm.split(separator: "-")
    let hyperparameters: [String: [String: Double]] = [
      "spectral": ["learningRate": 1, "tau": 1], "exact": ["learningRate": 1, "tau": 1],
      "ema": ["learningRate": 1], "quantile": ["learningRate": 1, "level": 0.5],
    ]
    let suffix = String(parts[1])
    // Fig 5b names the rank; all others take that of airbench, 10.
    let rank = suffix.hasPrefix("rank") ? Int(suffix.dropFirst(4)) : suffix == "exact" ? 24 : 10
    let values = hyperparameters[suffix.hasPrefix("rank") ? "exact" : suffix]
    guard let values else { return }  // no clip of singular values
    #expect(try ImageHarness.clippedCount(arm, values) == rank, "\(arm)")
  }

  /// Settings that toy sizes replace are the authors' (their configuration files, and the paper where it says more).
  @Test func defaultsAreTheAuthors() {
    #expect(
      MLPHarness.defaults == [
        "inputs": 100, "hidden layers": 3, "widths": 100, "least width": 100, "samples": 10_000,
        "trained on": 0.8, "batch": 32, "replayed": 1, "noise probability": 0.1,
        "noise exponent": 1.1, "noise scale": 5, "steps": 30_000, "losses averaged": 25,
        "steps between points": 250,
      ])
    #expect(
      LanguageHarness.defaults == [
        [
          "layers": 6, "heads": 6, "width": 384, "context": 256, "dropout": 0.2, "batch": 64,
          "steps": 10_000, "rank": 3, "oversampling": 5, "power iterations": 2, "windows": 1,
        ],
        [
          "layers": 12, "heads": 12, "width": 768, "context": 1024, "dropout": 0, "batch": 128,
          "steps": 15_259, "rank": 64, "oversampling": 10, "power iterations": 2, "windows": 0,
        ],
      ])
    #expect(
      ImageHarness.defaults == [
        "widths' divisor": 1, "epochs": 8, "batch": 2000, "images summed": 2000, "parts": 1,
        "shift": 2, "flips": 1, "rank": 10, "oversampling": 5, "power iterations": 1, "views": 2,
      ])
    #expect(
      VAEHarness.defaults == [
        "training images": 60_000, "test images": 10_000, "hidden": 50, "latent": 50,
        "epochs": 200, "first decay": 99, "second decay": 149, "batch": 100,
      ])
    #expect(
      ClassifierHarness.defaults == [
        [
          "training images": 50_000, "test images": 10_000, "widths' divisor": 1, "epochs": 200,
          "first decay": 100, "second decay": 150, "batch": 512, "eighteen layers": 1,
        ],
        [
          "training images": 50_000, "test images": 10_000, "side": 64, "smallest crop": 0.05,
          "layers": 12, "heads": 3, "width": 192, "epochs": 100, "batch": 64,
          "authors' positions": 1,
        ],
        [
          "training texts": 16_000, "test texts": 2_000, "length": 300, "epochs": 15, "batch": 32,
        ],
      ])
  }
}
