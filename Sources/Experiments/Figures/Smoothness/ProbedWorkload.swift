// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra
import Storage
import Training

/// A workload whose smoothness is looked at, along the way of one of its arms.
package struct ProbedWorkload: Sendable {
  /// The method's name.
  let name: String
  /// In figures.
  let title: String
  /// The arm whose way it is.
  let arm: Arm
  /// The arms of its figure.
  let arms: [Arm]
  /// The figure, whose tuned.yaml has the arm's hyper-parameters.
  let tunedBy: String
  /// What the settings say, given as `key=value` each: training steps.
  let steps: @Sendable ([String]) throws -> Int
  /// All settings and what identifies the data, as lines; and the data's name.
  let identify: @Sendable ([String], _ folder: String) throws -> (lines: [String], data: String)
  /// What a step of it costs, and each gradient that is looked at on the way.
  let cost: @Sendable (Smoothness.Config) throws -> RunCost
  /// The points of a run, and the record's attributes.
  let measure:
    @Sendable (Smoothness.Config, UInt64, RunContext) throws -> (
      points: [SmoothnessPoint], attributes: Attributes
    )

  /// An arm of a figure, under `defaults` in place of the figure's own, which the experiment's settings may change.
  init<Figure: CurveExperiment>(
    _ name: String, _ title: String, _ figure: Figure.Type, arm: String,
    _ defaults: Figure.Task.Settings = Figure.defaults.settings
  ) {
    typealias Task = Figure.Task
    guard let arm = Figure.arms.first(where: { $0.name == arm }) else {
      preconditionFailure("no arm '\(arm)'")
    }
    (self.name, self.title, self.arm) = (name, title, arm)
    (arms, tunedBy) = (Figure.arms, Figure.name)
    @Sendable func settings(_ changes: [String]) throws -> Task.Settings {
      let config = try CurveConfig(defaults, methods: [arm.name], seeds: [1]).overlaid(
        yaml: "", file: "setting '\(name)'", overrides: changes)
      return config.settings
    }
    steps = { try settings($0).stepCount }
    identify = { changes, folder in
      let settings = try settings(changes)
      let source = try Task.load(settings, folder: folder)
      let config = CurveConfig(
        Task.resolved(settings, source), methods: [arm.name], seeds: [1])
      let own = Set(["methods", "seeds", "hyperparameters", "dataName", "dataDigest"])
      let lines = try config.lines.filter { line in !own.contains(String(line.prefix { $0 != " " }))
      }
      return (lines + ["data = \(source.digest)"], source.name)
    }
    cost = { config in
      try Task.cost(settings(config.changes(of: name)), arm, config.values(of: name))
    }
    measure = { config, seed, context in
      let settings = try settings(config.changes(of: name))
      let source = try context.data.source(of: Task.self, settings)
      let run = try TrainingRun<Task>(
        settings, arm, try config.values(of: name), source, seed: seed,
        pool: WorkerPool(threads: context.threads))
      let probe = SmoothnessProbe(
        run: run, batches: config.batches, gridPoints: config.gridPoints)
      let points = try context.points(probe, count: config.points)
      return (
        points,
        [
          "title": .string(title), "source": .string("arXiv 1905.11881"),
          "arm": .string(arm.name), "arm_title": .string(arm.title),
          "data_name": .string(source.name),
          "data_is_stand_in": .int(source.isStandIn ? 1 : 0), "batches": .int(config.batches),
          "parameters": .int(run.task.parameters.reduce(0) { $0 + $1.count }),
          "steps": .int(run.task.steps), "diverged_at": .int(run.trainer.divergedAt ?? -1),
        ]
      )
    }
  }
}

/// What a checkpoint of a run holds.
private struct Unfinished<Run: Codable>: Codable {
  var run: Run
  var points: [SmoothnessPoint]
}

extension RunContext {
  /// The points of a run, `count` of them evenly over its steps, from the checkpoint where there is one.
  fileprivate func points<Task: Workload>(
    _ probe: SmoothnessProbe<Task>, count: Int
  ) throws -> [SmoothnessPoint] {
    let run = probe.run
    let steps = run.task.steps
    var points: [SmoothnessPoint] = []
    var checkpoint = checkpoint(Unfinished<TrainingRun<Task>.State>.self)
    if let saved = try checkpoint?.load() {
      try run.restore(saved.run)
      points = saved.points
      advance(run.trainer.step)
    }
    while run.trainer.step < steps && !run.hasDiverged {
      let k = run.trainer.step
      try willStep?(k)
      if checkpoint?.isDue ?? false {
        try checkpoint?.save(Unfinished(run: try run.state(), points: points))
      }
      if k * count / steps > (k - 1) * count / steps || k == 0 {
        if let point = try probe.advance() { points.append(point) }
      } else {
        try run.advance()
      }
      if !run.hasDiverged { advance(1) }
    }
    advance(steps - run.trainer.step)
    return points
  }
}
