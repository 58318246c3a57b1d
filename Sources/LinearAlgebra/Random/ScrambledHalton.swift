// SPDX-License-Identifier: Apache-2.0

/// Scrambled Halton points, which fill the unit cube [0, 1)^dimensions evenly.
///
/// Coordinate d is the van der Corput sequence in the d-th prime base, the digits permuted at random,
/// position by position (Owen 2017, arXiv 1706.02808). A function of the stream alone; point i does not
/// depend on how many points there are.
public struct ScrambledHalton: Sendable {
  /// Number of coordinates, at most 8.
  public let dimensions: Int
  private let permutations: [[[Int]]]  // [dimension][digit position][digit]
  private static let primes = [2, 3, 5, 7, 11, 13, 17, 19]

  /// Points in `dimensions` coordinates, scrambled by `stream`.
  public init(dimensions: Int, stream: RandomStream) {
    precondition(
      dimensions >= 1 && dimensions <= Self.primes.count, "\(dimensions) Halton coordinates")
    self.dimensions = dimensions
    permutations = Self.primes[..<dimensions].enumerated().map { dimension, base in
      var digits = 0
      var reach = 1.0
      while reach < 1 / Double.ulpOfOne {
        reach *= Double(base)
        digits += 1
      }
      var generator = stream.at(step: dimension).cursor()
      return (0..<digits).map { _ in generator.permutation(base) }
    }
  }

  /// Point `index` = 0, 1, ….
  public func point(_ index: Int) -> [Double] {
    precondition(index >= 0, "Halton point \(index)")
    return (0..<dimensions).map { dimension in
      let base = Self.primes[dimension]
      var (rest, scale, sum) = (index, 1.0, 0.0)
      for permutation in permutations[dimension] {
        scale /= Double(base)
        sum += Double(permutation[rest % base]) * scale
        rest /= base
      }
      return min(sum, 1 - Double.ulpOfOne)
    }
  }
}
