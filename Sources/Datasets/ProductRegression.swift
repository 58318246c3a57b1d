// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Regression on a product of coordinates (§6.4): x ~ N(0, I_d), y = x_1 x_2 x_3.
public struct ProductRegression: Sendable {
  /// d.
  public let inputs: Int
  /// Samples for training; the others are for validation.
  public let trainingCount: Int
  /// Samples for validation.
  public let validationCount: Int
  /// All samples' inputs, [trainingCount + validationCount, inputs].
  public let x: [Float]
  /// All targets.
  public let y: [Float]

  /// Draws `samples` samples of dimension `inputs` >= 3, the first `trainingFraction` of them for training.
  public init(samples: Int, inputs: Int, trainingFraction: Double, stream: RandomStream) {
    precondition(samples >= 1 && inputs >= 3, "\(samples) samples of \(inputs) inputs")
    self.inputs = inputs
    trainingCount = Int(trainingFraction * Double(samples))
    validationCount = samples - trainingCount
    let x: [Float] = stream.normals(samples * inputs)
    self.x = x
    TensorMemory.expect(samples, of: Float.self)
    y = (0..<samples).map { i in x[i * inputs] * x[i * inputs + 1] * x[i * inputs + 2] }
  }

  /// Copies the given samples into batch[count, inputs] and target[count].
  public func fill(
    _ samples: ArraySlice<Int>, _ batch: UnsafeMutablePointer<Float>,
    _ target: UnsafeMutablePointer<Float>
  ) {
    x.withUnsafeBufferPointer { x in
      guard let base = x.baseAddress else { return }
      for (row, sample) in samples.enumerated() {
        (batch + row * inputs).update(from: base + sample * inputs, count: inputs)
      }
    }
    for (row, sample) in samples.enumerated() { target[row] = y[sample] }
  }
}

/// The order in which mini-batches are taken.
public enum BatchOrder: String, Codable, Sendable, CaseIterable {
  /// One shuffle, then the same batches in the same order for ever (what `itertools.cycle` over a
  /// PyTorch DataLoader does, and so the authors' loop).
  case replayed
  /// A new shuffle every epoch.
  case reshuffled
}

/// Mini-batches of sample numbers: whole epochs, the incomplete batch at the end of one left out.
public struct BatchSampler: Sendable {
  /// Batches in an epoch.
  public let batchesPerEpoch: Int
  private let count: Int
  private let size: Int
  private let order: BatchOrder
  private let stream: RandomStream
  private var epoch = -1
  private var permutation: [Int] = []

  /// Batches of `size` among `count` samples, 1 <= size <= count.
  public init(count: Int, size: Int, order: BatchOrder, stream: RandomStream) {
    precondition(size >= 1 && size <= count, "batches of \(size) out of \(count) samples")
    batchesPerEpoch = count / size
    (self.count, self.size, self.order, self.stream) = (count, size, order, stream)
  }

  /// The samples of the batch of step k = 0, 1, …: a function of the stream and k alone.
  public mutating func batch(step: Int) -> ArraySlice<Int> {
    let needed = order == .replayed ? 0 : step / batchesPerEpoch
    if needed != epoch {
      epoch = needed
      var generator = stream.at(step: epoch).cursor()
      permutation = generator.permutation(count)
    }
    let start = step % batchesPerEpoch * size
    return permutation[start..<(start + size)]
  }
}
