import Storage

/// A training run that goes on step by step and can be saved between two steps.
package protocol StepTraining: AnyObject {
  /// Everything that a resumed run needs besides its settings.
  associatedtype State: Codable
  /// The step to be done next.
  var step: Int { get }
  /// The step at which the loss or a gradient left the range of numbers, nil while it has not.
  var divergedAt: Int? { get }
  /// The state between two steps.
  func state() throws -> State
  /// Takes over a state that `state()` gave.
  func restore(_ state: State) throws
}

/// What a checkpoint of a training run holds.
private struct Unfinished<State: Codable, Series: Codable>: Codable {
  package var training: State
  package var series: Series
}

extension RunContext {
  /// Trains for `steps` steps or until divergence, from the checkpoint where there is one, and makes the record.
  ///
  /// `advance` does a step and, at a point of the record (`every` steps, see `StepRecord`), adds to the series what
  /// there is to record. The checkpoint is there until `record` has returned.
  package func record<Training: StepTraining, Series: Codable>(
    _ training: Training, steps: Int, every: Int, from start: Series,
    advance body: (_ isPoint: Bool, _ series: inout Series) throws -> Void,
    record: (Series) throws -> Record
  ) throws -> Record {
    var series = start
    var checkpoint = checkpoint(Unfinished<Training.State, Series>.self)
    if let saved = try checkpoint?.load() {
      try training.restore(saved.training)
      series = saved.series
      advance(training.step)
    }
    while training.step < steps {
      let k = training.step
      try willStep?(k)
      if checkpoint?.isDue ?? false {
        try checkpoint?.save(Unfinished(training: try training.state(), series: series))
      }
      try body(StepRecord.isRecorded(k, every: every, of: steps), &series)
      if training.divergedAt != nil { break }
      advance(1)
    }
    advance(steps - training.step)
    let result = try record(series)
    try checkpoint?.remove()
    return result
  }
}
