// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Filters that decorrelate the k×k patches of images: a first layer that is not trained (airbench).
///
/// A patch is a vector in the order of PyTorch's convolution weights, [C, k, k]: channel, row, column.
public struct PatchWhitening: Sendable {
  /// k.
  public let size: Int
  /// Channels of the images, C.
  public let channels: Int
  /// The mean of p·pᵀ over all patches p, [C·k·k, C·k·k]; as in the authors' code the patches are not
  /// centred.
  public let covariance: Matrix<Double>

  /// Takes all (H - k + 1)·(W - k + 1) patches of each of the first `count` images (or of all, if fewer)
  /// after normalisation. Products and sums are in `Double`, image after image.
  public init(
    of images: LabeledImages, size k: Int = 2, count: Int = 5000,  // as in the authors' code
    normalization: ImageNormalization
  ) {
    let (height, width, channels) = (images.height, images.width, images.channels)
    precondition(
      k >= 1 && k <= min(height, width) && images.count > 0 && count > 0,
      "\(k)×\(k) patches of \(min(count, images.count)) images[\(height), \(width)]")
    (size, self.channels) = (k, channels)
    let used = min(count, images.count)
    let (down, across) = (height - k + 1, width - k + 1)
    var image = Matrix<Float>(rows: height * width, columns: channels)
    var patches = Matrix<Float>(rows: down * across, columns: channels * k * k)
    var sum = Matrix<Double>(rows: patches.columns, columns: patches.columns)
    for i in 0..<used {
      image.withMutableView { image in
        images.write(i..<(i + 1), normalization: normalization, into: image.base)
        patches.withMutableView { patches in
          Self.unfold(image.base, width, channels, k, down, across, into: patches.base)
        }
      }
      sum = sum + patches.withView { gram(ofColumns: $0) }
    }
    covariance = (1 / Double(used * down * across)) * sum
  }

  /// filters[2·C·k·k, C·k·k]: the eigenvectors of the covariance in ascending order of their eigenvalues λ,
  /// each times 1/√(λ + epsilon), then the negatives of all.
  ///
  /// A row reshaped to [C, k, k] is a filter of PyTorch's weight[2·C·k·k, C, k, k]. An eigenvector has two
  /// signs; here its largest entry is positive, which only decides which half a filter is in.
  public func filters(
    epsilon: Double = 5e-4  // as in the authors' code
  ) throws(LinearAlgebraError) -> Matrix<Double> {
    let eigen = try symmetricEigen(covariance)
    let n = covariance.rows
    var filters = Matrix<Double>(rows: 2 * n, columns: n)
    for (i, value) in eigen.values.enumerated() {
      let vector = eigen.vectors.row(i)
      let largest = vector.max { $0.magnitude < $1.magnitude } ?? 1
      // A covariance has no negative eigenvalue but by rounding.
      let scale: Double = (largest < 0 ? -1 : 1) / (max(0, value) + epsilon).squareRoot()
      for (j, entry) in vector.enumerated() {
        filters[i, j] = scale * entry
        filters[n + i, j] = -filters[i, j]
      }
    }
    return filters
  }

  /// patches[down·across, C·k·k] out of image[H·W, C].
  private static func unfold(
    _ image: UnsafePointer<Float>, _ width: Int, _ channels: Int, _ k: Int, _ down: Int,
    _ across: Int, into patches: UnsafeMutablePointer<Float>
  ) {
    var target = patches
    for y in 0..<down {
      for x in 0..<across {
        for channel in 0..<channels {
          for row in 0..<k {
            let start: Int = ((y &+ row) &* width &+ x) &* channels &+ channel
            let source = image + start
            for column in 0..<k {
              target.pointee = source[column &* channels]
              target += 1
            }
          }
        }
      }
    }
  }
}
