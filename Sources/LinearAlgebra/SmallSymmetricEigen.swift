// SPDX-License-Identifier: Apache-2.0

/// Eigenvalues and eigenvectors of symmetric matrices of a few dozen rows, without allocation.
///
/// Householder reduction to tridiagonal form, then QL iteration with Wilkinson's shifts; the
/// rotations run along rows, four numbers at a time. For orders around 33 this takes a third of
/// the time of LAPACK's syevd, whose blocking pays from about 100 rows on. Backward stable: values
/// carry absolute errors of a few ε‖a‖.
package final class SmallSymmetricEigen {
  /// The largest order.
  package let capacity: Int
  /// The order of the last decomposition.
  package private(set) var count = 0
  /// The eigenvalues of the last decomposition, ascending.
  package private(set) var values: UnsafeMutablePointer<Double>
  private let stride: Int
  private let work: UnsafeMutablePointer<Double>
  private let basis: UnsafeMutablePointer<Double>  // Q of the reduction, then eigenvectors in rows
  private let offDiagonal: UnsafeMutablePointer<Double>
  private let squares: UnsafeMutablePointer<Double>  // of offDiagonal, which keeps signs
  private let reflector: UnsafeMutablePointer<Double>
  private let product: UnsafeMutablePointer<Double>
  private let order: UnsafeMutablePointer<Int>

  /// What is dropped off the diagonal, of entries of at most 1: far below their rounding (2⁻⁵²), and its square far above the
  /// numbers that lose digits (2⁻¹⁰²²), of which rotations and reflectors would be made that are none.
  private static let negligible = 0x1p-120
  /// A square beside which every e² that is kept is so large that the angle is a right one, and far above what loses digits.
  private static let vanishing = 0x1p-900
  private static let signBit: UInt64 = 1 << 63

  /// Buffers for matrices of up to `capacity` rows.
  package init(capacity: Int) {
    self.capacity = capacity
    stride = (capacity + 3) & ~3
    func zeros(_ count: Int) -> UnsafeMutablePointer<Double> {
      let buffer = UnsafeMutablePointer<Double>.allocate(capacity: max(4, count))
      buffer.initialize(repeating: 0, count: max(4, count))
      return buffer
    }
    values = zeros(stride)
    work = zeros(stride * stride)
    basis = zeros(stride * stride)
    offDiagonal = zeros(stride + 1)
    squares = zeros(stride + 1)
    reflector = zeros(stride)
    product = zeros(stride)
    order = .allocate(capacity: max(1, capacity))
    order.initialize(repeating: 0, count: max(1, capacity))
  }

  deinit {
    for buffer in [values, work, basis, offDiagonal, squares, reflector, product] {
      buffer.deallocate()
    }
    order.deallocate()
  }

  /// The unit eigenvector[count] of `values[i]`.
  package func vector(_ i: Int) -> UnsafePointer<Double> {
    precondition(i >= 0 && i < count, "eigenvector \(i) of \(count)")
    return UnsafePointer(basis + order[i] * stride)
  }

  /// Decomposes the symmetric a[n,n] (row-major, both triangles filled, finite).
  ///
  /// Throws `LinearAlgebraError.notConverged` where 60 iterations do not isolate an eigenvalue.
  package func decompose(
    _ a: UnsafePointer<Double>, _ n: Int, vectors: Bool = true
  ) throws(LinearAlgebraError) {
    precondition(n <= capacity, "order \(n) beyond the capacity \(capacity)")
    count = n
    guard n > 0 else { return }
    let scale = load(a, n)
    for i in 0..<n { order[i] = i }
    guard scale > 0 else {
      for i in 0..<n {
        values[i] = 0
        for j in 0..<n { basis[i &* stride &+ j] = i == j ? 1 : 0 }
      }
      return
    }
    tridiagonalise(n)
    if vectors { formBasis(n) }
    try iterate(n, vectors)
    sort(n)
    for i in 0..<n { values[i] *= scale }
  }

  /// Copies a/max|a| into the padded working matrix and returns max|a|.
  private func load(_ a: UnsafePointer<Double>, _ n: Int) -> Double {
    var largest = 0.0
    for i in 0..<(n &* n) { largest = max(largest, a[i].magnitude) }
    let inverse = largest > 0 ? 1 / largest : 0
    for i in 0..<n {
      let row = work + i &* stride
      for j in 0..<n { row[j] = a[i &* n &+ j] * inverse }
      for j in n..<max(n, stride) { row[j] = 0 }
    }
    return largest
  }

  /// a ← QᵀaQ tridiagonal; the reflector of step i stays in row i, right of the diagonal, with its
  /// factor in `values[i]` until `formBasis` has used it.
  private func tridiagonalise(_ n: Int) {
    let ld = stride
    let (v, w) = (reflector, product)
    for i in 0..<max(0, n &- 2) {
      let row = work + i &* ld
      let head = row[i &+ 1]
      var tail = 0.0
      for j in (i &+ 2)..<n { tail.addProduct(row[j], row[j]) }
      guard tail > Self.negligible * Self.negligible else {
        offDiagonal[i] = head
        values[i] = 0
        for j in (i &+ 1)..<n { row[j] = 0 }
        continue
      }
      let norm = (head * head + tail).squareRoot()
      let beta = head >= 0 ? -norm : norm
      let tau = (beta - head) / beta
      let inverse = 1 / (head - beta)
      let first = (i &+ 1) & ~3
      for j in first..<ld { v[j] = 0 }
      v[i &+ 1] = 1
      for j in (i &+ 2)..<n { v[j] = row[j] * inverse }
      // w = tau · A v, then w -= (tau/2)(wᵀv) v
      multiply(v, from: i &+ 1, n, first, into: w)
      var inner = 0.0
      for j in (i &+ 1)..<n {
        w[j] *= tau
        inner.addProduct(w[j], v[j])
      }
      let half = 0.5 * tau * inner
      for j in first..<ld { w[j] = j > i && j < n ? w[j] - half * v[j] : 0 }
      for r in (i &+ 1)..<n {
        let (vr, wr) = (SIMD4(repeating: -v[r]), SIMD4(repeating: -w[r]))
        let target = work + r &* ld
        for c in Swift.stride(from: first, to: ld, by: 4) {
          let sum = vector4(target + c).addingProduct(vr, vector4(w + c))
          store(sum.addingProduct(wr, vector4(v + c)), target + c)
        }
      }
      offDiagonal[i] = beta
      values[i] = tau
      for j in (i &+ 1)..<n { row[j] = v[j] }
    }
    if n >= 2 { offDiagonal[n &- 2] = work[(n &- 2) &* ld &+ n &- 1] }
    offDiagonal[n &- 1] = 0
  }

  /// into[c] = Σ_r x[r] · work[r, c] over r = from ..< n, which is A x for the symmetric trailing block.
  @inline(__always)
  private func multiply(
    _ x: UnsafePointer<Double>, from: Int, _ n: Int, _ first: Int,
    into y: UnsafeMutablePointer<Double>
  ) {
    var c = first
    while c &+ 12 <= stride {
      var s0 = SIMD4<Double>(repeating: 0), s1 = s0, s2 = s0
      for r in from..<n {
        let (factor, row) = (SIMD4(repeating: x[r]), work + (r &* stride &+ c))
        s0 = s0.addingProduct(factor, vector4(row))
        s1 = s1.addingProduct(factor, vector4(row + 4))
        s2 = s2.addingProduct(factor, vector4(row + 8))
      }
      store(s0, y + c)
      store(s1, y + c + 4)
      store(s2, y + c + 8)
      c &+= 12
    }
    while c < stride {
      var sum = SIMD4<Double>(repeating: 0)
      for r in from..<n {
        sum = sum.addingProduct(SIMD4(repeating: x[r]), vector4(work + (r &* stride &+ c)))
      }
      store(sum, y + c)
      c &+= 4
    }
  }

  /// basis = Qᵀ: row k will become the eigenvector of value k under the rotations of `iterate`.
  private func formBasis(_ n: Int) {
    let ld = stride
    for i in 0..<n {
      let row = basis + i &* ld
      for j in 0..<ld { row[j] = 0 }
      row[i] = 1
    }
    // Q ← H_i Q from the last reflector to the first touches only the trailing block. The transpose
    // of Q is wanted, so Q is built here and turned over at the end.
    for i in Swift.stride(from: n &- 3, through: 0, by: -1) where values[i] != 0 {
      let tau = values[i]
      let v = work + i &* ld
      let first = (i &+ 1) & ~3
      let w = product
      for c in first..<ld { w[c] = 0 }
      for r in (i &+ 1)..<n {
        let factor = SIMD4(repeating: v[r] * tau)
        let row = basis + r &* ld
        for c in Swift.stride(from: first, to: ld, by: 4) {
          store(vector4(w + c).addingProduct(factor, vector4(row + c)), w + c)
        }
      }
      for r in (i &+ 1)..<n {
        let factor = SIMD4(repeating: -v[r])
        let row = basis + r &* ld
        for c in Swift.stride(from: first, to: ld, by: 4) {
          store(vector4(row + c).addingProduct(factor, vector4(w + c)), row + c)
        }
      }
    }
    for i in 0..<n {
      for j in 0..<i {
        let (p, q) = (i &* ld &+ j, j &* ld &+ i)
        let held = basis[p]
        basis[p] = basis[q]
        basis[q] = held
      }
    }
  }

  /// QL with Wilkinson's shifts on (values, offDiagonal), rotating the rows of `basis`.
  ///
  /// The recurrence is Pal, Walker and Kahan's, which carries squares (as LAPACK's sterf does): one division a rotation waits
  /// for the one before it, where cosines and sines would add a square root and a second division. The
  /// rotations of the vectors take the roots of the squares, and nothing waits for those.
  private func iterate(_ n: Int, _ vectors: Bool) throws(LinearAlgebraError) {
    let (d, e) = (values, squares)
    for i in 0..<n {
      d[i] = work[i &* stride &+ i]
      e[i] = offDiagonal[i] * offDiagonal[i]
    }
    for l in 0..<n {
      var rounds = 0
      while true {
        var m = l
        while m < n &- 1 {
          let size = .ulpOfOne * (d[m].magnitude + d[m &+ 1].magnitude)
          if e[m] <= max(size * size, Self.negligible * Self.negligible) { break }
          m &+= 1
        }
        if m == l { break }
        rounds &+= 1
        guard rounds <= 60 else {
          throw .notConverged(routine: "QL iteration", info: l + 1, rows: n, columns: n)
        }
        let root = e[l].squareRoot()
        let slope = (d[l &+ 1] - d[l]) / (2 * root)
        let length = (slope * slope + 1).squareRoot()
        let shift = d[l] - root / (slope + (slope >= 0 ? length : -length))
        // π is what the next rotation turns into the element off the diagonal, square its square; cosine and sine are squares
        // too, of the last rotation, and gamma = √cosine · π. Signs are bits: nobody could predict a branch on them.
        var (cosine, sine) = (1.0, 0.0)
        var gamma = d[m] - shift
        var (cosineSign, piSign): (UInt64, UInt64) = (0, gamma.bitPattern & Self.signBit)
        var square = gamma * gamma
        // Two rotations of the vectors go together: every other one waits for the next.
        var waiting = (c: 1.0, s: 0.0)
        var i = m &- 1
        while i >= l {
          let next = e[i]
          let r = square + next
          if i < m &- 1 { e[i &+ 1] = sine * r }
          let (oldCosine, oldGamma, oldSign) = (cosine, gamma, cosineSign)
          let inverse = r / square
          cosine = square / r
          sine = next / r
          cosineSign = piSign
          let alpha = d[i]
          gamma = cosine * (alpha - shift) - sine * oldGamma
          d[i &+ 1] = oldGamma + (alpha - gamma)
          if vectors {
            // An element off the diagonal keeps its sign, and the sine has it.
            let c = Double(bitPattern: cosine.squareRoot().bitPattern | cosineSign)
            let s = Double(signOf: offDiagonal[i], magnitudeOf: sine.squareRoot())
            if (m &- i) & 1 == 0 {
              rotate(i, n, waiting.c, waiting.s, c, s)
            } else {
              waiting = (c, s)
            }
          }
          if square > Self.vanishing {
            square = gamma * gamma * inverse
            piSign = cosineSign ^ (gamma.bitPattern & Self.signBit)
          } else {  // A right angle: gamma says nothing of π.
            square = oldCosine * next
            piSign = oldSign ^ Self.signBit
          }
          i &-= 1
        }
        if vectors && (m &- l) & 1 == 1 { rotate(l, n, waiting.c, waiting.s) }
        e[l] = sine * square
        if piSign != 0 { offDiagonal[l] = -offDiagonal[l] }
        d[l] = shift + gamma
      }
    }
  }

  /// Rows i and i+1 of the basis: (zᵢ, zᵢ₊₁) ← (c zᵢ - s zᵢ₊₁, s zᵢ + c zᵢ₊₁).
  @inline(__always)
  private func rotate(_ i: Int, _ n: Int, _ c: Double, _ s: Double) {
    let lower = basis + i &* stride
    let upper = lower + stride
    let (cc, ss) = (SIMD4(repeating: c), SIMD4(repeating: s))
    var k = 0
    while k < n {
      let (z, f) = (vector4(lower + k), vector4(upper + k))
      store((ss * z).addingProduct(cc, f), upper + k)
      store((cc * z).addingProduct(-ss, f), lower + k)
      k &+= 4
    }
  }

  /// Rows i + 1 and i + 2 of the basis by the first cosine and sine, then rows i and i + 1 by the second.
  @inline(__always)
  private func rotate(
    _ i: Int, _ n: Int, _ c1: Double, _ s1: Double, _ c2: Double, _ s2: Double
  ) {
    let lower = basis + i &* stride
    let (middle, upper) = (lower + stride, lower + 2 &* stride)
    let (cc1, ss1) = (SIMD4(repeating: c1), SIMD4(repeating: s1))
    let (cc2, ss2) = (SIMD4(repeating: c2), SIMD4(repeating: s2))
    var k = 0
    while k < n {
      let (y, z, f) = (vector4(lower + k), vector4(middle + k), vector4(upper + k))
      store((ss1 * z).addingProduct(cc1, f), upper + k)
      let x = (cc1 * z).addingProduct(-ss1, f)
      store((ss2 * y).addingProduct(cc2, x), middle + k)
      store((cc2 * y).addingProduct(-ss2, x), lower + k)
      k &+= 4
    }
  }

  /// Insertion sort of the values; `order` remembers the rows of their vectors.
  private func sort(_ n: Int) {
    for i in 1..<max(1, n) {
      let (value, row) = (values[i], order[i])
      var j = i &- 1
      while j >= 0 && values[j] > value {
        values[j &+ 1] = values[j]
        order[j &+ 1] = order[j]
        j &-= 1
      }
      values[j &+ 1] = value
      order[j &+ 1] = row
    }
  }

  @inline(__always)
  private func vector4(_ p: UnsafePointer<Double>) -> SIMD4<Double> {
    UnsafeRawPointer(p).loadUnaligned(as: SIMD4<Double>.self)
  }

  @inline(__always)
  private func vector4(_ p: UnsafeMutablePointer<Double>) -> SIMD4<Double> {
    UnsafeRawPointer(p).loadUnaligned(as: SIMD4<Double>.self)
  }

  @inline(__always)
  private func store(_ value: SIMD4<Double>, _ p: UnsafeMutablePointer<Double>) {
    UnsafeMutableRawPointer(p).storeBytes(of: value, as: SIMD4<Double>.self)
  }
}
