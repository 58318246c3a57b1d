import LinearAlgebra

// The transforms of F(4×4, 3×3) (Winograd 1980; Lavin & Gray 2016, arXiv 1509.09308): a tile of 4×4 outputs
//
//   y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A
//
// takes 36 multiplications a pair of channels in place of 144. Summed over channels, each of the 36 places is a matrix
// product. The backward pass is the adjoint of each factor: dM = A dy Aᵀ, dw = Gᵀ [Σ dM ⊙ V] G, dd = B [dM ⊙ U] Bᵀ.
//
// The factors interpolate a polynomial at 0, ±a, ±b and ∞ with a = √½, b = √2:
//
// Bᵀ = 1   0  -5/2   0   1  0    G =   1     0     0     Aᵀ = 1  1   1   1   1  0
//      0  -2a  -2    a   1  0        -2/3  -2/3a -1/3         0  a  -a   b  -b  0
//      0   2a  -2   -a   1  0        -2/3   2/3a -1/3         0 1/2 1/2  2   2  0
//      0  -b/2 -1/2  b   1  0         1/6   b/6   1/3         0 a/2 -a/2 2b -2b 1
//      0   b/2 -1/2 -b   1  0         1/6  -b/6   1/3
//      0   1    0  -5/2  0  1          0     0     1
//
// These points, because the usual 0, ±1, ±2, ∞ round twice as coarsely (of the pairs that were tried none was better), and
// a·b = 1 saves multiplications. Results have three times the error of F(2×2, 3×3), which takes 4 multiplications an output in
// place of 2.25, and up to five times that of the plain sum: WinogradErrorTests measures all three on every layer of the two
// image networks.

/// a = √½, b = √2.
private let rootHalf: Float = 0.707_106_77
private let root2: Float = 1.414_213_5

extension SIMD where Scalar == Float {
  /// self + x·factor.
  @inline(__always)
  fileprivate func plus(_ x: Self, times factor: Float) -> Self {
    plusProduct(x, Self(repeating: factor))
  }
}

/// Three vectors of channels: a row or column of a filter.
struct Three<V: ChannelVector> {
  var a: V, b: V, c: V

  /// G times this column.
  @inline(__always)
  var filter: Six<V> {
    let near = a.plus(c, times: 0.5) * (-2.0 / 3)
    let far = a.plus(c, times: 2) * (1.0 / 6)
    let (p, q): (Float, Float) = (-2.0 / 3 * rootHalf, 1.0 / 6 * root2)
    return Six(
      a: a, b: near.plus(b, times: p), c: near.plus(b, times: -p), d: far.plus(b, times: q),
      e: far.plus(b, times: -q), f: c)
  }
}

/// Four vectors of channels: a row or column of a tile of outputs.
struct Four<V: ChannelVector> {
  var a: V, b: V, c: V, d: V

  /// A times this column.
  @inline(__always)
  var outputAdjoint: Six<V> {
    let (near, far) = (a.plus(c, times: 0.5), a.plus(c, times: 2))
    let (p, q) = (b.plus(d, times: 0.5), b.plus(d, times: 2))
    return Six(
      a: a, b: near.plus(p, times: rootHalf), c: near.plus(p, times: -rootHalf),
      d: far.plus(q, times: root2), e: far.plus(q, times: -root2), f: d)
  }
}

/// Six vectors of channels: a row or column of a tile of inputs, or of a transformed tile.
struct Six<V: ChannelVector> {
  var a: V, b: V, c: V, d: V, e: V, f: V

  /// Bᵀ times this column.
  @inline(__always)
  var input: Six {
    let (near, far) = (e.plus(c, times: -2), e.plus(c, times: -0.5))
    let (p, q) = (d.plus(b, times: -2), d.plus(b, times: -0.5))
    return Six(
      a: e.plus(c, times: -2.5) + a, b: near.plus(p, times: rootHalf),
      c: near.plus(p, times: -rootHalf), d: far.plus(q, times: root2),
      e: far.plus(q, times: -root2), f: f.plus(d, times: -2.5) + b)
  }

  /// B times this column.
  @inline(__always)
  var inputAdjoint: Six {
    let (near, far) = (b + c, d + e)
    let (p, q) = ((b - c) * rootHalf, (d - e) * root2)
    return Six(
      a: a, b: f.plus(p, times: -2).plus(q, times: -0.5),
      c: (a * -2.5).plus(near, times: -2).plus(far, times: -0.5),
      d: (p + q).plus(f, times: -2.5), e: a + near + far, f: f)
  }

  /// Aᵀ times this column.
  @inline(__always)
  var output: Four<V> {
    let (near, far) = (b + c, d + e)
    let (p, q) = ((b - c) * rootHalf, (d - e) * root2)
    return Four(
      a: a + near + far, b: p + q, c: (near * 0.5).plus(far, times: 2),
      d: f.plus(p, times: 0.5).plus(q, times: 2))
  }

  /// Gᵀ times this column.
  @inline(__always)
  var filterAdjoint: Three<V> {
    let (near, far) = (b + c, d + e)
    return Three(
      a: a.plus(near, times: -2.0 / 3).plus(far, times: 1.0 / 6),
      b: ((b - c) * (-2.0 / 3 * rootHalf)).plus(d - e, times: 1.0 / 6 * root2),
      c: f.plus(far - near, times: 1.0 / 3))
  }
}

/// A tile of 6×6 vectors of channels, row by row.
struct Tile<V: ChannelVector> {
  var a: Six<V>, b: Six<V>, c: Six<V>, d: Six<V>, e: Six<V>, f: Six<V>

  @inline(__always)
  private init(_ row: (Int) -> Six<V>) {
    (a, b, c, d, e, f) = (row(0), row(1), row(2), row(3), row(4), row(5))
  }

  @inline(__always)
  private init(columns a: Six<V>, _ b: Six<V>, _ c: Six<V>, _ d: Six<V>, _ e: Six<V>, _ f: Six<V>) {
    self.a = Six(a: a.a, b: b.a, c: c.a, d: d.a, e: e.a, f: f.a)
    self.b = Six(a: a.b, b: b.b, c: c.b, d: d.b, e: e.b, f: f.b)
    self.c = Six(a: a.c, b: b.c, c: c.c, d: d.c, e: e.c, f: f.c)
    self.d = Six(a: a.d, b: b.d, c: c.d, d: d.d, e: e.d, f: f.d)
    self.e = Six(a: a.e, b: b.e, c: c.e, d: d.e, e: e.e, f: f.e)
    self.f = Six(a: a.f, b: b.f, c: c.f, d: d.f, e: e.f, f: f.f)
  }

  @inline(__always)
  private var turned: Tile { Tile(columns: a, b, c, d, e, f) }

  /// Its 36 vectors, `step` floats apart.
  @inline(__always)
  init(_ p: UnsafePointer<Float>, step: Int) {
    self.init { i in
      let q = p + 6 &* i &* step
      return Six(
        a: load(q), b: load(q + step), c: load(q + 2 &* step), d: load(q + 3 &* step),
        e: load(q + 4 &* step), f: load(q + 5 &* step))
    }
  }

  @inline(__always)
  func store(_ p: UnsafeMutablePointer<Float>, step: Int) {
    @inline(__always)
    func put(_ row: Six<V>, _ i: Int) {
      let q = p + 6 &* i &* step
      Autodiff.store(row.a, q)
      Autodiff.store(row.b, q + step)
      Autodiff.store(row.c, q + 2 &* step)
      Autodiff.store(row.d, q + 3 &* step)
      Autodiff.store(row.e, q + 4 &* step)
      Autodiff.store(row.f, q + 5 &* step)
    }
    put(a, 0)
    put(b, 1)
    put(c, 2)
    put(d, 3)
    put(e, 4)
    put(f, 5)
  }

  /// Bᵀ d B of the inputs d = pixel(row, column).
  @inline(__always)
  init(input pixel: (Int, Int) -> V) {
    @inline(__always)
    func column(_ j: Int) -> Six<V> {
      Six(
        a: pixel(0, j), b: pixel(1, j), c: pixel(2, j), d: pixel(3, j), e: pixel(4, j),
        f: pixel(5, j)
      ).input
    }
    let half = Tile(columns: column(0), column(1), column(2), column(3), column(4), column(5))
    (a, b, c) = (half.a.input, half.b.input, half.c.input)
    (d, e, f) = (half.d.input, half.e.input, half.f.input)
  }

  /// B v Bᵀ.
  @inline(__always)
  var inputAdjoint: Tile {
    let t = turned
    let half = Tile(
      columns: t.a.inputAdjoint, t.b.inputAdjoint, t.c.inputAdjoint, t.d.inputAdjoint,
      t.e.inputAdjoint, t.f.inputAdjoint)
    return Tile(
      a: half.a.inputAdjoint, b: half.b.inputAdjoint, c: half.c.inputAdjoint,
      d: half.d.inputAdjoint, e: half.e.inputAdjoint, f: half.f.inputAdjoint)
  }

  @inline(__always)
  private init(a: Six<V>, b: Six<V>, c: Six<V>, d: Six<V>, e: Six<V>, f: Six<V>) {
    (self.a, self.b, self.c, self.d, self.e, self.f) = (a, b, c, d, e, f)
  }

  /// Aᵀ m A, four rows.
  @inline(__always)
  var output: (Four<V>, Four<V>, Four<V>, Four<V>) {
    let t = turned
    let (a, b, c) = (t.a.output, t.b.output, t.c.output)
    let (d, e, f) = (t.d.output, t.e.output, t.f.output)
    return (
      Six(a: a.a, b: b.a, c: c.a, d: d.a, e: e.a, f: f.a).output,
      Six(a: a.b, b: b.b, c: c.b, d: d.b, e: e.b, f: f.b).output,
      Six(a: a.c, b: b.c, c: c.c, d: d.c, e: e.c, f: f.c).output,
      Six(a: a.d, b: b.d, c: c.d, d: d.d, e: e.d, f: f.d).output
    )
  }

  /// A y Aᵀ of four rows.
  @inline(__always)
  init(outputAdjoint y0: Four<V>, _ y1: Four<V>, _ y2: Four<V>, _ y3: Four<V>) {
    let (p, q) = (y0.outputAdjoint, y1.outputAdjoint)
    let (r, s) = (y2.outputAdjoint, y3.outputAdjoint)
    self.init(
      columns: Four(a: p.a, b: q.a, c: r.a, d: s.a).outputAdjoint,
      Four(a: p.b, b: q.b, c: r.b, d: s.b).outputAdjoint,
      Four(a: p.c, b: q.c, c: r.c, d: s.c).outputAdjoint,
      Four(a: p.d, b: q.d, c: r.d, d: s.d).outputAdjoint,
      Four(a: p.e, b: q.e, c: r.e, d: s.e).outputAdjoint,
      Four(a: p.f, b: q.f, c: r.f, d: s.f).outputAdjoint)
  }

  /// G w Gᵀ of the filter w = tap(row, column).
  @inline(__always)
  init(filter tap: (Int, Int) -> V) {
    let p = Three(a: tap(0, 0), b: tap(0, 1), c: tap(0, 2)).filter
    let q = Three(a: tap(1, 0), b: tap(1, 1), c: tap(1, 2)).filter
    let r = Three(a: tap(2, 0), b: tap(2, 1), c: tap(2, 2)).filter
    self.init(
      columns: Three(a: p.a, b: q.a, c: r.a).filter, Three(a: p.b, b: q.b, c: r.b).filter,
      Three(a: p.c, b: q.c, c: r.c).filter, Three(a: p.d, b: q.d, c: r.d).filter,
      Three(a: p.e, b: q.e, c: r.e).filter, Three(a: p.f, b: q.f, c: r.f).filter)
  }

  /// Gᵀ u G, three rows.
  @inline(__always)
  var filterAdjoint: (Three<V>, Three<V>, Three<V>) {
    let t = turned
    let (a, b, c) = (t.a.filterAdjoint, t.b.filterAdjoint, t.c.filterAdjoint)
    let (d, e, f) = (t.d.filterAdjoint, t.e.filterAdjoint, t.f.filterAdjoint)
    return (
      Six(a: a.a, b: b.a, c: c.a, d: d.a, e: e.a, f: f.a).filterAdjoint,
      Six(a: a.b, b: b.b, c: c.b, d: d.b, e: e.b, f: f.b).filterAdjoint,
      Six(a: a.c, b: b.c, c: c.c, d: d.c, e: e.c, f: f.c).filterAdjoint
    )
  }
}
