import Lab
import Autodiff
import Datasets
import Foundation
import LinearAlgebra
import Models

/// A recorded forward and backward pass over one part of a batch.
final class TrainingPass {
  let tape: Tape
  let loss: Tensor
  let whitening: CifarNet.WhiteningBias
  private let images: Tensor, logits: Tensor
  private let targets: Indices

  init(
    _ classifier: ImageClassifier, _ settings: ImageSettings, _ data: LabeledImages,
    _ whitening: CifarNet.WhiteningBias, _ pool: WorkerPool
  ) {
    self.whitening = whitening
    tape = Tape(pool: pool)
    let count = settings.batchSize / settings.microBatches
    images = tape.input([count, data.height, data.width, data.channels])
    targets = tape.indices([count])
    logits = classifier.logits(tape, images, whiteningBias: whitening)
    let sum = tape.crossEntropy(
      logits, targets, labelSmoothing: settings.labelSmoothing, reduction: .sum)
    let weight = Float(settings.lossScale) / Float(settings.batchSize)
    loss = weight == 1 ? sum : tape.scale(sum, by: weight)
  }

  /// Writes the images of these numbers, each changed by `transform(number)`, and their labels.
  func fill(
    _ numbers: ArraySlice<Int>, _ data: ImageData, _ pool: WorkerPool,
    transform: (Int) -> ImageTransform
  ) {
    data.training.write(
      numbers, normalization: data.normalization, into: images.value.base, pool: pool
    ) { transform(numbers[numbers.startIndex + $0]) }
    for (row, number) in numbers.enumerated() {
      targets.base[row] = Int32(data.training.labels[number])
    }
  }

  /// Images whose largest logit is their class.
  var correct: Int { countCorrect(logits, targets) }
}

/// Rows of logits[B, classes] whose largest entry is at their target.
func countCorrect(_ logits: Tensor, _ targets: Indices) -> Int {
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
  /// mean cross-entropy in nats.
  func measure(_ views: TestTimeAugmentation, count: Int) -> (accuracy: Double, loss: Double) {
    let (rows, classes) = (images.shape[0], logits.columns)
    var (correct, loss) = (0, 0.0)
    for start in stride(from: 0, to: count, by: rows) {
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
        correct += largest(z) == label ? 1 : 0
        loss += logSumExp(z) - z[z.startIndex + label]
      }
    }
    return (Double(correct) / Double(count), loss / Double(count))
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
