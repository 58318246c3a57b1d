import Autodiff
import LinearAlgebra

/// Two optimizers for two groups of parameters, at the same learning rate: say Muon for the matrices and
/// Adam for everything else.
public struct GroupedOptimizer<First: Optimizer, Second: Optimizer>: Optimizer {
  private var first: First
  private var second: Second
  private let names: Set<String>

  /// `first` for the parameters in `names`, `second` for the others.
  public init(_ first: First, for names: [String], others second: Second) {
    (self.first, self.second, self.names) = (first, second, Set(names))
  }

  /// One step of each.
  public mutating func step(
    _ parameters: [Parameter], learningRate: Double, pool: WorkerPool
  ) {
    first.step(
      parameters.filter { names.contains($0.name) }, learningRate: learningRate, pool: pool)
    second.step(
      parameters.filter { !names.contains($0.name) }, learningRate: learningRate, pool: pool)
  }
}
