import Lab
import Foundation
import LinearAlgebra
import Models
import Storage
import Training

/// What a run on images has recorded.
struct ImageSeries: Codable {
  var step: [Int] = []
  var trainLoss: [Double] = []
  var trainAccuracy: [Double] = []
  var validationLoss: [Double] = []
  var validationAccuracy: [Double] = []
  var modelSeconds: [Double] = []
  var normBefore: [Double] = []
  var normAfter: [Double] = []
  var sigmaMax: [Double] = []  // [point, convolution]
  var tau: [Double] = []
  var clippedShare: [Double] = []
  var clipError: [Double] = []
  /// Sums over the mini-batches since the last point: losses, correct images, mini-batches.
  var pending = [0.0, 0.0, 0.0]
}

/// Trains a run to its end and makes its record, with a point at the end of each epoch: what Figs 2a and 5b do.
struct ImageRun {
  let config: ImageConfig
  let method: ImageMethod
  let values: ImageMethod.Values
  let seed: UInt64

  func record(_ context: RunContext) throws -> Record {
    let images = try PreparedImages(config.load(context.dataFolder))
    let training = try ImageTraining(
      config.problem, method, values, images: images, seed: seed,
      pool: WorkerPool(threads: context.threads))
    return try context.record(
      training, steps: training.steps, every: training.stepsPerEpoch, from: ImageSeries()
    ) { isPoint, series in
      let report = try training.advance(measuring: isPoint)
      guard training.divergedAt == nil else { return }
      series.pending[0] += report.loss
      series.pending[1] += Double(report.correct)
      series.pending[2] += 1
      if isPoint { append(report, training, images.data.test.count, to: &series) }
    } record: { series in
      if let path = context.weightsPath { try training.classifier.model.save(to: path) }
      return make(training, series, images)
    }
  }

  private func append(
    _ report: ImageTraining.Report, _ training: ImageTraining, _ testImages: Int,
    to series: inout ImageSeries
  ) {
    let held = training.validate(.none, count: testImages)
    let batches = series.pending[2]
    series.step.append(training.step)
    series.trainLoss.append(series.pending[0] / batches)
    series.trainAccuracy.append(series.pending[1] / (batches * Double(config.batchSize)))
    series.pending = [0, 0, 0]
    series.validationLoss.append(held.loss)
    series.validationAccuracy.append(held.accuracy)
    series.modelSeconds.append(training.seconds.model)
    series.normBefore.append(report.measures?.normBefore ?? .nan)
    series.normAfter.append(report.measures?.normAfter ?? .nan)
    series.sigmaMax += report.measures?.sigmaMax ?? []
    series.tau += report.measures?.tau ?? []
    series.clippedShare += report.measures?.clippedShare ?? []
    let filters = training.classifier.filterNames.count
    series.clipError +=
      report.clipErrors.isEmpty ? Array(repeating: .nan, count: filters) : report.clipErrors
  }

  private func make(
    _ training: ImageTraining, _ series: ImageSeries, _ images: PreparedImages
  ) -> Record {
    let hasDiverged = training.divergedAt != nil
    let count = images.data.test.count
    let final = hasDiverged ? nil : training.validate(config.finalViews, count: count)
    var attributes: Attributes = [
      "title": .string(method.title), "source": .string(method.source),
      "network": .string(method.network.rawValue),
      "data_is_stand_in": .int(images.data.isStandIn ? 1 : 0),
      "training_images": .int(images.data.training.count), "test_images": .int(count),
      "parameters": .int(training.classifier.model.parameterCount),
      "steps_per_epoch": .int(training.stepsPerEpoch),
      "diverged_at": .int(training.divergedAt ?? -1),
      "final_train_loss": .double(hasDiverged ? .nan : series.trainLoss.last ?? .nan),
      "final_val_loss": .double(hasDiverged ? .nan : series.validationLoss.last ?? .nan),
      "final_val_accuracy": .double(hasDiverged ? .nan : series.validationAccuracy.last ?? .nan),
      "final_augmented_accuracy": .double(final?.accuracy ?? .nan),
    ]
    for parameter in method.hyperparameters {
      attributes[parameter.name] = .double(values[parameter.name] ?? .nan)
    }
    var record = StepRecord(
      attributes: attributes, count: training.steps, every: training.stepsPerEpoch,
      layers: training.classifier.filterNames, layerName: "convolution")
    add(series, training.stepsPerEpoch, to: &record)
    record.addTimes(
      "model_seconds", series.modelSeconds,
      "seconds in forward, backward, clip and optimizers since the start")
    record.addSeconds(
      forward: training.seconds.forward, backward: training.seconds.backward,
      update: (training.filters.seconds.clip, training.optimizerSeconds))
    return record.record
  }

  private func add(_ series: ImageSeries, _ stepsPerEpoch: Int, to record: inout StepRecord) {
    record.add(
      "epoch", series.step.map { Double($0) / Double(stepsPerEpoch) }, "training epochs done")
    record.add(
      "train_loss", series.trainLoss,
      "mean of the mini-batch losses since the point before (smoothed labels, nats an image)")
    record.add(
      "train_accuracy", series.trainAccuracy,
      "share of the augmented training images since the point before that were told right")
    record.add(
      "val_loss", series.validationLoss, "cross-entropy on the test images, nats an image")
    record.add(
      "val_accuracy", series.validationAccuracy,
      "share of the test images told right, each as it is")
    record.add(
      "grad_norm_pre", series.normBefore, "gradient norm over the convolutions before clipping")
    record.add(
      "grad_norm_post", series.normAfter, "gradient norm over the convolutions after clipping")
    record.addLayers("sigma_max", series.sigmaMax, "largest singular value before clipping")
    record.addLayers("tau", series.tau, "clipping threshold")
    record.addLayers("clipped_share", series.clippedShare, "share of singular values clipped")
    record.addLayers(
      "clip_error", series.clipError,
      "Frobenius distance of the clipped gradient from the exactly clipped one, over the latter's norm"
    )
  }
}
