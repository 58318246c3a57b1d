// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// A plain one-sided Jacobi SVD in Double, of gᵀ where g is wide: slow, independent of LAPACK and of the library's routes.
struct PlainSVD {
  let isWide: Bool
  /// g·V, [m][n] by columns (gᵀ·V of a wide g).
  var columns: [[Double]]
  /// V, [n][n] by columns.
  var right: [[Double]]

  init(_ matrix: Matrix<Double>) {
    isWide = matrix.columns > matrix.rows
    let g = isWide ? matrix.transposed : matrix
    columns = (0..<g.columns).map { j in (0..<g.rows).map { g[$0, j] } }
    right = (0..<g.columns).map { j in (0..<g.columns).map { $0 == j ? 1 : 0 } }
    // Columns that are nothing but rounding are never orthogonal.
    let rounding = 1e-30 * columns.reduce(0) { $0 + dot($1, $1) }
    for _ in 0..<60 {
      var rotated = false
      for p in 0..<g.columns {
        for q in (p + 1)..<max(g.columns, p + 1) {
          let (a, b, c) = (
            dot(columns[p], columns[p]), dot(columns[q], columns[q]), dot(columns[p], columns[q])
          )
          if abs(c) <= 1e-16 * (a * b).squareRoot() || max(a, b) <= rounding { continue }
          rotated = true
          let zeta = (b - a) / (2 * c)
          let t = (zeta < 0 ? -1 : 1) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
          let cosine = 1 / (1 + t * t).squareRoot()
          turn(&columns, p, q, cosine, cosine * t)
          turn(&right, p, q, cosine, cosine * t)
        }
      }
      if !rotated { break }
    }
  }

  /// Largest first, min(m, n) of them.
  func sigma(_ count: Int) -> [Double] {
    Array(columns.map { dot($0, $0).squareRoot() }.sorted(by: >).prefix(count))
  }

  /// σ and vectors with g = Σ left · rightᵀ, one of unit length and the other of length σ.
  var terms: [(sigma: Double, left: [Double], right: [Double])] {
    zip(columns, right).map { w, v in
      (dot(w, w).squareRoot(), isWide ? v : w, isWide ? w : v)
    }
  }

  /// U diag(min(σ, τ)) Vᵀ.
  func clipped(at tau: Double, rows: Int) -> Matrix<Double> {
    var result = Matrix<Double>(rows: rows, columns: (isWide ? columns : right).first?.count ?? 0)
    for (sigma, left, right) in terms {
      let factor = sigma > tau ? tau / sigma : 1
      for i in left.indices {
        for j in right.indices { result[i, j] += factor * left[i] * right[j] }
      }
    }
    return result
  }
}

// By pointers, which a debug build follows a hundred times faster than generic sequences.

func dot(_ a: [Double], _ b: [Double]) -> Double {
  a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      guard let a = a.baseAddress, let p = b.baseAddress else { return 0 }
      var (sum, i) = (0.0, 0)
      while i < b.count {
        sum += a[i] * p[i]
        i += 1
      }
      return sum
    }
  }
}

private func turn(_ x: inout [[Double]], _ p: Int, _ q: Int, _ c: Double, _ s: Double) {
  var (first, second) = (x[p], x[q])
  first.withUnsafeMutableBufferPointer { left in
    second.withUnsafeMutableBufferPointer { right in
      guard let y = left.baseAddress, let z = right.baseAddress else { return }
      var i = 0
      while i < left.count {
        let (a, b) = (y[i], z[i])
        y[i] = c * a - s * b
        z[i] = s * a + c * b
        i += 1
      }
    }
  }
  (x[p], x[q]) = (first, second)
}

/// The kinds of matrix that break clipping code.
enum Content: String, CaseIterable, Sendable {
  case random, rankDeficient, zero, repeated, spike, hugeSpike, tiny, huge

  func matrix(_ m: Int, _ n: Int, seed: UInt64 = 1) -> Matrix<Double> {
    let stream = RandomStream(seed: seed, name: "fixtures/\(rawValue)/\(m)x\(n)")
    func normal(_ rows: Int, _ columns: Int, _ name: String) -> Matrix<Double> {
      Matrix(rows: rows, columns: columns, elements: stream.child(name).normals(rows * columns))
    }
    let g = normal(m, n, "g")
    switch self {
    case .random: return g
    case .zero: return Matrix(rows: m, columns: n)
    case .rankDeficient:
      return matmul(normal(m, 2, "left"), normal(2, n, "right"))
    case .repeated:
      // Orthonormal columns (or rows) times 3: all singular values equal.
      let tall = m >= n
      guard let q = try? qr(tall ? g : g.transposed).q else { return g }
      return 3 * (tall ? q : q.transposed)
    case .spike: return g + 1e3 * matmul(normal(m, 1, "u"), normal(1, n, "v"))
    case .hugeSpike: return g + 1e8 * matmul(normal(m, 1, "u"), normal(1, n, "v"))
    case .tiny: return 1e-30 * g
    case .huge: return 1e30 * g
    }
  }
}

let shapes = [
  (1, 1), (1, 6), (6, 1), (2, 2), (3, 3), (3, 5), (5, 3), (7, 7), (16, 33), (40, 12),
]

/// One case of the sweep.
struct Case: Sendable, CustomStringConvertible {
  let (rows, columns, content): (Int, Int, Content)
  var description: String { "\(content.rawValue)[\(rows), \(columns)]" }
  static let all = shapes.flatMap { shape in
    Content.allCases.map { Case(rows: shape.0, columns: shape.1, content: $0) }
  }
}

extension Matrix where Scalar: BinaryFloatingPoint {
  var largestEntry: Double { elements.reduce(0) { Swift.max($0, Double($1.magnitude)) } }
}
