// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Datasets

@Suite struct PatchWhiteningTests {
  @Test func equalsPyTorchsPatchesAndNumPysEigenvectors() throws {
    let goldens = try ImageGoldens.read()
    for golden in goldens.whitening {
      let normalization = goldens.normalization(channels: golden.channels)
      let whitening = PatchWhitening(
        of: golden.images, size: golden.size, count: golden.count, normalization: normalization)
      let n = golden.channels * golden.size * golden.size
      let largest = try #require(golden.values.last)
      // Sums of about a hundred products, whose magnitudes the largest eigenvalue bounds.
      for (got, expected) in zip(whitening.covariance.elements, golden.covariance) {
        #expect(abs(got - expected) <= 100 * Double.ulpOfOne * largest, "\(got) \(expected)")
      }
      #expect(whitening.covariance.rows == n && whitening.covariance.columns == n)

      let filters = try whitening.filters()
      #expect(filters.rows == 2 * n && filters.columns == n)
      for i in 0..<n {
        let row = filters.row(i)
        let expected = Array(golden.filters[(i * n)..<((i + 1) * n)])
        let sign = zip(row, expected).reduce(0) { $0 + $1.0 * $1.1 } < 0 ? -1.0 : 1
        // An eigenvector turns by the backward error, n ulps of the norm, over the distance to its neighbour.
        let gaps = golden.values.indices.filter { $0 != i }
          .map { abs(golden.values[$0] - golden.values[i]) }
        let gap = try #require(gaps.min())
        let error = 16 * Double(n) * Double.ulpOfOne * largest * (1 / gap + 1 / golden.values[i])
        let scale = 1 / (golden.values[i] + 5e-4).squareRoot()
        for (got, expected) in zip(row, expected) {
          #expect(abs(got - sign * expected) <= error * scale, "filter \(i): \(got) \(expected)")
        }
        #expect(filters.row(n + i) == row.map { -$0 })
        let top = try #require(row.max { $0.magnitude < $1.magnitude })
        #expect(top > 0, "filter \(i): \(row)")
      }
    }
  }

  @Test func filteredPatchesAreUncorrelated() throws {
    let images = StandInImages.images(0..<20)
    let whitening = PatchWhitening(
      of: images, size: 2, normalization: ImageNormalization(of: images))
    let filters = try whitening.filters(epsilon: 0)
    let product = matmul(matmul(filters, whitening.covariance), filters.transposed)
    let eigen = try symmetricEigen(whitening.covariance)
    let condition = try #require(eigen.values.last) / eigen.values[0]
    for i in 0..<12 {
      for j in 0..<12 {
        let expected: Double = i == j ? 1 : 0
        let error = abs(product[i, j] - expected)
        #expect(error <= 16 * 12 * Double.ulpOfOne * condition, "[\(i), \(j)] \(product[i, j])")
      }
    }
  }

  @Test func onlyTheFirstImagesCount() {
    let images = StandInImages.images(0..<6)
    let few = PatchWhitening(of: images, count: 4, normalization: .cifar10)
    let first = PatchWhitening(of: images.images(0..<4), normalization: .cifar10)
    #expect(few.covariance == first.covariance)
    #expect(few.covariance != PatchWhitening(of: images, normalization: .cifar10).covariance)
  }
}
