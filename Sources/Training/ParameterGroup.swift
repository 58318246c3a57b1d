// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Optimizers

/// A learning rate over the steps of a run: a base rate times a schedule; over after `steps` steps.
public struct LearningRate: Equatable, Sendable {
  /// The rate that the schedule's factor multiplies.
  public let base: Double
  /// Its course.
  public let schedule: Schedule
  /// The length of the schedule in steps.
  public let steps: Int

  /// `base` times `schedule` over `steps` steps.
  public init(_ base: Double, _ schedule: Schedule = .constant, steps: Int) {
    (self.base, self.schedule, self.steps) = (base, schedule, steps)
  }

  /// The rate of step k, counted from 0; nil from step `steps` on.
  public func callAsFunction(_ k: Int) -> Double? {
    k < steps ? base * schedule.factor(step: k, of: steps) : nil
  }
}

/// Parameters that share an optimizer and a learning rate.
public struct ParameterGroup {
  /// Their names.
  public let names: [String]
  /// The optimizer with its state.
  public var optimizer: any Optimizer
  /// The rate; once it is over, the parameters stay as they are.
  public let rate: LearningRate

  /// The parameters `names`, moved by `optimizer` at `rate`.
  public init(_ names: [String], _ optimizer: any Optimizer, rate: LearningRate) {
    (self.names, self.optimizer, self.rate) = (names, optimizer, rate)
  }
}
