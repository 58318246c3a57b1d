/// Steps of a paper-size MLP run for benchmarks: everything a run does but its records.
public final class MLPStepProbe {
  private let training: MLPTraining

  /// A run of `method` at the given hyper-parameters (name: value).
  public init(
    method: String, values: [String: Double], noiseProbability: Double = 0.1
  ) throws {
    var problem = MLPProblem()
    problem.noiseProbability = noiseProbability
    training = try MLPTraining(
      problem, MLPMethod.named(method, place: "benchmark"), values, seed: 1)
  }

  /// Trains `steps` steps; false if the run has diverged.
  public func run(steps: Int) -> Bool {
    for _ in 0..<steps {
      if training.divergedAt != nil { return false }
      training.advance()
    }
    return true
  }

  /// The mean of the last mini-batch losses.
  public var loss: Double { training.meanLoss(last: MLPTraining.window) }

  /// Seconds so far in forward, backward, clip and optimizer.
  public var seconds: [Double] {
    [
      training.seconds.forward, training.seconds.backward, training.update.seconds.clip,
      training.update.seconds.optimizer,
    ]
  }

  /// Share of clipped singular values of each layer in the last step.
  public var clippedShare: [Double] {
    training.update.statistics.map(\.clippedFraction)
  }
}
