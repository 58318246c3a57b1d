// SPDX-License-Identifier: Apache-2.0

import Autodiff
import LinearAlgebra

/// A workload: a model, its data and its loss, and what is measured of it. `Trainer` does the rest.
///
/// The same seed gives every arm the same data, initial weights, batches and noise.
public protocol TrainingTask: AnyObject {
  /// All trained parameters, in the order of the model.
  var parameters: [Parameter] { get }
  /// Everything that a checkpoint must hold of the model: parameters, frozen ones, running statistics.
  var modelState: [[Float]] { get set }
  /// Names of the layers whose gradients are watched: norms are taken over all of these together.
  var watchedLayers: [String] { get }
  /// Names of the layers whose spectra, thresholds and clipped fractions are recorded; a part of the watched ones.
  var recordedLayers: [String] { get }
  /// Micro-batches of a step; their gradients are added up.
  var microBatches: Int { get }
  /// What the scalar on the tape is divided by to give the mean loss of a sample over the whole batch.
  var lossScale: Double { get }
  /// A mean loss beyond this has diverged.
  var lossLimit: Double { get }

  /// Fills in the samples of a micro-batch and says what computes their loss.
  func load(step: Int, microBatch: Int) -> (tape: Tape, loss: Tensor)
  /// Called after the forward pass of a micro-batch whose loss is finite.
  func observe(step: Int, microBatch: Int)
  /// Called when the gradient of a step is complete, before it is clipped: where noise is added. Not where micro-batches are
  /// clipped one by one.
  func perturbGradient(step: Int)
  /// What the task itself must remember between two steps, beyond the model: sums over the micro-batches since the last
  /// recorded point, of whole numbers, so that ranks may add up theirs.
  var pending: [Double] { get set }
  /// Called before the first step where several processes compute the run: evaluation may be shared out, too.
  func share(over ranks: any Ranks)
}

extension TrainingTask {
  /// Most tasks watch what they record.
  public var watchedLayers: [String] { parameters.map(\.name) }
  /// Most tasks record all layers.
  public var recordedLayers: [String] { parameters.map(\.name) }
  /// Most tasks go through a batch at once.
  public var microBatches: Int { 1 }
  /// Most losses are means.
  public var lossScale: Double { 1 }
  /// Most tasks count nothing.
  public func observe(step: Int, microBatch: Int) {}
  /// Most gradients stay as they are.
  public func perturbGradient(step: Int) {}
  /// Most tasks evaluate the whole on every rank.
  public func share(over ranks: any Ranks) {}
  /// Most tasks remember nothing.
  public var pending: [Double] {
    get { [] }
    set { precondition(newValue.isEmpty, "\(newValue.count) values for a task that keeps none") }
  }
}
