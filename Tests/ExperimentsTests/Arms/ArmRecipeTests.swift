// SPDX-License-Identifier: Apache-2.0

import Clipping
import Optimizers
import Testing

@testable import Experiments
@testable import Lab

/// Recipes of arms that have no goldens, and what the arms of several families must share.
@Suite struct ArmRecipeTests {
  private static let curves = Suite.clipping.experiments.compactMap {
    $0 as? any CurveExperiment.Type
  }

  /// Where an arm acts on one layer, its hyper-parameters within their ranges.
  private func site(_ arm: Arm) -> ArmSite {
    var values = Hyperparameters()
    for parameter in arm.hyperparameters { values[parameter.name] = parameter.value(at: 0.4) }
    return ArmSite(values: values, layers: ["w"], decomposition: .exact, seed: 1)
  }

  /// One SGD moves everything.
  private func expectSGD(_ arm: Arm, momentum: Double) throws {
    #expect(arm.optimizers.count == 1 && arm.optimizers[0].set == .all, "\(arm.name)")
    #expect(arm.clippedSet == .all && arm.schedule == nil, "\(arm.name)")
    let sgd = try #require(try arm.optimizers[0].make(site(arm)) as? SGD, "\(arm.name)")
    #expect(sgd.momentum == momentum && !sgd.nesterov && sgd.weightDecay == 0, "\(arm.name)")
  }

  private func expectNormClip(_ arm: Arm, _ formula: NormClip.Formula) throws {
    let clip = try #require(try arm.clip(site(arm)) as? NormClip, "\(arm.name)")
    #expect(clip.formula == formula, "\(arm.name)")
    #expect(clip.maximumNorm == site(arm).values["maximumNorm"], "\(arm.name)")
  }

  /// The threshold rule of an arm that clips singular values.
  private func rule(_ arm: Arm) throws -> ThresholdRule {
    let clip = try #require(try arm.clip(site(arm)) as? LayerwiseSpectralClip, "\(arm.name)")
    #expect(clip.operation == .exact && clip.layers == ["w"], "\(arm.name)")
    return clip.thresholds[0].rule
  }

  @Test func alexNetsArmsAreTheirRecipes() throws {
    #expect(AlexNetArms.microBatches == 4)
    for arm in AlexNetArms.all {
      try expectSGD(arm, momentum: 0.9)
      let samples = ["sgdm-per-sample", "sgdm-per-sample-flat"]
      #expect(arm.needsSamples == samples.contains(arm.name), "\(arm.name)")
      #expect(arm.clippedMicroBatches == (arm.name == "sgdm-norm-before" ? 4 : nil))
      #expect(arm.accumulatedMicroBatches == (arm.name == "sgdm-norm-after" ? 4 : nil))
      switch arm.name {
      case "sgdm-none": #expect(try arm.clip(site(arm)) is NoClip)
      case "sgdm-norm", "sgdm-norm-before", "sgdm-norm-after": try expectNormClip(arm, .exact)
      case "sgdm-per-sample", "sgdm-per-sample-flat":
        let clip = try #require(try arm.clip(site(arm)) as? PerSampleClip)
        #expect(clip.moment == (arm.name == "sgdm-per-sample" ? 2 : .infinity))
        #expect(clip.scale == site(arm).values["scale"])
      case "sgdm-spectral-const": #expect(try rule(arm) == .constant(site(arm)("tau")))
      case "sgdm-spectral-quantile": break  // below
      default: Issue.record("no recipe of \(arm.name)")
      }
    }
  }

  @Test func theLSTMsArmsAreTheirRecipes() throws {
    for arm in LSTMArms.all {
      try expectSGD(arm, momentum: 0)
      #expect(!arm.needsSamples && arm.clippedMicroBatches == nil, "\(arm.name)")
      switch arm.name {
      case "sgd-norm-large", "sgd-norm-small": try expectNormClip(arm, .torch)
      case "sgd-none-large", "sgd-none-small": #expect(try arm.clip(site(arm)) is NoClip)
      case "sgd-spectral-large": #expect(try rule(arm) == .constant(site(arm)("tau")))
      default: Issue.record("no recipe of \(arm.name)")
      }
    }
  }

  /// Toy runs are shorter than the window, so no golden shows it.
  @Test func quantilesAreOfTheLastHundredValues() throws {
    var count = 0
    for arm in Self.curves.flatMap({ $0.arms }) {
      guard arm.hyperparameters.contains(where: { $0.name == "level" }) else { continue }
      let level = try site(arm)("level")
      #expect(
        try rule(arm) == .quantile(level: level, window: 100, .lowerOrderStatistic), "\(arm.name)")
      count += 1
    }
    #expect(count == 12)
  }

  /// An arm that is named after its δ has it in the file that its experiment reads.
  @Test func deltaIsWhatTheNameSays() throws {
    let root = try #require(Paths().root)
    for (name, arms, exponents) in [
      ("delta-gclip-vit", ViTArms.all, ViTArms.exponents),
      ("delta-gclip-resnet18", ResNetArms.all, ResNetArms.exponents),
    ] {
      let tuned = try TunedHyperparameters.read(
        "\(root)/experiments/\(name)/tuned.yaml", arms: arms)
      for exponent in exponents {
        let arm = try arms.named(DeltaGClipArms.deltaName(exponent), place: "test")
        let values = try #require(tuned[arm.name])
        let site = ArmSite(values: values, layers: ["w"], decomposition: .exact, seed: 1)
        let clip = try #require(try arm.clip(site) as? DeltaNormClip)
        var want = 1.0
        for _ in 0 ..< -exponent { want /= 10 }
        #expect(abs(clip.minimumFactor - want) <= 1e-12 * want, "\(name), \(arm.name)")
        #expect(arm.name.hasSuffix("1e\(exponent)") && arm.title.hasSuffix("1e\(exponent)"))
      }
    }
  }
}
