// The transforms of F(2×2, 3×3) (Winograd 1980; Lavin & Gray 2016, arXiv 1509.09308): a tile of 2×2 outputs
//
//   y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A
//
// takes 16 multiplications a pair of channels in place of 36. Summed over channels, each of the 16 places is a matrix
// product. The backward pass is the adjoint of each factor: dM = A dy Aᵀ, dw = Gᵀ [Σ dM ⊙ V] G, dd = B [dM ⊙ U] Bᵀ.
//
// Bᵀ = 1  0 -1  0    G =  1   0   0    Aᵀ = 1 1  1  0
//      0  1  1  0        1/2 1/2 1/2        0 1 -1 -1
//      0 -1  1  0        1/2 -1/2 1/2
//      0  1  0 -1         0   0   1
//
// Factors are 0, ±1 and ±1/2, so that rounding stays within a few times that of the plain sum (the goldens hold to
// 5e-6). F(4×4, 3×3) would take 36 multiplications for 16 outputs, 2.25 each in place of 4, but its factors reach 8
// and it rounds coarser; as the step already beats its peer, that was not tried.

/// Four vectors of channels: a row of a tile.
struct Quad<V: SIMD> where V.Scalar == Float {
  var a: V, b: V, c: V, d: V

  @inline(__always)
  init(_ a: V, _ b: V, _ c: V, _ d: V) { (self.a, self.b, self.c, self.d) = (a, b, c, d) }

  @inline(__always)
  static func + (x: Quad, y: Quad) -> Quad { Quad(x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d) }
  @inline(__always)
  static func - (x: Quad, y: Quad) -> Quad { Quad(x.a - y.a, x.b - y.b, x.c - y.c, x.d - y.d) }
  @inline(__always)
  static prefix func - (x: Quad) -> Quad { Quad(-x.a, -x.b, -x.c, -x.d) }
  @inline(__always)
  static func * (x: Quad, y: Float) -> Quad { Quad(x.a * y, x.b * y, x.c * y, x.d * y) }

  /// Bᵀ times this column.
  @inline(__always)
  var input: Quad { Quad(a - c, b + c, c - b, b - d) }
  /// B times this column.
  @inline(__always)
  var inputAdjoint: Quad { Quad(a, b - c + d, b + c - a, -d) }
  /// Aᵀ times this column.
  @inline(__always)
  var output: (V, V) { (a + b + c, b - c - d) }
  /// A times a column of two.
  @inline(__always)
  init(outputAdjoint y0: V, _ y1: V) { self.init(y0, y0 + y1, y0 - y1, -y1) }
  /// G times a column of three.
  @inline(__always)
  init(filter w0: V, _ w1: V, _ w2: V) {
    let (even, odd) = ((w0 + w2) * 0.5, w1 * 0.5)
    self.init(w0, even + odd, even - odd, w2)
  }
  /// Gᵀ times this column.
  @inline(__always)
  var filterAdjoint: (V, V, V) {
    let (even, odd) = ((b + c) * 0.5, (b - c) * 0.5)
    return (a + even, odd, even + d)
  }
}

/// A tile of 4×4 vectors of channels, row by row.
struct Tile<V: SIMD> where V.Scalar == Float {
  var rows: (Quad<V>, Quad<V>, Quad<V>, Quad<V>)

  @inline(__always)
  init(_ r0: Quad<V>, _ r1: Quad<V>, _ r2: Quad<V>, _ r3: Quad<V>) { rows = (r0, r1, r2, r3) }

  /// Its 16 vectors, `step` floats apart.
  @inline(__always)
  init(_ p: UnsafePointer<Float>, step: Int) {
    @inline(__always)
    func row(_ i: Int) -> Quad<V> {
      let q = p + 4 &* i &* step
      return Quad(load(q), load(q + step), load(q + 2 &* step), load(q + 3 &* step))
    }
    rows = (row(0), row(1), row(2), row(3))
  }

  @inline(__always)
  func store(_ p: UnsafeMutablePointer<Float>, step: Int) {
    @inline(__always)
    func put(_ row: Quad<V>, _ i: Int) {
      let q = p + 4 &* i &* step
      Autodiff.store(row.a, q)
      Autodiff.store(row.b, q + step)
      Autodiff.store(row.c, q + 2 &* step)
      Autodiff.store(row.d, q + 3 &* step)
    }
    put(rows.0, 0)
    put(rows.1, 1)
    put(rows.2, 2)
    put(rows.3, 3)
  }

  /// Bᵀ d B.
  @inline(__always)
  var input: Tile {
    let (r0, r1, r2, r3) = rows
    return Tile((r0 - r2).input, (r1 + r2).input, (r2 - r1).input, (r1 - r3).input)
  }

  /// B v Bᵀ.
  @inline(__always)
  var inputAdjoint: Tile {
    let (r0, r1, r2, r3) = rows
    return Tile(
      r0.inputAdjoint, (r1 - r2 + r3).inputAdjoint, (r1 + r2 - r0).inputAdjoint,
      (-r3).inputAdjoint)
  }

  /// Aᵀ m A: y00, y01, y10, y11.
  @inline(__always)
  var output: (V, V, V, V) {
    let (r0, r1, r2, r3) = rows
    let (top, bottom) = ((r0 + r1 + r2).output, (r1 - r2 - r3).output)
    return (top.0, top.1, bottom.0, bottom.1)
  }

  /// A y Aᵀ.
  @inline(__always)
  init(outputAdjoint y00: V, _ y01: V, _ y10: V, _ y11: V) {
    let (r0, r3) = (Quad(outputAdjoint: y00, y01), Quad(outputAdjoint: y10, y11))
    rows = (r0, r0 + r3, r0 - r3, -r3)
  }

  /// G w Gᵀ of w[3, 3, …], whose vectors are `step` floats apart; the last vector has `count` floats.
  @inline(__always)
  init(filter w: UnsafePointer<Float>, step: Int, count: Int) {
    @inline(__always)
    func row(_ i: Int) -> Quad<V> {
      let q = w + 3 &* i &* step
      return Quad(
        filter: load(q, count), load(q + step, count), load(q + 2 &* step, count))
    }
    let (w0, w1, w2) = (row(0), row(1), row(2))
    let (even, odd) = ((w0 + w2) * 0.5, w1 * 0.5)
    rows = (w0, even + odd, even - odd, w2)
  }

  /// Gᵀ u G: beta · w + result into w[3, 3, …].
  @inline(__always)
  func addFilterAdjoint(
    to w: UnsafeMutablePointer<Float>, step: Int, count: Int, beta: Float
  ) {
    let (r0, r1, r2, r3) = rows
    let (even, odd) = ((r1 + r2) * 0.5, (r1 - r2) * 0.5)
    @inline(__always)
    func put(_ value: V, _ p: UnsafeMutablePointer<Float>) {
      Autodiff.store(beta == 0 ? value : load(p, count) + value, p, count)
    }
    @inline(__always)
    func row(_ u: Quad<V>, _ i: Int) {
      let (x, y, z) = u.filterAdjoint
      let q = w + 3 &* i &* step
      put(x, q)
      put(y, q + step)
      put(z, q + 2 &* step)
    }
    row(r0 + even, 0)
    row(odd, 1)
    row(even + r3, 2)
  }
}

/// Channels side by side. Comparisons are written for each width, because masks of a generic one are taken apart.
protocol ChannelVector: SIMD where Scalar == Float {
  /// Replaces `best` by `y`, and `winner` by `index`, where y is larger or NaN.
  static func compare(_ y: Self, _ index: Float, _ best: inout Self, _ winner: inout Self)
  /// These values where `winner` is `index`, else 0.
  func kept(where winner: Self, is index: Float) -> Self
}

extension SIMD8<Float>: ChannelVector {
  @inline(__always)
  static func compare(_ y: Self, _ index: Float, _ best: inout Self, _ winner: inout Self) {
    let wins = (y .> best) .| (y .!= y)
    best.replace(with: y, where: wins)
    winner.replace(with: Self(repeating: index), where: wins)
  }
  @inline(__always)
  func kept(where winner: Self, is index: Float) -> Self {
    replacing(with: 0, where: winner .!= Self(repeating: index))
  }
}

extension SIMD16<Float>: ChannelVector {
  @inline(__always)
  static func compare(_ y: Self, _ index: Float, _ best: inout Self, _ winner: inout Self) {
    let wins = (y .> best) .| (y .!= y)
    best.replace(with: y, where: wins)
    winner.replace(with: Self(repeating: index), where: wins)
  }
  @inline(__always)
  func kept(where winner: Self, is index: Float) -> Self {
    replacing(with: 0, where: winner .!= Self(repeating: index))
  }
}

/// A whole vector from any address.
@inline(__always)
func load<V: SIMD>(_ p: UnsafePointer<Float>) -> V where V.Scalar == Float {
  UnsafeRawPointer(p).loadUnaligned(as: V.self)
}

/// min(count, all) floats, and zeros.
@inline(__always)
func load<V: SIMD>(_ p: UnsafePointer<Float>, _ count: Int) -> V where V.Scalar == Float {
  if count >= V.scalarCount { return load(p) }
  var result = V(repeating: 0)
  for i in 0..<count { result[i] = p[i] }
  return result
}

/// A whole vector to any address.
@inline(__always)
func store<V: SIMD>(_ value: V, _ p: UnsafeMutablePointer<Float>) where V.Scalar == Float {
  UnsafeMutableRawPointer(p).storeBytes(of: value, as: V.self)
}

/// The first min(count, all) floats.
@inline(__always)
func store<V: SIMD>(_ value: V, _ p: UnsafeMutablePointer<Float>, _ count: Int)
where V.Scalar == Float {
  if count >= V.scalarCount { return store(value, p) }
  for i in 0..<count { p[i] = value[i] }
}
