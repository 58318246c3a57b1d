// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra
import Testing

@testable import Autodiff

/// What F(4×4, 3×3) rounds, beside F(2×2, 3×3) and the plain sum in Float, all against the plain sum in Double, on the layers of
/// CifarNet and ResNet-18 that it computes.
@Suite struct WinogradErrorTests {
  /// A layer at one image: sides of the image, channels, filters. No error depends on other channels or filters than those
  /// summed over, so a layer of many is tested with few of one or of the other.
  struct Layer: CustomTestStringConvertible, Sendable {
    let side: Int, channels: Int, filters: Int
    var testDescription: String { "\(side)x\(side), \(channels) to \(filters)" }
  }

  static let layers: [Layer] = [
    (31, 24, 64), (15, 64, 64), (15, 64, 16), (15, 16, 256), (7, 256, 16), (7, 16, 256),
    (3, 256, 16), (3, 16, 256), (32, 64, 16), (32, 16, 64), (16, 128, 16), (16, 16, 128),
    (8, 256, 16), (8, 16, 256), (4, 512, 16), (4, 16, 512),
  ].map { Layer(side: $0, channels: $1, filters: $2) }

  @Test(arguments: layers)
  func tilesOfFourRoundLittleMoreThanTilesOfTwo(_ layer: Layer) {
    let (pixels, c, o) = (layer.side * layer.side, layer.channels, layer.filters)
    func normals(_ name: String, _ count: Int, _ scale: Float) -> [Float] {
      RandomStream(seed: 3, name: name).normals(count, as: Float.self).map { scale * $0 }
    }
    let x = normals("x", pixels * c, 1)
    let w = normals("w", 9 * c * o, 1 / Float(9 * c).squareRoot())
    let dy = normals("dy", pixels * o, 1)
    func plain<T: RealScalar>(_ tiles: PlainTiles<T>) -> [[T]] {
      tiles.run(layer, x.map { T($0) }, w.map { T($0) }, dy.map { T($0) })
    }
    let exact = plain(PlainTiles<Double>.sum)
    let errors = [
      suite(layer, x, w, dy), plain(PlainTiles<Float>(m: 2, points: [0, 1, -1])),
      plain(PlainTiles<Float>.sum),
    ].map { got in zip(got, exact).map { zip($0, $1).map { abs(Double($0) - $1) } } }
    // The largest that rounding can do, to first order: on its way an entry of a sum of k terms is rounded at most k + 30 times
    // (4 and a constant in each of the transforms of two stages, 4 additions where tiles overlap), relative to sums of magnitudes.
    let sums = PlainTiles<Double>.four.magnitudes.run(
      layer, x.map { Double(abs($0)) }, w.map { Double(abs($0)) }, dy.map { Double(abs($0)) })
    let tiles = (layer.side + 3) / 4 * ((layer.side + 3) / 4)
    for (index, (name, terms)) in [("y", c), ("dx", o), ("dw", tiles)].enumerated() {
      let unit = 0.5 * Double(Float.ulpOfOne) * Double(terms + 30)
      let worst = zip(errors[0][index], sums[index]).map { $0 / (unit * $1) }.max() ?? .nan
      #expect(worst <= 1, "\(name): \(worst) of the bound")
      func rms(_ x: [Double]) -> Double {
        (x.map { $0 * $0 }.reduce(0, +) / Double(x.count)).squareRoot()
      }
      let (four, two, sum) = (
        rms(errors[0][index]), rms(errors[1][index]), rms(errors[2][index])
      )
      let size = rms(exact[index])
      let what = "\(name): \(four / size), tiles of two \(two / size), plain sum \(sum / size)"
      // Measured: 1.4 (dw) to 3.1 times the error of tiles of two, 1.4 (dw) to 5.3 times that of the plain sum.
      #expect(four <= 4 * two && four <= 8 * sum && four <= 4e-6 * size, "\(what)")
    }
  }

  /// y, dx and dw as the suite computes them.
  private func suite(_ layer: Layer, _ x: [Float], _ w: [Float], _ dy: [Float]) -> [[Float]] {
    let (side, c, o) = (layer.side, layer.channels, layer.filters)
    let input = Parameter("x", shape: [1, side, side, c])
    let weight = Parameter("w", shape: [o, 3, 3, c])
    input.tensor.assign(x)
    weight.tensor.assign(w)
    let tape = Tape()
    let y = tape.record(
      WinogradConvolution(input.tensor, weight, nil, padding: 1, isPooled: false, on: tape))
    let given = tape.input(y.shape)
    given.assign(dy)
    let loss = tape.sum(tape.multiply(y, given))
    tape.forward()
    tape.backward(from: loss)
    return [y.array]
      + [input, weight].map { p in (0..<p.count).map { p.gradient.materialized.base[$0] } }
  }
}

/// F(m×m, 3×3) with padding 1 on one image as matrices: transforms are products with Kronecker squares of Aᵀ, Bᵀ and G.
private struct PlainTiles<T: RealScalar> {
  let m: Int
  /// [n², m²], [n², n²], [n², 9] with n = m + 2.
  let (a, b, g): (Matrix<T>, Matrix<T>, Matrix<T>)

  private init(_ m: Int, _ a: Matrix<T>, _ b: Matrix<T>, _ g: Matrix<T>) {
    (self.m, self.a, self.b, self.g) = (m, a, b, g)
  }

  /// Interpolation at m + 1 points and infinity.
  init(m: Int, points: [Double]) {
    let n = m + 2
    /// The coefficients of Π (t - p), the lowest first.
    func polynomial(_ roots: [Double]) -> [Double] {
      roots.reduce([1]) { old, root in
        zip([0] + old, old + [0]).map { $0 - root * $1 }
      }
    }
    func others(_ i: Int) -> [Double] { points.indices.filter { $0 != i }.map { points[$0] } }
    func power(_ x: Double, _ k: Int) -> Double { (0..<k).reduce(1) { value, _ in value * x } }
    func square(_ columns: Int, _ entry: (Int, Int) -> Double) -> Matrix<T> {
      Matrix(rows: n * n, columns: columns * columns) { i, j in
        T(entry(i / n, j / columns) * entry(i % n, j % columns))
      }
    }
    let rows = points.indices.map { polynomial(others($0)) + [0] } + [polynomial(points)]
    self.init(
      m, square(m) { $0 < n - 1 ? power(points[$0], $1) : $1 == m - 1 ? 1 : 0 },
      square(n) { rows[$0][$1] },
      square(3) { i, k in
        guard i < n - 1 else { return k == 2 ? 1 : 0 }
        return power(points[i], k) / others(i).reduce(1) { $0 * (points[i] - $1) }
      })
  }

  /// What the suite uses.
  static var four: PlainTiles {
    PlainTiles(
      m: 4, points: [0, 0.5.squareRoot(), -0.5.squareRoot(), 2.0.squareRoot(), -2.0.squareRoot()])
  }

  /// The plain sum: one output a tile, nothing transformed.
  static var sum: PlainTiles {
    PlainTiles(1, Matrix(rows: 9, columns: 1, repeating: 1), .identity(9), .identity(9))
  }

  /// The same with every factor's magnitude.
  var magnitudes: PlainTiles {
    func size(_ x: Matrix<T>) -> Matrix<T> {
      Matrix(rows: x.rows, columns: x.columns, elements: x.elements.map(\.magnitude))
    }
    return PlainTiles(m, size(a), size(b), size(g))
  }

  /// y[P, O], dx[P, C] and dw[O, 9, C] of x[P, C], w[O, 9, C] and dy[P, O].
  func run(_ layer: WinogradErrorTests.Layer, _ x: [T], _ w: [T], _ dy: [T]) -> [[T]] {
    let (side, c, o) = (layer.side, layer.channels, layer.filters)
    let across = (side + m - 1) / m
    let (n, tiles) = (m + 2, across * across)
    /// Calls body(column block, place, pixel) for the size × size pixels of each tile that lie in the image.
    func forPixels(_ size: Int, _ shift: Int, _ body: (Int, Int, Int) -> Void) {
      for tile in 0..<tiles {
        for place in 0..<(size * size) {
          let row = tile / across * m + place / size - shift
          let column = tile % across * m + place % size - shift
          if row >= 0, row < side, column >= 0, column < side {
            body(tile, place, row * side + column)
          }
        }
      }
    }
    func gather(_ values: [T], _ width: Int, _ size: Int, _ shift: Int) -> Matrix<T> {
      var result = Matrix<T>(rows: size * size, columns: tiles * width)
      forPixels(size, shift) { tile, place, pixel in
        for k in 0..<width {
          result.elements[(place * tiles + tile) * width + k] = values[pixel * width + k]
        }
      }
      return result
    }
    func scatter(_ values: Matrix<T>, _ width: Int, _ size: Int, _ shift: Int) -> [T] {
      var result = [T](repeating: 0, count: side * side * width)
      forPixels(size, shift) { tile, place, pixel in
        for k in 0..<width {
          result[pixel * width + k] += values.elements[(place * tiles + tile) * width + k]
        }
      }
      return result
    }
    /// op(x_p) op(y_p) for each place p, whose x and y are matrices of `rows` and `count` rows; the products are rows of one matrix.
    func products(
      _ x: Matrix<T>, _ rows: Int, _ tx: Transpose, _ y: Matrix<T>, _ count: Int, _ ty: Transpose
    ) -> Matrix<T> {
      func matrix(_ all: Matrix<T>, _ p: Int, _ rows: Int) -> Matrix<T> {
        Matrix(rows: rows, columns: all.columns / rows, elements: all.row(p))
      }
      let parts = (0..<(n * n)).map { p in
        multiply(matrix(x, p, rows), tx, matrix(y, p, count), ty).elements
      }
      return Matrix(rows: n * n, columns: parts[0].count, elements: parts.flatMap { $0 })
    }
    let filters = Matrix<T>(rows: 9, columns: o * c) { tap, j in w[(j / c * 9 + tap) * c + j % c] }
    /// Entries are sums in ascending order, as the suite makes them; a BLAS makes several sums and rounds less.
    func multiply(_ x: Matrix<T>, _ tx: Transpose, _ y: Matrix<T>, _ ty: Transpose) -> Matrix<T> {
      guard let x = x as? Matrix<Float>, let y = y as? Matrix<Float> else {
        return matmul(x, tx, y, ty)
      }
      let (m, k) = tx == .no ? (x.rows, x.columns) : (x.columns, x.rows)
      let right = ty == .no ? y : y.transposed
      var c = Matrix<Float>(rows: m, columns: right.columns)
      x.withView { x in
        right.withView { right in
          c.withMutableView { c in
            gemmInCache(
              m, c.columns, k, x.base, rowStride: tx == .no ? k : 1,
              columnStride: tx == .no ? 1 : m, right.base, ldb: right.columns, into: c.base,
              ldc: c.columns)
          }
        }
      }
      return Matrix(rows: c.rows, columns: c.columns, elements: c.elements.map { T($0) })
    }
    let (v, u) = (matmul(b, gather(x, c, n, 1)), matmul(g, filters))
    let dm = matmul(a, gather(dy, o, m, 0))
    let dw = matmul(g, .yes, products(dm, tiles, .yes, v, tiles, .no), .no)
    return [
      scatter(matmul(a, .yes, products(v, tiles, .no, u, o, .yes), .no), o, m, 0),
      scatter(matmul(b, .yes, products(dm, tiles, .no, u, o, .no), .no), c, n, 1),
      (0..<(o * 9 * c)).map { i in
        let (filter, tap, k) = (i / (9 * c), i / c % 9, i % c)
        return dw.elements[tap * o * c + filter * c + k]
      },
    ]
  }
}
