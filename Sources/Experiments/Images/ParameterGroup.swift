import Autodiff
import Clipping
import LinearAlgebra
import Models
import Optimizers
import Training

/// Parameters that move at one rate, which falls linearly from `rate` to 0 over `steps` steps; after those they stay as
/// they are.
struct ParameterGroup {
  var update: Update
  let rate: Double
  let steps: Int

  /// The rate of step k, nil from the last step of the group on.
  func rate(at k: Int) -> Double? { k < steps ? rate * (1 - Double(k) / Double(steps)) : nil }
}

extension ParameterGroup {
  /// Convolutions, shifts, head and, where there is one, the whitening bias.
  static func groups(
    _ classifier: ImageClassifier, _ problem: ImageProblem, _ method: ImageMethod,
    _ values: ImageMethod.Values, stepsPerEpoch: Int, seed: UInt64, pool: WorkerPool
  ) throws -> [ParameterGroup] {
    func parameters(_ names: [String]) -> [Parameter] {
      classifier.model.parameters.filter { names.contains($0.name) }
    }
    let steps = problem.epochs * stepsPerEpoch
    // The authors divide the decay by the rate, so that the product is the same for both.
    func second(_ names: [String], rate: Double, steps: Int) throws -> ParameterGroup {
      let optimizer = SGD(
        momentum: problem.headMomentum, weightDecay: problem.decay / rate, nesterov: true)
      return ParameterGroup(
        update: try Update(NoClip(), optimizer, of: parameters(names), pool: pool), rate: rate,
        steps: steps)
    }
    let filters = ParameterGroup(
      update: try Update(
        try method.rule(values, classifier.filterNames, problem, seed: seed),
        method.optimizer(values, problem), of: parameters(classifier.filterNames), pool: pool),
      rate: values["learningRate"] ?? .nan, steps: steps)
    return [
      filters, try second(classifier.biasNames, rate: problem.biasRate, steps: steps),
      try second([classifier.headName], rate: problem.headRate, steps: steps),
    ]
      + (try classifier.whiteningBiasName.map {
        [
          try second(
            [$0], rate: problem.biasRate, steps: problem.whiteningEpochs * stepsPerEpoch)
        ]
      } ?? [])
  }
}
