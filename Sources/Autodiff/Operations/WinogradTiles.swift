import LinearAlgebra

/// Where the tiles of a 3×3 convolution of stride 1 lie in its images, and how they get into and out of transformed form.
///
/// A transformed tile is 36 rows of channels, `step` floats apart: 36 matrices of tiles by channels.
struct WinogradTiles {
  let height: Int, width: Int, channels: Int, filters: Int, padding: Int
  /// Whether outputs are those of a 2×2 maximum pool.
  let isPooled: Bool
  /// The sizes of the output before pooling, and of that which is stored.
  let outHeight: Int, outWidth: Int, storedHeight: Int, storedWidth: Int
  /// Tiles of an image.
  let rows: Int, columns: Int
  /// As much as a row of zeros that stands for what lies outside an image.
  private let zeros: Buffer

  /// Those of images x[B, H, W, C]; `zeros` holds at least C.
  init(_ shape: [Int], filters: Int, padding: Int, isPooled: Bool, zeros: Buffer) {
    (height, width, channels) = (shape[1], shape[2], shape[3])
    (self.filters, self.padding, self.isPooled, self.zeros) = (filters, padding, isPooled, zeros)
    (outHeight, outWidth) = (height + 2 * padding - 2, width + 2 * padding - 2)
    let side = isPooled ? 2 : 4
    (storedHeight, storedWidth) = isPooled ? (outHeight / 2, outWidth / 2) : (outHeight, outWidth)
    (rows, columns) = ((storedHeight + side - 1) / side, (storedWidth + side - 1) / side)
  }

  /// Tiles of an image.
  var count: Int { rows * columns }

  /// Image, row and column of a tile, rows and columns counted in tiles.
  @inline(__always)
  private func place(of tile: Int) -> (image: Int, row: Int, column: Int) {
    let image = tile / count
    let rest = tile &- image &* count
    let row = rest / columns
    return (image, row, rest &- row &* columns)
  }

  /// Where the 6×6 inputs of a tile begin: offset, and place in the image, which may be outside.
  @inline(__always)
  private func origin(of tile: Int) -> (offset: Int, top: Int, left: Int) {
    let (image, row, column) = place(of: tile)
    let (top, left) = (4 &* row &- padding, 4 &* column &- padding)
    return (((image &* height &+ top) &* width &+ left) &* channels, top, left)
  }

  /// V = Bᵀ d B of one tile's 6×6 inputs. Rows of V lie in panels of `panel` channels, each of which has `depth` rows.
  @inline(__always)
  func transformInput<V: ChannelVector>(
    _ type: V.Type, _ tile: Int, of x: UnsafePointer<Float>, into v: UnsafeMutablePointer<Float>,
    step: Int, panel: Int, depth: Int
  ) {
    let (offset, top, left) = origin(of: tile)
    let c = channels
    withUnsafeTemporaryAllocation(of: UnsafePointer<Float>.self, capacity: 36) { pixels in
      for i in 0..<6 {
        for j in 0..<6 {
          let (y, x0) = (top &+ i, left &+ j)
          let isInside = y >= 0 && y < height && x0 >= 0 && x0 < width
          pixels[6 &* i &+ j] =
            isInside ? x + (offset &+ (i &* width &+ j) &* c) : UnsafePointer(zeros.base)
        }
      }
      forVectors(V.self, c) { j, count in
        let inPanel = j & (panel &- 1)
        Tile<V>(input: { load(pixels[6 &* $0 &+ $1] + j, count) })
          .store(v + ((j &- inPanel) &* depth &+ inPanel), step: step)
      }
    }
  }

  /// The outputs of one tile from its M (+ bias), or the largest of each 2×2 of them and which it was.
  @inline(__always)
  func transformOutput<V: ChannelVector>(
    _ type: V.Type, _ tile: Int, _ m: UnsafePointer<Float>, step: Int,
    bias: UnsafePointer<Float>?, into y: UnsafeMutablePointer<Float>,
    winners: UnsafeMutablePointer<Float>?
  ) {
    let (image, row, column) = place(of: tile)
    let n = filters
    let side = isPooled ? 2 : 4
    let target = ((image &* storedHeight &+ side &* row) &* storedWidth &+ side &* column) &* n
    let (below, right) = (storedHeight &- side &* row, storedWidth &- side &* column)
    forVectors(V.self, n) { j, count in
      let rows = Tile<V>(m + j, step: step).output
      let shift: V = bias.map { load($0 + j, count) } ?? V(repeating: 0)
      if isPooled {
        @inline(__always)
        func put(_ y0: V, _ y1: V, _ y2: V, _ y3: V, _ i: Int, _ k: Int) {
          guard i < below, k < right else { return }
          var (best, winner) = (y0 + shift, V(repeating: 0))
          V.compare(y1 + shift, 1, &best, &winner)
          V.compare(y2 + shift, 2, &best, &winner)
          V.compare(y3 + shift, 3, &best, &winner)
          let place = target &+ (i &* storedWidth &+ k) &* n &+ j
          store(best, y + place, count)
          if let winners { store(winner, winners + place, count) }
        }
        put(rows.0.a, rows.0.b, rows.1.a, rows.1.b, 0, 0)
        put(rows.0.c, rows.0.d, rows.1.c, rows.1.d, 0, 1)
        put(rows.2.a, rows.2.b, rows.3.a, rows.3.b, 1, 0)
        put(rows.2.c, rows.2.d, rows.3.c, rows.3.d, 1, 1)
      } else {
        @inline(__always)
        func put(_ values: Four<V>, _ i: Int) {
          guard i < below else { return }
          let p = y + (target &+ i &* storedWidth &* n &+ j)
          store(values.a + shift, p, count)
          if 1 < right { store(values.b + shift, p + n, count) }
          if 2 < right { store(values.c + shift, p + 2 &* n, count) }
          if 3 < right { store(values.d + shift, p + 3 &* n, count) }
        }
        put(rows.0, 0)
        put(rows.1, 1)
        put(rows.2, 2)
        put(rows.3, 3)
      }
    }
  }

  /// dM = A dy Aᵀ of one tile's 4×4 outputs; where they were pooled, what is given belongs to the winner alone.
  @inline(__always)
  func transformGradient<V: ChannelVector>(
    _ type: V.Type, _ tile: Int, _ dy: UnsafePointer<Float>, winners: UnsafePointer<Float>?,
    into m: UnsafeMutablePointer<Float>, step: Int
  ) {
    let (image, row, column) = place(of: tile)
    let n = filters
    let side = isPooled ? 2 : 4
    let source = ((image &* storedHeight &+ side &* row) &* storedWidth &+ side &* column) &* n
    let (below, right) = (storedHeight &- side &* row, storedWidth &- side &* column)
    let none = V(repeating: 0)
    forVectors(V.self, n) { j, count in
      if let winners {
        @inline(__always)
        func spread(_ i: Int, _ k: Int) -> Four<V> {
          guard i < below, k < right else { return Four(a: none, b: none, c: none, d: none) }
          let place = source &+ (i &* storedWidth &+ k) &* n &+ j
          let (given, winner): (V, V) = (load(dy + place, count), load(winners + place, count))
          return Four(
            a: given.kept(where: winner, is: 0), b: given.kept(where: winner, is: 1),
            c: given.kept(where: winner, is: 2), d: given.kept(where: winner, is: 3))
        }
        let (p, q, r, s) = (spread(0, 0), spread(0, 1), spread(1, 0), spread(1, 1))
        Tile(
          outputAdjoint: Four(a: p.a, b: p.b, c: q.a, d: q.b),
          Four(a: p.c, b: p.d, c: q.c, d: q.d), Four(a: r.a, b: r.b, c: s.a, d: s.b),
          Four(a: r.c, b: r.d, c: s.c, d: s.d)
        ).store(m + j, step: step)
      } else {
        @inline(__always)
        func take(_ i: Int) -> Four<V> {
          guard i < below else { return Four(a: none, b: none, c: none, d: none) }
          let p = dy + (source &+ i &* storedWidth &* n &+ j)
          return Four(
            a: load(p, count), b: 1 < right ? load(p + n, count) : none,
            c: 2 < right ? load(p + 2 &* n, count) : none,
            d: 3 < right ? load(p + 3 &* n, count) : none)
        }
        Tile(outputAdjoint: take(0), take(1), take(2), take(3)).store(m + j, step: step)
      }
    }
  }

  /// dx += B dV Bᵀ over one tile's 6×6 inputs; what lies outside the image is dropped.
  @inline(__always)
  func addInputAdjoint<V: ChannelVector>(
    _ type: V.Type, _ tile: Int, _ v: UnsafePointer<Float>, step: Int,
    to dx: UnsafeMutablePointer<Float>
  ) {
    let (offset, top, left) = origin(of: tile)
    let c = channels
    forVectors(V.self, c) { channel, count in
      @inline(__always)
      func add(_ value: V, _ i: Int, _ j: Int) {
        guard left &+ j >= 0, left &+ j < width else { return }
        let p = dx + (offset &+ (i &* width &+ j) &* c &+ channel)
        store(load(p, count) + value, p, count)
      }
      @inline(__always)
      func add(_ row: Six<V>, _ i: Int) {
        guard top &+ i >= 0, top &+ i < height else { return }
        add(row.a, i, 0)
        add(row.b, i, 1)
        add(row.c, i, 2)
        add(row.d, i, 3)
        add(row.e, i, 4)
        add(row.f, i, 5)
      }
      let tile = Tile<V>(v + channel, step: step).inputAdjoint
      add(tile.a, 0)
      add(tile.b, 1)
      add(tile.c, 2)
      add(tile.d, 3)
      add(tile.e, 4)
      add(tile.f, 5)
    }
  }
}

/// U = G w Gᵀ of each pair of channels, packed for products.
///
/// Taps of w are `tapStep` floats apart; w[row, …] begins at row · rowStep and has `columns` entries a tap. Place p of U is a
/// `PackedMatrix`[rows, columns] at p · step.
@inline(__always)
func transformFilters<V: ChannelVector>(
  _ type: V.Type, _ w: UnsafePointer<Float>, rows: Int, columns: Int, rowStep: Int, tapStep: Int,
  into u: UnsafeMutablePointer<Float>, step: Int, _ pool: WorkerPool
) {
  let panel = PackedMatrix.panelWidth
  pool.forRanges(of: rows, size: 16) { range in
    for row in range {
      forVectors(V.self, columns) { j, count in
        let inPanel = j & (panel &- 1)
        let source = w + (row &* rowStep &+ j)
        Tile<V>(filter: { load(source + (3 &* $0 &+ $1) &* tapStep, count) })
          .store(u + ((j &- inPanel) &* rows &+ row &* panel &+ inPanel), step: step)
      }
    }
  }
}

/// gradient[O, 3, 3, C] = beta · gradient + Gᵀ dU G of dU[36, O, C], whose rows begin `stride` and places `step` apart.
@inline(__always)
func addFilterAdjoint<V: ChannelVector>(
  _ type: V.Type, _ du: UnsafePointer<Float>, stride: Int, step: Int, filters: Int, channels: Int,
  beta: Float, to gradient: UnsafeMutablePointer<Float>, _ pool: WorkerPool
) {
  let c = channels
  pool.forRanges(of: filters, size: 16) { range in
    for filter in range {
      let target = gradient + 9 &* filter &* c
      forVectors(V.self, c) { j, count in
        let rows = Tile<V>(du + (filter &* stride &+ j), step: step).filterAdjoint
        @inline(__always)
        func put(_ value: V, _ tap: Int) {
          let p = target + (tap &* c &+ j)
          store(beta == 0 ? value : load(p, count) + value, p, count)
        }
        @inline(__always)
        func put(_ row: Three<V>, _ i: Int) {
          put(row.a, 3 &* i)
          put(row.b, 3 &* i &+ 1)
          put(row.c, 3 &* i &+ 2)
        }
        put(rows.0, 0)
        put(rows.1, 1)
        put(rows.2, 2)
      }
    }
  }
}
