// SPDX-License-Identifier: Apache-2.0

import Clipping
import Foundation
import LinearAlgebra
import Storage
import Training

/// What a run has recorded so far: one value a point, or one a point and layer.
struct RecordedSeries: Codable {
  var step: [Int] = []
  var values: [String: [Double]] = [:]
  var layers: [String: [Double]] = [:]

  mutating func add(_ name: String, _ value: Double) { values[name, default: []].append(value) }
}

/// What a checkpoint of a run holds.
private struct Unfinished<Run: Codable>: Codable {
  var run: Run
  var series: RecordedSeries
}

extension RunContext {
  /// Trains a run to its end or to divergence, from the checkpoint where there is one, and makes its record.
  package func record<Task: Workload>(
    _ run: TrainingRun<Task>, _ arm: Arm, _ values: Hyperparameters,
    _ settings: Task.Settings, _ source: Task.Source
  ) throws -> Record {
    let (trainer, task) = (run.trainer, run.task)
    var series = RecordedSeries()
    var checkpoint = checkpoint(Unfinished<TrainingRun<Task>.State>.self)
    if let saved = try checkpoint?.load() {
      do { try run.restore(saved.run) } catch {
        throw StorageError(
          "its state is not this run's: \(error)", at: checkpoint?.path ?? "a checkpoint",
          hint: "delete it to start anew")
      }
      series = saved.series
      advance(trainer.step)
    }
    while trainer.step < task.steps && !run.hasDiverged {
      let k = trainer.step
      try willStep?(k)
      if checkpoint?.isDue ?? false {
        try checkpoint?.save(Unfinished(run: try run.state(), series: series))
      }
      let isPoint = isRecorded(k, every: task.stepsPerPoint, of: task.steps)
      let report = try run.advance(measuring: isPoint ? task.measuring : [])
      if run.hasDiverged { break }
      if isPoint { append(report, run, to: &series) }
      advance(1, status: status(report, trainer.optimizer.learningRate(step: k)))
    }
    advance(task.steps - trainer.step)
    let record = try make(run, arm, values, settings, source, series)
    if let weightsPath { try task.save(to: weightsPath) }
    return record
  }

  /// "loss 2.31, rate 0.01".
  private func status(_ report: StepReport, _ rate: Double?) -> String {
    String(format: "loss %.4g", report.loss)
      + (rate.map { String(format: ", rate %.3g", $0) } ?? "")
  }

  private func append<Task: Workload>(
    _ report: StepReport, _ run: TrainingRun<Task>, to series: inout RecordedSeries
  ) {
    let task = run.task
    series.step.append(run.trainer.step)
    series.add("train_loss", run.pointLoss())
    for (metric, value) in zip(Task.metrics, task.evaluate()) { series.add(metric.name, value) }
    series.add("model_seconds", run.trainer.seconds.model)
    if ranks.count > 1 {
      series.add("bytes_sent", ranks.gathered(Double(ranks.bytesSent)).reduce(0, +))
    }
    if let norm = report.updateNorm { series.add("update_norm", norm) }
    guard let clip = report.clip else { return }
    series.add("grad_norm_pre", clip.normBefore)
    series.add("grad_norm_post", clip.normAfter)
    let recorded = Set(task.recordedLayers)
    for (index, layer) in clip.layers.enumerated() where recorded.contains(layer.name) {
      let statistics = layer.statistics
      series.layers["sigma_max", default: []].append(statistics.sigmaMax ?? .nan)
      series.layers["tau", default: []].append(statistics.tau)
      series.layers["clipped_fraction", default: []].append(statistics.clippedFraction)
      if task.measuring.contains(.truncation) {
        series.layers["clip_error", default: []].append(clip.truncationErrors[index] ?? .nan)
      }
    }
  }

  private func make<Task: Workload>(
    _ run: TrainingRun<Task>, _ arm: Arm, _ values: Hyperparameters,
    _ settings: Task.Settings, _ source: Task.Source, _ series: RecordedSeries
  ) throws -> Record {
    let (trainer, task) = (run.trainer, run.task)
    let last = Task.metrics.map { series.values[$0.name]?.last ?? .nan }
    let lastLoss = series.values["train_loss"]?.last ?? .nan
    var attributes: Attributes = [
      "title": .string(arm.title), "source": .string(arm.source),
      "data_is_stand_in": .int(source.isStandIn ? 1 : 0),
      "parameters": .int(task.parameters.reduce(0) { $0 + $1.count }),
      "diverged_at": .int(trainer.divergedAt ?? -1),
      "final_train_loss": .double(run.finalLoss(lastPoint: lastLoss)),
    ]
    for entry in task.summary(lastMetrics: run.hasDiverged ? [] : last) {
      attributes[entry.name] = entry.value
    }
    for parameter in arm.hyperparameters {
      attributes[parameter.name] = .double(try values(parameter.name))
    }
    let steps = (0..<task.steps)
      .filter { isRecorded($0, every: task.stepsPerPoint, of: task.steps) }.map { $0 + 1 }
    var record = Record(attributes: attributes)
    record.add(
      .init(
        "step", .int64(steps.map { Int64($0) }), longName: "training steps done", units: "1"))
    record.add(.init("layer", .string(task.recordedLayers), longName: Task.layerName))
    /// A run that diverged has no values for its later steps: the axes of all runs of an experiment stay equal.
    func padded(_ values: [Double]?, _ width: Int = 1) -> [Double] {
      let there = values ?? []
      return there + Array(repeating: .nan, count: steps.count * width - there.count)
    }
    func add(_ name: String, _ longName: String) {
      record.add(
        .init(
          name, .double(padded(series.values[name])), longName: longName, units: "1",
          dimensions: ["step"]))
    }
    func addLayers(_ name: String, _ longName: String) {
      let width = task.recordedLayers.count
      record.add(
        .init(
          name, .float(padded(series.layers[name], width).map { Float($0) }),
          shape: [steps.count, width], longName: longName, units: "1",
          dimensions: ["step", "layer"]))
    }
    add("train_loss", Task.trainLossMeaning(settings))
    for metric in Task.metrics { add(metric.name, metric.longName) }
    let watched = task.watchedLayers.count == task.parameters.count ? "all" : "the clipped"
    add("grad_norm_pre", "gradient norm over \(watched) layers before clipping")
    add("grad_norm_post", "gradient norm over \(watched) layers after clipping")
    if task.measuring.contains(.update) {
      add("update_norm", "norm of the step's change of all parameters")
    }
    addLayers("sigma_max", "largest singular value before clipping")
    addLayers("tau", "clipping threshold")
    addLayers("clipped_fraction", "share of singular values clipped")
    if task.measuring.contains(.truncation) {
      addLayers(
        "clip_error",
        "Frobenius distance of the clipped gradient from the exactly clipped one, over the latter's norm"
      )
    }
    record.telemetry.add(
      .init(
        "model_seconds", .double(padded(series.values["model_seconds"])),
        longName: "seconds in forward, backward, clip and optimizers since the start", units: "s"))
    if ranks.count > 1 {
      record.telemetry.add(
        .init(
          "bytes_sent", .double(padded(series.values["bytes_sent"])),
          longName: "bytes that all ranks have handed on since the start", units: "1"))
      record.telemetry.add(
        .init(
          "rank_peak_memory", .double(ranks.gathered(Double(Telemetry.peakMemoryBytes))),
          longName: "the most memory that each rank has held, in bytes", units: "1"))
    }
    let optimizer = trainer.optimizer.seconds
    for (name, value) in [
      ("forward", trainer.seconds.forward), ("backward", trainer.seconds.backward),
      ("clip", optimizer.clip), ("optimizer", optimizer.optimizer),
    ] { record.telemetry.attributes["seconds_\(name)"] = .double(value) }
    return record
  }
}

/// Whether step k = 0, …, count - 1 is a point: the first, every `every`-th, and the last.
func isRecorded(_ k: Int, every: Int, of count: Int) -> Bool {
  k == 0 || (k + 1) % every == 0 || k == count - 1
}
