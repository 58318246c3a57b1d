// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import LinearAlgebra

/// The kernels for matrices of a few dozen rows against plain twins.
@Suite struct SmallKernelTests {
  private func normal(_ m: Int, _ n: Int, _ name: String) -> Matrix<Float> {
    Matrix(
      rows: m, columns: n, elements: RandomStream(seed: 3, name: "\(name)\(m)x\(n)").normals(m * n))
  }

  @Test(arguments: [
    (1, 1, 1), (1, 7, 3), (4, 24, 5), (5, 25, 6), (9, 51, 11), (3, 4, 9), (32, 100, 10),
    (33, 1, 40),
    (6, 3, 1), (2, 100, 100), (8, 8, 0), (50, 50, 50), (13, 31, 200), (25, 33, 7), (12, 64, 3),
  ])
  func smallProductsAreProducts(_ m: Int, _ n: Int, _ k: Int) {
    for transposed in [false, true] {
      for accumulate in [false, true] {
        let a = transposed ? normal(k, m, "a") : normal(m, k, "a")
        let b = normal(k, n, "b")
        let start = normal(m, n, "c")
        var c = start
        c.withMutableView { c in
          a.withView { a in
            b.withView { b in
              gemm(a, transposed ? .yes : .no, b, .no, beta: accumulate ? 1 : 0, into: c)
            }
          }
        }
        for i in 0..<m {
          for j in 0..<n {
            var (sum, size) = (0.0, 1e-30)
            if accumulate {
              sum = Double(start[i, j])
              size += abs(sum)
            }
            for p in 0..<k {
              let product = Double(transposed ? a[p, i] : a[i, p]) * Double(b[p, j])
              sum += product
              size += abs(product)
            }
            #expect(
              abs(Double(c[i, j]) - sum) <= Double(k + 1) * 0x1p-24 * size,
              "[\(m), \(k)] [\(k), \(n)] at (\(i), \(j)): \(c[i, j]) against \(sum)")
            // Rounded once a term, in this order, whatever the vectors; products of rows are summed in several chains.
            guard n > 1 || transposed && m > 1 else { continue }
            let chain = (0..<k).reduce(accumulate ? start[i, j] : 0) {
              $0.addingProduct(transposed ? a[$1, i] : a[i, $1], b[$1, j])
            }
            #expect(c[i, j] == chain, "[\(m), \(k)] [\(k), \(n)] at (\(i), \(j))")
          }
        }
      }
    }
  }

  @Test(arguments: [(1, 1, 1), (130, 25, 129), (5, 17, 300), (260, 3, 40), (7, 9, 0)])
  func productsOfPaddedRowsInBlocksAreProducts(_ m: Int, _ n: Int, _ k: Int) {
    for transposed in [false, true] {
      let a = transposed ? normal(k, m, "a") : normal(m, k, "a")
      let (b, start) = (normal(k, n, "b"), normal(m, n, "c"))
      // Rows of b and c begin further apart than they are long; what lies between must stay.
      let stride = paddedStride(n)
      func padded(_ x: Matrix<Float>) -> [Float] {
        (0..<x.rows).flatMap { i in (0..<stride).map { $0 < n ? x[i, $0] : -7 } }
      }
      var c = padded(start)
      a.withView { a in
        padded(b).withUnsafeBufferPointer { b in
          c.withUnsafeMutableBufferPointer { c in
            guard let base = c.baseAddress else { return }
            gemmInCache(
              m, n, k, a.base, rowStride: transposed ? 1 : k, columnStride: transposed ? m : 1,
              b.baseAddress ?? a.base, ldb: stride, accumulate: true, into: base, ldc: stride)
          }
        }
      }
      for i in 0..<m {
        for j in 0..<stride where j >= n { #expect(c[i * stride + j] == -7) }
        for j in 0..<n {
          var (sum, size) = (Double(start[i, j]), abs(Double(start[i, j])))
          for p in 0..<k {
            let product = Double(transposed ? a[p, i] : a[i, p]) * Double(b[p, j])
            sum += product
            size += abs(product)
          }
          #expect(
            abs(Double(c[i * stride + j]) - sum) <= Double(k + 1) * 0x1p-24 * size,
            "[\(m), \(k)] [\(k), \(n)] at (\(i), \(j)): \(c[i * stride + j]) against \(sum)")
        }
      }
    }
  }

  @Test func transposes() {
    for (m, n) in [(1, 1), (4, 4), (5, 7), (12, 9), (3, 100)] {
      let a = normal(m, n, "t")
      var b = Matrix<Float>(rows: n, columns: m)
      a.withView { a in
        b.withMutableView { transpose(a.base, rows: m, columns: n, into: $0.base) }
      }
      #expect(b == a.transposed)
      // Into rows further apart than they are long.
      var apart = Matrix<Float>(rows: n, columns: m + 3)
      a.withView { a in
        apart.withMutableView {
          transpose(a.base, rows: m, columns: n, into: $0.base, targetStride: m + 3)
        }
      }
      for j in 0..<n {
        for i in 0..<(m + 3) { #expect(apart[j, i] == (i < m ? a[i, j] : 0)) }
      }
    }
  }

  /// Decomposes a[n,n] and holds its eigenpairs against it: unit vectors at right angles, and A v = λ v.
  private func expectEigenpairs(
    _ eigen: SmallSymmetricEigen, of a: [Double], _ n: Int, _ comment: String
  ) throws {
    try eigen.decompose(a, n)
    let scale = a.map(\.magnitude).max() ?? 0
    let vectors = (0..<n).map { i in (0..<n).map { eigen.vector(i)[$0] } }
    for i in 0..<n {
      for j in 0..<n {
        var (inner, applied) = (0.0, 0.0)
        for k in 0..<n {
          inner += vectors[i][k] * vectors[j][k]
          applied += a[j * n + k] * vectors[i][k]
        }
        #expect(abs(inner - (i == j ? 1 : 0)) <= 1e-14 * Double(n), "\(comment)")
        #expect(
          abs(applied - eigen.values[i] * vectors[i][j]) <= 2e-14 * Double(n) * scale, "\(comment)")
      }
    }
  }

  @Test(arguments: [1, 2, 3, 5, 12, 33, 40])
  func eigenpairs(_ n: Int) throws {
    // Spread over twelve orders of magnitude, a double value, a zero.
    let q = try qr(
      Matrix<Double>(
        rows: n, columns: n, elements: RandomStream(seed: 4, name: "q\(n)").normals(n * n))
    ).q
    var wanted = (0..<n).map { pow(10.0, 4 - 12 * Double($0) / Double(n)) }
    if n >= 3 {
      wanted[n - 1] = 0
      wanted[1] = wanted[0]
    }
    wanted.sort()
    var scaled = q.transposed
    scaled.scaleRows(by: wanted)
    let product = matmul(q, scaled)
    let a = Matrix<Double>(rows: n, columns: n) { 0.5 * (product[$0, $1] + product[$1, $0]) }
    let eigen = SmallSymmetricEigen(capacity: 40)
    try expectEigenpairs(eigen, of: a.elements, n, "order \(n)")
    let scale = wanted.last ?? 1
    for i in 0..<n {
      #expect(
        abs(eigen.values[i] - wanted[i]) <= 1e-14 * Double(n) * scale,
        "value \(i) of \(n): \(eigen.values[i]), \(wanted[i])")
    }
    let values = (0..<n).map { eigen.values[$0] }
    try eigen.decompose(a.elements, n, vectors: false)
    #expect(values == (0..<n).map { eigen.values[$0] })
  }

  /// Sums of one to three u uᵀ whose entries reach over up to a hundred orders of magnitude: most of the tridiagonal form is
  /// rounding noise, down to numbers whose squares lose all digits.
  @Test func eigenpairsOfGradedMatrices() throws {
    let eigen = SmallSymmetricEigen(capacity: 40)
    for trial in 0..<1000 {
      var cursor = RandomStream(seed: 9, name: "graded").at(step: trial).cursor()
      let n = 2 + cursor.integer(below: 39)
      var a = [Double](repeating: 0, count: n * n)
      for _ in 0..<(1 + cursor.integer(below: 3)) {
        let u = (0..<n).map { _ in
          cursor.integer(below: 5) == 0
            ? 0
            : (cursor.next() % 2 == 0 ? 1 : -1) * pow(10, -100 * cursor.uniform(as: Double.self))
        }
        for i in 0..<n { for j in 0..<n { a[i * n + j] += u[i] * u[j] } }
      }
      try expectEigenpairs(eigen, of: a, n, "trial \(trial)")
    }
  }

  /// Matrices on which such iterations have been known to fail: pairs of values that agree to the last bit, a zero
  /// diagonal, small whole numbers (shifts that are exact, angles that are right), ones alone, glued copies.
  @Test func eigenpairsOfDifficultMatrices() throws {
    typealias Entry = (_ i: Int, _ j: Int) -> Double
    func tridiagonal(_ d: @escaping (Int) -> Double, _ e: @escaping (Int) -> Double) -> Entry {
      { i, j in i == j ? d(i) : abs(i - j) == 1 ? e(min(i, j)) : 0 }
    }
    var matrices: [(name: String, n: Int, entry: Entry)] = [
      ("Wilkinson", 21, tridiagonal({ Double(abs($0 - 10)) }, { _ in 1 })),
      ("Wilkinson, negative", 21, tridiagonal({ Double($0 - 10) }, { _ in -1 })),
      (
        "glued", 40,
        tridiagonal({ Double(abs($0 % 10 - 4)) }, { $0 % 10 == 9 ? 1e-14 : 1 })
      ),
      ("Kac", 33, tridiagonal({ _ in 0 }, { (Double($0 + 1) * Double(32 - $0)).squareRoot() })),
      ("second difference", 40, tridiagonal({ _ in 2 }, { _ in -1 })),
      ("alternating", 24, tridiagonal({ _ in 0 }, { $0 % 2 == 0 ? 1 : -1e-30 })),
      ("ones", 33, { _, _ in 1 }), ("exchange", 17, { i, j in i + j == 16 ? 1 : 0 }),
      ("Hilbert", 12, { i, j in 1 / Double(i + j + 1) }),
    ]
    for trial in 0..<300 {
      var cursor = RandomStream(seed: 11, name: "whole").at(step: trial).cursor()
      let n = 2 + cursor.integer(below: 12)
      let numbers = (0..<(n * n)).map { _ in Double(cursor.integer(below: 3) - 1) }
      matrices.append(("whole numbers \(trial)", n, { numbers[min($0, $1) * n + max($0, $1)] }))
    }
    let eigen = SmallSymmetricEigen(capacity: 40)
    for (name, n, entry) in matrices {
      let a = (0..<(n * n)).map { entry($0 / n, $0 % n) }
      try expectEigenpairs(eigen, of: a, n, name)
    }
  }

  @Test func eigenpairsOfDiagonalAndZero() throws {
    let eigen = SmallSymmetricEigen(capacity: 4)
    try eigen.decompose([3, 0, 0, 0, -1, 0, 0, 0, 2], 3)
    #expect((0..<3).map { eigen.values[$0] } == [-1, 2, 3])
    try eigen.decompose([0, 0, 0, 0], 2)
    #expect(eigen.values[0] == 0 && eigen.values[1] == 0)
    #expect(abs(eigen.vector(0)[0]) + abs(eigen.vector(0)[1]) == 1)
  }

  /// The first shift of each is exactly its last diagonal element, so that the first rotation is a right angle.
  @Test(arguments: [(1.0, 1.0), (1, -1), (-1, 1), (-1, -1)])
  func eigenpairsWhereTheShiftIsADiagonalElement(_ first: Double, _ second: Double) throws {
    let eigen = SmallSymmetricEigen(capacity: 5)
    let a = [0, first, 0, 0, first, 0, second, 0, 0, second, -1, first, 0, 0, first, -1]
    for n in [3, 4] {
      let block = (0..<n).flatMap { i in (0..<n).map { a[i * 4 + $0] } }
      try expectEigenpairs(eigen, of: block, n, "\(first), \(second), order \(n)")
    }
  }

  @Test(arguments: [(1, 8, 9), (5, 12, 9), (20, 30, 40), (7, 30, 7)])
  func spectraFromFactors(_ r: Int, _ m: Int, _ n: Int) throws {
    let (left, right) = (normal(r, m, "l"), normal(r, n, "r"))
    let dense = matmul(left.converted(to: Double.self), .yes, right.converted(to: Double.self), .no)
    let reference = try svd(dense)
    let spectrum = FactoredSpectrum()
    try left.withView { left in
      try right.withView { right in
        spectrum.load(left: left, right: right)
        let scale = reference.sigma[0]
        #expect(abs(spectrum.frobeniusNorm - dense.frobeniusNorm) <= 1e-13 * scale * Double(r))
        let fourth = reference.sigma.reduce(0) { $0 + pow($1, 4) }
        #expect(spectrum.schatten4Bound() >= pow(fourth, 0.25) * (1 - 1e-14))
        #expect(spectrum.schatten4Bound() <= pow(fourth, 0.25) * (1 + 1e-9))
        #expect(spectrum.isCertified(within: 1.001 * scale))
        #expect(!spectrum.isCertified(within: 0.999 * scale))
        try spectrum.decompose()
        let found = Array(spectrum.singularValues.reversed())
        for i in 0..<min(r, m, n) {
          #expect(
            abs(found[i] - reference.sigma[i]) <= 1e-12 * scale,
            "\(i): \(found[i]), \(reference.sigma[i])")
        }
        for count in [0, 1, min(r, m, n)] {
          var g = Matrix<Float>(rows: m, columns: n)
          let norm = g.withMutableView {
            spectrum.write(reweighting: count, { 0.5 / (1 + $0) }, into: $0)
          }
          var right = reference.vT
          right.scaleRows(
            by: reference.sigma.enumerated().map { $0 < count ? $1 * 0.5 / (1 + $1) : $1 })
          let expected = matmul(reference.u, right)
          let difference = (g.converted(to: Double.self) - expected).frobeniusNorm
          #expect(difference <= 1e-6 * scale, "\(count) of \(r): off by \(difference)")
          #expect(abs(norm - expected.frobeniusNorm) <= 1e-12 * scale * Double(r))
        }
      }
    }
  }

  @Test func rankDeficientFactors() throws {
    // Three equal rows and a zero row: rank 2.
    var left = normal(5, 10, "d")
    for j in 0..<10 {
      left[1, j] = left[0, j]
      left[2, j] = left[0, j]
      left[4, j] = 0
    }
    let right = normal(5, 12, "e")
    let sigma = try singularValues(
      matmul(left.converted(to: Double.self), .yes, right.converted(to: Double.self), .no))
    let spectrum = FactoredSpectrum()
    try left.withView { left in
      try right.withView { right in
        spectrum.load(left: left, right: right)
        try spectrum.decompose()
        #expect(spectrum.singularValues.count <= 3)
        #expect(abs((spectrum.singularValues.last ?? 0) - sigma[0]) <= 1e-12 * sigma[0])
      }
    }
  }

  @Test func newtonSchulzSendsSingularValuesNearOne() throws {
    for (m, n) in [(6, 6), (4, 9), (9, 4), (1, 5)] {
      let x = newtonSchulz(normal(m, n, "ns"), iterations: 5, dividingBy: .offsetNorm)
      let sigma = try singularValues(x)
      #expect(sigma.allSatisfy { $0 > 0.3 && $0 < 1.3 }, "[\(m), \(n)]: \(sigma)")
    }
  }

  /// Small and large matrices take different routes; both against the polynomial in Double.
  @Test(arguments: [(20, 30), (130, 150), (150, 130), (104, 104)])
  func newtonSchulzIsItsPolynomial(_ m: Int, _ n: Int) {
    let g = normal(m, n, "ns")
    let (a, b, c) = (3.4445, -4.7750, 2.0315)
    var x = g.converted(to: Double.self)
    if m > n { x = x.transposed }
    let norm = x.frobeniusNorm
    x = Matrix(rows: x.rows, columns: x.columns, elements: x.elements.map { $0 / norm })
    for _ in 0..<5 {
      let gram = matmul(x, .no, x, .yes)
      let square = matmul(gram, gram)
      let polynomial = Matrix(rows: x.rows, columns: x.rows) { i, j in
        (i == j ? a : 0) + b * gram[i, j] + c * square[i, j]
      }
      x = matmul(polynomial, x)
    }
    if m > n { x = x.transposed }
    let got = newtonSchulz(g, iterations: 5, dividingBy: .clampedNorm)
    for (p, q) in zip(got.elements, x.elements) { #expect(abs(Double(p) - q) <= 2e-5) }
  }
}

@Suite struct ScrambledHaltonTests {
  @Test func everyElementaryIntervalIsHit() {
    // The first b^k points have exactly one in each interval of length b^-k, in every coordinate.
    let points = ScrambledHalton(dimensions: 2, stream: RandomStream(seed: 1, name: "halton"))
    for (dimension, base, count) in [(0, 2, 64), (1, 3, 81)] {
      let cells = (0..<count).map { Int(points.point($0)[dimension] * Double(count)) }
      #expect(Set(cells).count == count, "base \(base)")
    }
  }

  @Test func theStreamMatters() {
    func first(_ seed: UInt64) -> [Double] {
      ScrambledHalton(dimensions: 3, stream: RandomStream(seed: seed, name: "h")).point(5)
    }
    #expect(first(1) == first(1))
    #expect(first(1) != first(2))
    #expect(first(1).allSatisfy { $0 >= 0 && $0 < 1 })
  }
}

@Suite struct FactoredMatrixTests {
  @Test func rankOneTermsAndSamples() {
    let left = Matrix<Float>(rows: 2, columns: 3, elements: [1, 2, 3, -1, 0, 1])
    let right = Matrix<Float>(rows: 2, columns: 2, elements: [1, 1, 2, 0])
    let u: [Float] = [1, 0, 2]
    let v: [Float] = [3, -1]
    let (kept, formed) = (LayerGradient(rows: 3, columns: 2), LayerGradient(rows: 3, columns: 2))
    left.withView { left in
      right.withView { right in
        kept.setProduct(left: left, right: right)
        formed.setProduct(left: left, right: right)
        formed.materialize()
        #expect(formed.factors == nil && kept.factors != nil)
        kept.addRankOne(-4, u, v, sample: 1)
        formed.addRankOne(-4, u, v, sample: 1)
        #expect(kept.samples == [0, 1, 1])
        let difference = zip(array(kept.materialized), array(formed.entries)).map { abs($0 - $1) }
        #expect((difference.max() ?? 1) <= 1e-5)
        // Half of sample 1: its own row and the rank-one term it carries.
        kept.setProduct(left: left, right: right)
        kept.addRankOne(4, u, v, sample: 1)
        kept.scaleSamples(by: [1, 0.5])
        let want: [Float] = [
          1 + 0.5 * (-2 + 12), 1 + 0.5 * (0 - 4), 2, 2, 3 + 0.5 * (2 + 24), 3 + 0.5 * (0 - 8),
        ]
        for (got, want) in zip(array(kept.materialized), want) { #expect(abs(got - want) <= 1e-5) }
      }
    }
  }

  /// A product of no terms is zero, whatever was there before.
  @Test func aBatchOfNoSamplesHasNoGradient() {
    let none: [Float] = [.nan]
    let gradient = LayerGradient(rows: 2, columns: 3)
    gradient.base.update(repeating: .nan, count: 6)
    none.withUnsafeBufferPointer { none in
      guard let base = none.baseAddress else { return }
      gradient.setProduct(
        left: MatrixView(rows: 0, columns: 2, base: base),
        right: MatrixView(rows: 0, columns: 3, base: base))
    }
    #expect(!LayerGradient.isThin(rank: 0, rows: 2, columns: 3))
    #expect(array(gradient.materialized) == [Float](repeating: 0, count: 6))
  }

  @Test func aSumOverSamplesTakesAFurtherTerm() {
    final class Ones: SampleSum {
      let sampleCount = 2
      func add(weights: [Double]?, into base: UnsafeMutablePointer<Float>) {
        base.update(repeating: 1, count: 2)
      }
      func addSquaredNorms(to squares: UnsafeMutablePointer<Double>) {}
    }
    let gradient = LayerGradient(rows: 2, columns: 1)
    gradient.setSum(Ones())
    gradient.addRankOne(2, [1, 3], [10], sample: 0)
    #expect(array(gradient.materialized) == [21, 61])
  }

  private func array(_ view: MutableMatrixView<Float>) -> [Float] {
    (0..<view.count).map { view.base[$0] }
  }
}
