// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage
import Training

/// Settings that take little time, and by what their costs are to be multiplied to be those of the real ones.
package struct Rehearsal<Settings: Sendable>: Sendable {
  /// The small settings.
  package var settings: Settings
  /// Forward and backward of a micro-batch.
  package var pass = 1.0
  /// Clip and update.
  package var update = 1.0
  /// An evaluation.
  package var evaluation = 1.0
  /// What is measured at the end of a run, in evaluations.
  package var final = 0.0

  /// `settings` as they are.
  package init(_ settings: Settings) { self.settings = settings }
}

/// Processor seconds of a whole step, of its forward and backward passes alone, and of an evaluation.
package struct RunCost: Sendable {
  package var step: Double
  package var gradient: Double
  package var evaluation: Double
  package var final: Double
}

extension Workload {
  /// What a run of `arm` costs, from a small one on data that mean nothing.
  package static func cost(
    _ settings: Settings, _ arm: Arm, _ values: Hyperparameters?, _ source: Source? = nil
  ) throws -> RunCost {
    let rehearsal = settings.rehearsal
    let middle = Hyperparameters(
      Dictionary(
        uniqueKeysWithValues: arm.hyperparameters.map { ($0.name, $0.value(at: 0.5)) }))
    let run = try TrainingRun<Self>(
      rehearsal.settings, arm, values ?? middle,
      source ?? placeholder(rehearsal.settings), seed: 0)
    let cost = try run.trainer.rehearse()
    let start = ProcessorTime.seconds
    _ = run.task.evaluate()
    let evaluation = (ProcessorTime.seconds - start) * rehearsal.evaluation
    let gradient = cost.pass * rehearsal.pass * Double(run.task.microBatches)
    return RunCost(
      step: gradient + cost.update * rehearsal.update, gradient: gradient, evaluation: evaluation,
      final: rehearsal.final * evaluation)
  }

  /// Processor seconds a step, the mean over `methods`, each step with its part of `evaluations` a run of `steps`, and of the
  /// measurements at its end if `ends`.
  ///
  /// When half a second is spent the arms that are left are taken for such as were tried.
  static func secondsPerStep(
    _ settings: Settings, _ methods: [String], _ arms: [Arm], steps: Double,
    evaluations: Double, ends: Bool, values: (Arm) -> Hyperparameters?
  ) throws -> Double {
    let source = try placeholder(settings.rehearsal.settings)
    let start = ProcessorTime.seconds
    var costs: [Double] = []
    var fault: (any Error)?
    // Neighbours in a list of arms are alike: every third first.
    let order = (0..<3).flatMap { stride(from: $0, to: methods.count, by: 3) }
    for index in order where costs.isEmpty || ProcessorTime.seconds - start < 0.5 {
      let arm = try arms.named(methods[index], place: "method")
      do {
        let cost = try cost(settings, arm, values(arm), source)
        costs.append(
          cost.step + (evaluations * cost.evaluation + (ends ? cost.final : 0)) / max(1, steps))
      } catch {
        fault = error  // an arm that the small settings do not suit
      }
    }
    if let fault, costs.isEmpty { throw fault }
    return costs.reduce(0, +) / Double(max(1, costs.count))
  }
}

extension Experiment {
  /// Processor seconds of the jobs of `config`, by the checked-in records of the experiment in `folder` (of whatever profile,
  /// that with the most similar cost first), scaled by `recordedScale`; nil where a method has none.
  package static func recordedSeconds(of config: Config, in folder: String) -> Double? {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(name)")) ?? []
    var best: [String: (distance: Double, seconds: Double)] = [:]
    for name in names.sorted() {
      let place = "\(folder)/\(Self.name)/\(name)"
      let files = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
      for method in config.methods {
        guard
          let file = files.sorted().first(where: {
            $0.hasPrefix("\(method)-seed") && $0.hasSuffix(".h5")
          }),
          let record = try? Record.read(from: "\(place)/\(file)"),
          let seconds = record.telemetry.coreSeconds,
          let text = try? record.string(attribute: "config"),
          let old = try? defaults.recalled(from: text, place: place)
        else { continue }
        let scale = recordedScale(of: method, config) / max(1e-9, recordedScale(of: method, old))
        let distance = abs(log(max(scale, 1e-9)))
        if best[method].map({ distance < $0.distance }) ?? true {
          best[method] = (distance, seconds * scale)
        }
      }
    }
    var sum = 0.0
    for method in config.methods {
      guard let found = best[method] else { return nil }
      sum += found.seconds
    }
    return sum * Double(config.seeds.count)
  }
}
