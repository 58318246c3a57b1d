// SPDX-License-Identifier: Apache-2.0

extension Statistics {
  /// Spearman's rank correlation of x[n] and y[n], the correlation of their ranks; equal values share the mean of their
  /// ranks. NaN for fewer than two pairs, a NaN among the values, and a side that is constant.
  public static func rankCorrelation(_ x: [Double], _ y: [Double]) -> Double {
    precondition(x.count == y.count, "a correlation of x[\(x.count)] and y[\(y.count)]")
    guard x.count >= 2, !(x + y).contains(where: \.isNaN) else { return .nan }
    let (a, b) = (ranks(x), ranks(y))
    // Both have the mean (n + 1)/2.
    let middle = 0.5 * Double(x.count + 1)
    let product = sum(zip(a, b).map { ($0 - middle) * ($1 - middle) })
    let squares = [a, b].map { sum($0.map { ($0 - middle) * ($0 - middle) }) }
    return product / (squares[0] * squares[1]).squareRoot()
  }

  /// Places from 1 in ascending order; equal values share the mean of theirs.
  static func ranks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var result = [Double](repeating: 0, count: values.count)
    var start = 0
    while start < order.count {
      var end = start + 1
      while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
      for place in order[start..<end] { result[place] = 0.5 * Double(start + 1 + end) }
      start = end
    }
    return result
  }
}
