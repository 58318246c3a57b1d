// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Testing

@testable import Experiments
@testable import Lab

/// The search of hyper-parameters on losses that are known in closed form, and on small trainings.
struct SearchTests {
  private let rate = Hyperparameter.logarithmic("learningRate", 1e-4, 0.1)
  private let tau = Hyperparameter.logarithmic("tau", 0.01, 10)
  private let level = Hyperparameter.linear("level", 0.5, 0.99, limits: 0...1)
  private let plan = SearchKeys(
    candidates: 27, rounds: 3, rungs: 3, reduction: 3, confirmationSeeds: [2001, 2002], methods: [])

  /// A search whose trials end with `loss` of the hyper-parameters, times one plus `noise` by seed and candidate.
  private func searched(
    _ parameters: [Hyperparameter], plan: SearchKeys? = nil, name: String = "test",
    noise: Double = 0, fraction: @escaping (Hyperparameters) -> Double = { _ in 1 },
    loss: @escaping (Hyperparameters) -> Double
  ) -> HyperparameterSearch {
    var search = HyperparameterSearch(
      parameters, plan ?? self.plan, seed: 1000, stream: RandomStream(seed: 0, name: name))
    search.run { search, trials, _ in
      trials.map { trial in
        var trial = trial
        let values = search.values(trial.candidate)
        var draw = RandomStream(seed: trial.seed, name: "noise").at(step: trial.candidate).cursor()
        trial.loss = loss(values) * (1 + noise * (draw.uniform() - 0.5)) * (2 - trial.fraction)
        trial.steps = Int(900 * trial.fraction)
        trial.clippedFraction = fraction(values)
        return trial
      }
    }
    return search
  }

  private func distance(_ value: Double?, _ best: Double) -> Double {
    abs(log10((value ?? .nan) / best))
  }

  @Test(arguments: [(3e-3, 0.5), (1.5e-4, 8), (0.4, 0.002), (2e-5, 40)])
  func theOptimumIsFoundInsideTheRangeAndBeyondIt(_ bestRate: Double, _ bestTau: Double) throws {
    for name in ["a", "b", "c"] {
      let search = searched([rate, tau], name: name) { values in
        let (x, y) = (
          distance(values["learningRate"], bestRate), distance(values["tau"], bestTau)
        )
        return 1 + x * x + y * y
      }
      let winner = try #require(search.winner)
      let values = search.values(winner.trial.candidate)
      #expect(distance(values["learningRate"], bestRate) < 0.35, "\(values)")
      #expect(distance(values["tau"], bestTau) < 0.35, "\(values)")
      #expect(search.atEdge(winner.trial.candidate).isEmpty, "\(values) in \(search.ranges)")
      // Both ranges hold what they held before, and what was found.
      for (range, parameter) in zip(search.ranges, [rate, tau]) {
        #expect(range.lowerBound <= 0 && range.upperBound >= 1)
        #expect(range.contains(parameter.fraction(of: try values(parameter.name))))
      }
    }
  }

  @Test func everyArmGetsTheSameCompute() throws {
    let found = [[rate], [rate, tau], [rate, level]].map { parameters in
      searched(parameters) { values in 1 + distance(values["learningRate"], 50) }
    }
    for search in found {
      #expect(
        search.trials.reduce(0) { $0 + $1.steps } == found[0].trials.reduce(0) { $0 + $1.steps })
      #expect(search.trials.count == plan.trialCount)
    }
    // 27 for a ninth, 9 for a third, 3 for the whole length, three rounds, and 3 x 2 for a half.
    #expect(plan.work(continuing: false) == 3 * (27.0 / 9 + 9.0 / 3 + 3) + 3)
    #expect(
      abs(plan.work(continuing: true) - (3 * (3 + 9.0 * (2.0 / 9) + 3 * (2.0 / 3)) + 3)) < 1e-12)
    #expect(plan.trialCount == 3 * 39 + 6)
    // Confirmed at the whole length; at half of it, as it was before it could be set, records keep their keys.
    var whole = plan
    whole.confirmationFraction = 1
    #expect(whole.work(continuing: false) == plan.work(continuing: false) + 3)
    let confirmed = searched([rate, tau], plan: whole) { distance($0["tau"], 1) + 1 }
    #expect(confirmed.trials.filter(\.isConfirmation).allSatisfy { $0.fraction == 1 })
    let config = MLPSearch.defaults
    var longer = config
    longer.confirmationFraction = 1
    #expect(try !config.lines.contains { $0.hasPrefix("confirmationFraction") })
    #expect(try longer.lines.contains("confirmationFraction = 1e+0"))
    longer.confirmationFraction = 0
    #expect(throws: ConfigError.self) { try longer.checked() }
  }

  @Test func aFractionEndsAtItsLimit() throws {
    let search = searched([rate, level]) { values in
      2 - (values["level"] ?? 0) + pow(distance(values["learningRate"], 1e-3), 2)
    }
    let winner = try #require(search.winner)
    #expect(try search.values(winner.trial.candidate)("level") <= 1)
    #expect(search.ranges[1].upperBound == level.hardFractions.upperBound)
    #expect(search.atEdge(winner.trial.candidate).isEmpty)
  }

  @Test func anEdgeThatTheRangeNeverLeavesIsNamed() throws {
    // Without a second round nothing can grow.
    var short = plan
    short.rounds = 1
    let search = searched([rate], plan: short) { values in distance(values["learningRate"], 1e6) }
    let winner = try #require(search.winner)
    let edges = search.atEdge(winner.trial.candidate)
    #expect(edges.count == 1 && edges[0].name == "learningRate" && !edges[0].isLow)
  }

  @Test func anArmWhoseRuleNeverActsIsSearchedWhereItActs() throws {
    // Below the threshold 0.1 the rule acts; above it everything is better, unclipped.
    let search = searched([rate, tau]) { values in
      (values["tau"] ?? 0) < 0.1 ? 1 : 0
    } loss: { values in
      ((values["tau"] ?? 0) < 0.1 ? 1 : 0.9) + pow(distance(values["learningRate"], 1e-3), 2)
    }
    let winner = try #require(search.winner)
    #expect(!winner.trial.isInert)
    #expect(try search.values(winner.trial.candidate)("tau") < 0.1)
    // at a ninth of the length, 17/9 times 0.9 and more
    #expect((search.betterInert?.loss ?? 2) < 1.89)
  }

  @Test func divergedTrialsNeverWin() throws {
    let search = searched([rate, tau]) { values in
      (values["learningRate"] ?? 0) > 1e-3 ? .nan : 1 + distance(values["learningRate"], 0.1)
    }
    let winner = try #require(search.winner)
    #expect(try search.values(winner.trial.candidate)("learningRate") <= 1e-3)
    // Where nothing comes through the whole length, later rounds draw lower rates, though higher ones look better while they last.
    var frail = HyperparameterSearch(
      [rate], plan, seed: 1, stream: RandomStream(seed: 0, name: "frail"))
    frail.run { search, trials, _ in
      trials.map { trial in
        var trial = trial
        let rate = search.values(trial.candidate)["learningRate"] ?? 1
        trial.clippedFraction = .nan
        trial.loss = rate * trial.fraction > 2e-5 ? .nan : 1 - rate
        return trial
      }
    }
    #expect(frail.winner != nil)
    let hopeless = searched([rate]) { _ in .nan }
    #expect(hopeless.winner == nil && hopeless.best == nil && hopeless.betterInert == nil)
  }

  @Test func freshSeedsDecide() throws {
    // Noise of ten percent over a flat loss: the lowest of one seed is luck, and the confirmation sees through it.
    let search = searched([rate], noise: 0.2) { _ in 1 }
    let winner = try #require(search.winner)
    let means = search.finalists.map { finalist in
      let losses = search.trials.filter { $0.isConfirmation && $0.candidate == finalist.candidate }
        .map(\.loss)
      #expect(losses.count == 2)
      return exp(Statistics.mean(losses.map { log($0) }))
    }
    let own = try #require(search.finalists.firstIndex { $0.candidate == winner.trial.candidate })
    #expect(abs(winner.confirmed - means[own]) < 1e-12)
    if winner.tiedWith == nil { #expect(means[own] == means.min()) }
    // Seeds that disagree as much as the finalists differ: a tie, and the lower worst loss wins.
    func decided(_ first: [Double], _ second: [Double]) -> HyperparameterSearch.Winner? {
      var short = plan
      (short.candidates, short.rounds, short.rungs) = (2, 1, 1)
      var search = HyperparameterSearch(
        [rate], short, seed: 1, stream: RandomStream(seed: 0, name: "tie"))
      search.run { _, trials, _ in
        trials.enumerated().map { index, trial in
          var trial = trial
          trial.clippedFraction = 1
          let losses = trial.candidate == 0 ? first : second
          trial.loss = trial.isConfirmation ? losses[index % 2] : Double(trial.candidate + 1)
          return trial
        }
      }
      return search.winner
    }
    let clear = decided([1, 1.1], [2, 2.2])
    #expect(clear?.trial.candidate == 0 && clear?.tiedWith == nil)
    let upset = decided([2, 2.2], [1, 1.1])
    #expect(upset?.trial.candidate == 1 && upset?.tiedWith == nil)
    let tie = decided([0.5, 2.1], [1, 1.1])
    #expect(tie?.trial.candidate == 1 && tie?.tiedWith == 0)
    // Log losses differ by 0.175 on average: more than the standard error 0.125, less than the
    // standard deviation 0.177.
    let narrow = decided([1, 1], [exp(0.3), exp(0.05)])
    #expect(narrow?.trial.candidate == 0 && narrow?.tiedWith == nil)
  }

  // MARK: - On small trainings

  private func config(_ change: (inout MLPSearch.Config) -> Void = { _ in }) -> MLPSearch.Config {
    var config = MLPSearch.defaults
    (config.inputs, config.hidden, config.samples, config.batchSize) = (6, [8], 60, 5)
    (config.steps, config.candidates, config.rounds, config.rungs) = (27, 9, 2, 3)
    (config.recordEvery, config.methods) = (3, ["sgdm-spectral-const"])
    change(&config)
    return config
  }

  @Test func goingOnIsTrainingFromTheStart() throws {
    // The rungs of a constant rate go on where the one before stopped: every full-length loss is that of a whole run.
    let scratch = Scratch()
    let config = config()
    let record = try run(MLPSearch.self, config, scratch.path).records[0]
    let arm = try MLPSearch.arms.named("sgdm-spectral-const", place: "")
    let (steps, rounds) = (try record.ints("steps"), try record.ints("round"))
    let (losses, rates) = (
      try record.doubles("final_train_loss"), try record.doubles("learningRate")
    )
    let rows = steps.indices.filter { steps[$0] == 27 && rounds[$0] >= 0 }
    #expect(rows.count == 2)  // nine, three, one: twice
    let fractions = try record.doubles("clipped_fraction")
    for row in rows {
      let whole = try TrainingRun<MLPTask>(
        config.settings, arm,
        ["learningRate": rates[row], "tau": try record.doubles("tau")[row]],
        MLPTask.load(config.settings, folder: ""), seed: 1000)
      var fraction = 0.0
      for step in 0..<27 {
        let isPoint = isRecorded(step, every: config.recordEvery, of: 27)
        let clip = try whole.advance(measuring: isPoint ? .clip : []).clip
        for layer in clip?.layers ?? [] {
          fraction = max(fraction, layer.statistics.clippedFraction)
        }
      }
      #expect(whole.objective() == losses[row])
      #expect(fractions[row] == fraction && fraction > 0)
    }
    #expect(steps.filter { $0 == 3 }.count == 18 && steps.filter { $0 == 9 }.count == 6)
    // The confirmation trains the finalists, here two, on both fresh seeds, for half the length.
    let seeds = try record.ints("seed")
    #expect(rounds.indices.filter { rounds[$0] < 0 }.map { steps[$0] } == [14, 14, 14, 14])
    #expect(Set(rounds.indices.filter { rounds[$0] < 0 }.map { seeds[$0] }) == [2001, 2002])
  }

  @Test func whatIsReportedDecidesNothing() throws {
    // Candidates of a language model are compared on training text that they do not see.
    var settings = LanguageSettings.nanoGPT
    (settings.contextLength, settings.corpus) = (8, .standIn)
    let data = try LanguageTask.load(settings, folder: "nowhere")
    let held = data.holdingOut()
    #expect(held.training + held.validation == data.training)
    #expect(held.validation.count == data.training.count / 10)
    #expect(held.digest != data.digest)
    let images = try ImageTask.load(
      {
        var settings = ImageSettings()
        (settings.images, settings.trainingImages, settings.testImages) = (.standIn, 50, 20)
        settings.batchSize = 10
        return settings
      }(), folder: "nowhere")
    let heldImages = try images.holdingOut()
    #expect(heldImages.data.training.count == 45 && heldImages.data.test.count == 5)
    #expect(heldImages.data.test == images.data.training.images(45..<50))
  }

  @Test func badPlansAreRefused() {
    for (override, mention) in [
      ("candidates=0", "candidates"), ("rounds=0", "rounds"), ("rungs=-1", "rungs"),
      ("reduction=1", "reduction"), ("seeds=[1, 2]", "one seed"), ("selection=test", "selection"),
    ] {
      let error = #expect(throws: ConfigError.self) {
        try MLPSearch.defaults.overlaid(yaml: "", file: "test.yaml", overrides: [override])
      }
      #expect("\(error.map(String.init(describing:)) ?? "")".contains(mention), "\(override)")
    }
  }
}
