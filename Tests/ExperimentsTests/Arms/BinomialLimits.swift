// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Counts within which a binomial variable stays but for a given probability on either side, by the exact law.
struct BinomialLimits {
  /// The smallest and the largest count allowed.
  let range: ClosedRange<Int>

  /// n draws that hit with probability p in (0, 1); either tail beyond the range has a probability below `tail`.
  init(_ n: Int, _ p: Double, tail: Double = 1e-9) {
    // log of n!/(k!(n-k)!) p^k (1-p)^(n-k); terms far from the mean vanish beside the tail.
    func logTerm(_ k: Int) -> Double {
      lgamma(Double(n + 1)) - lgamma(Double(k + 1)) - lgamma(Double(n - k + 1))
        + Double(k) * log(p) + Double(n - k) * log1p(-p)
    }
    func end(_ order: some Sequence<Int>) -> Int {
      var sum = 0.0
      for k in order {
        sum += exp(logTerm(k))
        if sum > tail { return k }
      }
      return 0
    }
    let reach = Int(40 * (Double(n) * p * (1 - p)).squareRoot()) + 60
    let mean = Int(Double(n) * p)
    range = end(max(0, mean - reach)...n)...end((0...min(n, mean + reach)).reversed())
  }

  func contains(_ count: Int) -> Bool { range.contains(count) }
}
