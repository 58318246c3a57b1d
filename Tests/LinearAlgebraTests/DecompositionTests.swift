// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import LinearAlgebra

private func random(_ m: Int, _ n: Int, _ seed: UInt64 = 1) -> Matrix<Double> {
  Matrix(
    rows: m, columns: n,
    elements: RandomStream(seed: seed, name: "decompositions/\(m)x\(n)").normals(m * n))
}

private func largest<S>(_ a: Matrix<S>) -> Double {
  a.elements.reduce(0) { max($0, Double($1.magnitude)) }
}

private func naive(_ a: Matrix<Double>, _ b: Matrix<Double>) -> Matrix<Double> {
  Matrix(rows: a.rows, columns: b.columns) { i, j in
    (0..<a.columns).reduce(0) { $0 + a[i, $1] * b[$1, j] }
  }
}

private let shapes = [(1, 1), (1, 5), (5, 1), (3, 3), (4, 7), (7, 4), (17, 9), (9, 17)]

@Suite struct ProductTests {
  @Test(arguments: shapes, [0, 1, 3, 8])
  func equalTheTripleLoopForAllTransposes(_ shape: (Int, Int), _ k: Int) {
    let (m, n) = shape
    let (a, b) = (random(m, k), random(k, n, 2))
    let expected = naive(a, b)
    // A sum of k products of O(1) numbers: k ulps each way, times the size of the terms (< 5 each).
    let limit = 25 * Double(max(k, 1)) * Double.ulpOfOne
    for (ta, tb) in [(Transpose.no, Transpose.no), (.yes, .no), (.no, .yes), (.yes, .yes)] {
      let got = matmul(ta == .no ? a : a.transposed, ta, tb == .no ? b : b.transposed, tb)
      #expect(largest(got - expected) <= limit, "[\(m), \(k), \(n)] \(ta) \(tb)")
      var c = random(m, n, 3)
      let start = c
      (ta == .no ? a : a.transposed).withView { a in
        (tb == .no ? b : b.transposed).withView { b in
          c.withMutableView { gemm(a, ta, b, tb, alpha: -2, beta: 0.5, into: $0) }
        }
      }
      #expect(largest(c - (0.5 * start - 2 * expected)) <= 4 * limit)
    }
  }

  @Test(arguments: shapes) func gramMatricesOfFloatsAreFormedInDouble(_ m: Int, _ n: Int) {
    let x = random(m, n).converted(to: Float.self)
    let wide = x.converted(to: Double.self)
    let limit = 25 * Double(max(m, n)) * Double.ulpOfOne
    #expect(largest(x.withView { gram(ofRows: $0) } - naive(wide, wide.transposed)) <= limit)
    #expect(largest(x.withView { gram(ofColumns: $0) } - naive(wide.transposed, wide)) <= limit)
    #expect(largest(wide.withView { gram(ofRows: $0) } - naive(wide, wide.transposed)) <= limit)
    #expect(largest(wide.withView { gram(ofColumns: $0) } - naive(wide.transposed, wide)) <= limit)
  }

  @Test func gramMatricesSpanManyPanels() {
    let x = random(300, 700).converted(to: Float.self)
    let wide = x.converted(to: Double.self)
    #expect(
      largest(x.withView { gram(ofRows: $0) } - matmul(wide, .no, wide, .yes)) <= 1e-11)
    #expect(
      largest(x.withView { gram(ofColumns: $0) } - matmul(wide, .yes, wide, .no)) <= 1e-11)
  }

  @Test func normsNeitherOverflowNorVanish() {
    for scale in [1, 1e-200, 1e200] {
      let norm = Matrix<Double>(rows: 1, columns: 2, elements: [3 * scale, 4 * scale]).frobeniusNorm
      #expect(abs(norm - 5 * scale) <= 1e-15 * 5 * scale)
    }
    #expect(Matrix<Double>(rows: 2, columns: 0).frobeniusNorm == 0)
    #expect(Matrix<Float>(rows: 1, columns: 1, elements: [.infinity]).frobeniusNorm == .infinity)
  }

  @Test func lowRankUpdatesSubtractWhatTheySay() {
    for (m, n) in [(9, 14), (14, 9), (200, 300)] {
      let g = random(m, n)
      let (left, right) = (random(2, m, 4), random(2, n, 5))
      var a = g
      a.withMutableView { subtractProduct(left, right, from: $0) }
      #expect(largest(a - (g - matmul(left, .yes, right, .no))) <= 1e-14)
      var b = g
      b.withMutableView { shrinkLeft($0, along: left, by: [0.5, 0.25]) }
      let leftMap = matmul(matmul(left, .yes, .diagonal([0.5, 0.25]), .no), left)
      #expect(largest(b - (g - matmul(leftMap, g))) <= 1e-11 * Double(m))
      var c = g
      c.withMutableView { shrinkRight($0, along: right, by: [0.5, 0.25]) }
      let rightMap = matmul(matmul(right, .yes, .diagonal([0.5, 0.25]), .no), right)
      #expect(largest(c - (g - matmul(g, rightMap))) <= 1e-11 * Double(n))
    }
  }
}

@Suite struct DecompositionTests {
  init() { _ = BLASEnvironment.pinned() }

  private func check<S: RealScalar>(_ s: SVD<S>, of g: Matrix<S>, _ what: String) {
    let k = min(g.rows, g.columns)
    let limit = 40 * Double(max(g.rows, g.columns)) * Double(S.ulpOfOne)
    let scale = max(Double(s.sigma.first ?? 0), 1e-30)
    #expect(s.sigma.count == k && zip(s.sigma, s.sigma.dropFirst()).allSatisfy(>=))
    #expect(largest(matmul(matmul(s.u, .diagonal(s.sigma)), s.vT) - g) <= limit * scale, "\(what)")
    #expect(largest(matmul(s.u, .yes, s.u, .no) - .identity(k)) <= limit, "\(what)")
    #expect(largest(matmul(s.vT, .no, s.vT, .yes) - .identity(k)) <= limit, "\(what)")
  }

  @Test(arguments: shapes) func svdReassembles(_ m: Int, _ n: Int) throws {
    let g = random(m, n)
    check(try svd(g), of: g, "[\(m), \(n)]")
    check(try svd(g.converted(to: Float.self)), of: g.converted(to: Float.self), "Float")
    let low = matmul(random(m, 1), random(1, n))
    check(try svd(low), of: low, "rank one")
    check(try svd(Matrix<Double>(rows: m, columns: n)), of: Matrix(rows: m, columns: n), "zero")
    let values = try singularValues(g)
    for (a, b) in zip(values, try svd(g).sigma) { #expect(abs(a - b) <= 1e-13 * values[0]) }
  }

  @Test func aDriverThatDoesNotConvergeIsReplacedAndCounted() throws {
    let g = random(6, 4)
    var drivers = LAPACKDrivers<Double>()
    drivers.first = { _, _, _, a, _, _, _ in
      a[0] = .nan  // a failed driver leaves its input destroyed
      return 3
    }
    let before = SVDFallback.count
    check(try svd(g, drivers: drivers), of: g, "gesvd")
    #expect(SVDFallback.count == before + 1)
    drivers.fallback = drivers.first
    #expect(throws: LinearAlgebraError.notConverged(routine: "gesdd", info: 3, rows: 6, columns: 4))
    {
      try svd(g, drivers: drivers)
    }
    drivers.first = { _, _, _, _, _, _, _ in -2 }
    #expect(throws: LinearAlgebraError.illegalArgument(routine: "gesdd", info: -2)) {
      try svd(g, drivers: drivers)
    }
  }

  @Test func entriesThatAreNotFiniteAreNamed() {
    var g = random(4, 5)
    g[2, 3] = .infinity
    #expect(throws: LinearAlgebraError.notFinite(value: .infinity, row: 2, column: 3)) {
      try svd(g)
    }
    #expect(throws: LinearAlgebraError.self) { try singularValues(g) }
    var square = random(3, 3)
    square[1, 0] = .nan
    #expect(throws: LinearAlgebraError.self) { try symmetricEigen(square) }
  }

  @Test func qrIsThinOrthonormalAndTriangular() throws {
    for (m, n) in [(1, 1), (5, 1), (7, 4), (20, 20)] {
      let a = random(m, n)
      let f = try qr(a)
      #expect(largest(matmul(f.q, f.r) - a) <= 1e-13)
      #expect(largest(matmul(f.q, .yes, f.q, .no) - .identity(n)) <= 1e-13)
      for i in 0..<n { for j in 0..<i { #expect(f.r[i, j] == 0) } }
    }
  }

  @Test(arguments: [1, 2, 5, 24]) func eigenpairsOfSymmetricMatrices(_ n: Int) throws {
    let g = random(n, n)
    for a in [g + g.transposed, Matrix(rows: n, columns: n), .identity(n)] {
      for count in [0, 1, n / 5, n] {
        let e = try symmetricEigen(a) { _ in count }
        #expect(e.values.count == n && zip(e.values, e.values.dropFirst()).allSatisfy(<=))
        #expect(e.vectors.rows == count)
        let limit = 1e-13 * Double(n) * max(1, abs(e.values[n - 1]) + abs(e.values[0]))
        let applied = matmul(e.vectors, a)
        let expected = matmul(.diagonal(Array(e.values.suffix(count))), e.vectors)
        #expect(largest(applied - expected) <= limit, "n \(n) count \(count)")
        #expect(largest(matmul(e.vectors, .no, e.vectors, .yes) - .identity(count)) <= 1e-12)
      }
    }
  }

  @Test(arguments: [(30, 12), (12, 30), (20, 20)])
  func sketchesHaveOrthonormalBasesWhateverTheRank(_ m: Int, _ n: Int) throws {
    let stream = RandomStream(seed: 5, name: "sketch")
    for g in [random(m, n), matmul(random(m, 2), random(2, n)), Matrix(rows: m, columns: n)] {
      let sketch = try RangeSketch(of: g, vectors: 6, powerIterations: 2, stream: stream)
      #expect(largest(matmul(sketch.basis, .no, sketch.basis, .yes) - .identity(6)) <= 1e-13)
      let oriented = sketch.isTall ? g : g.transposed
      #expect(largest(matmul(sketch.basis, oriented) - sketch.coefficients) <= 1e-12)
    }
    // A rank within the sketch's is captured whole.
    let low = matmul(random(m, 3), random(3, n))
    let sketch = try RangeSketch(of: low, vectors: 8, powerIterations: 1, stream: stream)
    for (a, b) in zip(try singularValues(sketch.coefficients), try singularValues(low)).prefix(3) {
      #expect(abs(a - b) <= 1e-12 * b)
    }
  }

  @Test func blasIsPinnedToOneThread() {
    let environment = BLASEnvironment.pinned()
    #expect(environment.threads == 1)
    #expect(!environment.core.isEmpty && environment.config.contains("OpenBLAS"))
  }

  @Test func kernelsAreChosenWhereOpenBLASKnowsTheCPUNot() {
    let avx512: Set<Substring> = [
      "avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd",
    ]
    func kernels(_ core: String, _ flags: Set<Substring>) -> String? {
      BLASEnvironment.kernels(insteadOf: core, flags: flags)
    }
    #expect(kernels("Prescott", avx512) == "SkylakeX")
    #expect(kernels("Prescott", ["avx2", "fma"]) == "Haswell")
    #expect(kernels("Prescott", ["avx2"]) == nil && kernels("Prescott", []) == nil)
    // A choice that fits is never changed, nor one for a CPU without AVX-512's parts.
    #expect(kernels("SkylakeX", avx512) == nil && kernels("Haswell", avx512) == nil)
    #expect(kernels("Core2", avx512.subtracting(["avx512bw"])) == "Haswell")
  }

  /// One pass of Cholesky QR is taken only where it is good: rows that are nearly dependent go by Householder's way.
  @Test(arguments: [1.0, 1e2, 1e4, 1e6, 1e7]) func onePassIsOrthonormalWhateverThePanel(
    _ condition: Double
  )
    throws
  {
    let (q, m) = (4, 20)
    var panel = Matrix<Double>(
      rows: q, columns: m,
      elements: RandomStream(seed: 7, name: "panel").normals(q * m))
    for j in 0..<m {
      panel.elements[(q - 1) * m + j] =
        panel.elements[j] + panel.elements[(q - 1) * m + j] / condition
    }
    var rows = panel
    try rows.withMutableView { try orthonormalizeRows($0, refined: false) }
    for a in 0..<q {
      for b in 0...a {
        var product = 0.0
        for j in 0..<m { product += rows.elements[a * m + j] * rows.elements[b * m + j] }
        // A pivot of 1e-6 bounds the condition by about 1e3, and the error by its square times the rounding.
        #expect(abs(product - (a == b ? 1 : 0)) < 1e-9, "\(condition): \(a), \(b): \(product)")
      }
    }
  }
}
