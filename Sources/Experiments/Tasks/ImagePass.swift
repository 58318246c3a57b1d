// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Datasets
import Foundation
import LinearAlgebra
import Training

/// A recorded forward and backward pass of a classifier over some images.
final class ImagePass {
  let tape: Tape
  let loss: Tensor
  private let images: Tensor, logits: Tensor
  private let targets: Indices

  /// `record` records the classifier on images of that shape [B, H, W, C] with labels[B].
  init(
    _ tape: Tape, images shape: [Int],
    _ record: (Tensor, Indices) -> (logits: Tensor, loss: Tensor)
  ) {
    self.tape = tape
    images = tape.input(shape)
    targets = tape.indices([shape[0]])
    (logits, loss) = record(images, targets)
  }

  /// Writes the training images of these numbers, each changed by `transform(number)`, and their labels.
  func fill(
    _ numbers: ArraySlice<Int>, _ data: ImageData, transform: (Int) -> ImageTransform
  ) {
    data.training.write(
      numbers, normalization: data.normalization, into: images.value.base, pool: tape.pool
    ) { transform(numbers[numbers.startIndex + $0]) }
    label(numbers, data.training)
  }

  /// Writes these images, of which the b-th is cut to `crop(b)` and resized to `side` pixels, and their labels.
  func fill(
    _ numbers: some RandomAccessCollection<Int>, _ data: LabeledImages, side: Int,
    crop: (Int) -> ImageCrop
  ) {
    data.writeResized(numbers, side: side, into: images.value.base, pool: tape.pool, crop: crop)
    label(numbers, data)
  }

  private func label(_ numbers: some RandomAccessCollection<Int>, _ data: LabeledImages) {
    for (row, number) in numbers.enumerated() { targets.base[row] = Int32(data.labels[number]) }
  }

  /// Images whose largest logit is their class.
  var correct: Int { classifiedCorrectly(logits, targets) }
}

/// Rows of logits[B, classes] whose largest value is their target.
func classifiedCorrectly(_ logits: Tensor, _ targets: Indices) -> Int {
  let z = UnsafeBufferPointer(start: logits.value.base, count: logits.count)
  let classes = logits.columns
  return (0..<targets.count).count {
    largest(z[($0 * classes)..<(($0 + 1) * classes)]) == Int(targets.base[$0])
  }
}

/// Accuracy and loss of a network on images that it has not seen.
final class ImageEvaluation {
  private let tape: Tape
  private let images: Tensor
  private let logits: Tensor
  private let data: LabeledImages
  private let normalization: ImageNormalization

  /// Images that are evaluated at a time.
  private static let rows = 200

  /// `logits` records the network on normalized images[B, H, W, C].
  init(_ data: ImageData, _ pool: WorkerPool, logits: (Tape, Tensor) -> Tensor) {
    self.data = data.test
    normalization = data.normalization
    tape = Tape(pool: pool, isTraining: false)
    images = tape.input([
      min(Self.rows, data.test.count), data.test.height, data.test.width, data.test.channels,
    ])
    self.logits = logits(tape, images)
  }

  /// The share of the first `count` test images whose largest logit, averaged over the views, is their class, and the
  /// mean cross-entropy in nats; ranks share the batches out, and all get the same.
  func measure(
    _ views: TestTimeAugmentation, count: Int, over ranks: any Ranks = SingleRank()
  ) -> (accuracy: Double, loss: Double) {
    let (rows, classes) = (images.shape[0], logits.columns)
    var hits = [Double](repeating: 0, count: count)
    var losses = hits
    for batch in ranks.share(of: (count + rows - 1) / rows) {
      let start = batch * rows
      let used = min(rows, count - start)
      // The last images of a batch that is not full are the last image again and again.
      let chosen = (0..<rows).map { min(start + $0, count - 1) }
      var sums = [Double](repeating: 0, count: rows * classes)
      for (transform, weight) in views.views {
        data.write(
          chosen, normalization: normalization, into: images.value.base, pool: tape.pool
        ) { _ in transform }
        tape.forward()
        for i in sums.indices { sums[i].addProduct(weight, Double(logits.value.base[i])) }
      }
      for row in 0..<used {
        let (label, z) = (
          Int(data.labels[start + row]), sums[(row * classes)..<((row + 1) * classes)]
        )
        hits[start + row] = largest(z) == label ? 1 : 0
        losses[start + row] = logSumExp(z) - z[z.startIndex + label]
      }
    }
    ranks.exchange(&hits, inBlocksOf: rows)
    ranks.exchange(&losses, inBlocksOf: rows)
    return (hits.reduce(0, +) / Double(count), losses.reduce(0, +) / Double(count))
  }
}

/// The place of the largest value, the first of equal ones.
func largest<Values: RandomAccessCollection>(_ values: Values) -> Int
where Values.Element: Comparable, Values.Index == Int {
  var best = values.startIndex
  for i in values.indices where values[i] > values[best] { best = i }
  return best - values.startIndex
}

/// log Σ e^z.
private func logSumExp(_ z: ArraySlice<Double>) -> Double {
  let top = z.max() ?? 0
  return top + log(z.reduce(0) { $0 + exp($1 - top) })
}
