import LinearAlgebra

/// y[B, H', W', O] = x[B, H, W, C] * weight[O, 3, 3, C] (+ bias[O]) with stride 1, by tiles of 2×2 outputs
/// (WinogradTransforms.swift); if pooled, the largest of each whole tile: a 2×2 maximum pool whose input is never
/// stored.
///
/// The forward pass works in blocks of 128 tiles that stay in a thread's second cache level. The backward pass takes
/// whole images, a few megabytes of transformed tiles at a time: gradients of the weights are 16 products over all
/// of their tiles, each made by one thread, so that no sum depends on the number of threads.
///
/// Why tiles: on an AVX2 core (Zen 3, one thread, CPU time) a training step takes 2.98 s with CifarNet at batch 500 and
/// 3.59 s with ResNet-18 at batch 128, PyTorch 2.13's direct convolutions 5.37 and 6.21 s. Two thirds of that are the
/// products, at 80 to 100 of some 110 GFLOP/s, so a plain sum of 2.25 times as many could not reach it.
final class WinogradConvolution: Operation, ImageConvolution {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weight: Parameter
  private let bias: Parameter?
  private let padding: Int
  private let isPooled: Bool
  private let workspace: Workspace
  /// Which of the four outputs of a tile was the largest, 0 to 3, [B, H', W', O].
  private let winners: Buffer?
  /// Images, their sizes and channels.
  private let batch: Int, height: Int, width: Int, channels: Int, filters: Int
  /// Sizes of the output before pooling, and tiles of an image.
  private let outHeight: Int, outWidth: Int, tileRows: Int, tileColumns: Int
  /// Distances in floats between the rows of channels and of filters of transformed tiles.
  private let channelStride: Int, filterStride: Int
  /// As much as a row of zeros that stands for what lies outside an image.
  private let zeros: Buffer
  /// Where images are to be told apart.
  private let images: ImageGradients?
  /// The threads of the last backward pass.
  private var pool = WorkerPool.single

  /// Tiles that a thread takes at a time in the forward pass.
  private static let block = 128
  /// Whether vectors of 16 are used, or of 8; the result is the same.
  private let isWide: Bool

  /// `span`: floats of transformed tiles in a step of the backward pass, 16 MB, which does not change the result.
  init(
    _ x: Tensor, _ weight: Parameter, _ bias: Parameter?, padding: Int, isPooled: Bool,
    isWide: Bool = hasWideVectors, span: Int = 1 << 22, on tape: Tape
  ) {
    self.isWide = isWide
    self.x = x
    self.weight = weight
    self.bias = bias
    self.padding = padding
    self.isPooled = isPooled
    workspace = tape.workspace
    (batch, height, width, channels) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    filters = weight.shape[0]
    (outHeight, outWidth) = (height + 2 * padding - 2, width + 2 * padding - 2)
    (tileRows, tileColumns) =
      isPooled
      ? (outHeight / 2, outWidth / 2) : ((outHeight + 1) / 2, (outWidth + 1) / 2)
    (channelStride, filterStride) = (paddedStride(channels), paddedStride(filters))
    zeros = tape.scratch(max(channelStride, filterStride))
    inputs = [x, weight.tensor] + (bias.map { [$0.tensor] } ?? [])
    output = tape.output(
      isPooled
        ? [batch, tileRows, tileColumns, filters] : [batch, outHeight, outWidth, filters],
      of: inputs)
    images =
      tape.weightGradients == .perSample
      ? ImageGradients(
        x, output, PatchGeometry(x.shape, kernel: (3, 3), stride: 1, padding: padding),
        filters: filters, on: tape) : nil
    winners = isPooled && output.needsGradient ? tape.scratch(output.count) : nil
    let strides = channelStride + filterStride
    imagesAtOnce = max(1, min(batch, span / (16 * strides * tileRows * tileColumns)))
    let tiles = imagesAtOnce * tileRows * tileColumns
    workspace.reserve(
      max(
        filterSize + 16 * channels * filterStride + tape.pool.threads * Self.blockSize(strides),
        2 * filterSize + Self.size(tiles, strides)))
  }

  /// Images in a step of the backward pass.
  private let imagesAtOnce: Int
  private var tiles: Int { tileRows * tileColumns }
  /// Floats of the transformed weight [16, O, C].
  private var filterSize: Int { 16 * filters * channelStride }
  /// The sixteen matrices lie a cache line more than their size apart: stores to all of them go to different lines.
  private static func step(_ tiles: Int, _ stride: Int) -> Int { tiles * stride + 16 }
  private static func size(_ tiles: Int, _ strides: Int) -> Int { 16 * (tiles * strides + 32) }
  private static func blockSize(_ strides: Int) -> Int { size(block, strides) }

  // MARK: - Forward

  func forward(_ pool: WorkerPool) {
    if isWide {
      forward(SIMD16<Float>.self, pool)
    } else {
      forward(SIMD8<Float>.self, pool)
    }
  }

  @inline(__always)
  private func forward<V: ChannelVector>(_ type: V.Type, _ pool: WorkerPool) {
    // U[16, O, C], then Uᵀ[16, C, O], then each thread's V[16, block, C] and M[16, block, O].
    let u = workspace.base
    let turned = u + filterSize
    let rest = turned + 16 * channels * filterStride
    transformWeight(V.self, into: u, pool)
    pool.forEach(pieces: 16) { (place: Int) in
      transpose(
        u + place &* filters &* channelStride, rows: filters, columns: channels,
        stride: channelStride, into: turned + place &* channels &* filterStride,
        targetStride: filterStride)
    }
    let all = batch * tiles
    let strides = channelStride + filterStride
    pool.forEach(pieces: (all + Self.block - 1) / Self.block) { piece, worker in
      let first = piece &* Self.block
      let count = min(Self.block, all &- first)
      let v = rest + worker &* Self.blockSize(strides)
      let vStep = Self.step(Self.block, channelStride)
      let m = v + 16 &* vStep
      let mStep = Self.step(Self.block, filterStride)
      for t in 0..<count {
        transformInput(V.self, first &+ t, into: v + t &* channelStride, step: vStep)
      }
      for place in 0..<16 {
        gemmInCache(
          count, filters, channels, v + place &* vStep, rowStride: channelStride, columnStride: 1,
          turned + place &* channels &* filterStride, ldb: filterStride, into: m + place &* mStep,
          ldc: filterStride)
      }
      for t in 0..<count {
        transformOutput(V.self, first &+ t, m + t &* filterStride, step: mStep)
      }
    }
  }

  /// U[16, O, C] = G w Gᵀ.
  @inline(__always)
  private func transformWeight<V: ChannelVector>(
    _ type: V.Type, into u: UnsafeMutablePointer<Float>, _ pool: WorkerPool
  ) {
    let (c, step) = (channels, filters * channelStride)
    pool.forRanges(of: filters, size: 16) { range in
      for filter in range {
        let source = weight.base + 9 &* filter &* c
        let target = u + filter &* channelStride
        var j = 0
        while j < c {
          Tile<V>(filter: source + j, step: c, count: c &- j).store(target + j, step: step)
          j &+= V.scalarCount
        }
      }
    }
  }

  /// Image, row and column of a tile, rows and columns counted in tiles.
  @inline(__always)
  private func place(of tile: Int) -> (image: Int, row: Int, column: Int) {
    let image = tile / tiles
    let rest = tile &- image &* tiles
    let row = rest / tileColumns
    return (image, row, rest &- row &* tileColumns)
  }

  /// V[16, C] = Bᵀ d B of one tile's 4×4 inputs.
  @inline(__always)
  private func transformInput<V: ChannelVector>(
    _ type: V.Type, _ tile: Int, into v: UnsafeMutablePointer<Float>, step: Int
  ) {
    let (image, row, column) = place(of: tile)
    let (top, left) = (2 &* row &- padding, 2 &* column &- padding)
    let c = channels
    let isInside = top >= 0 && left >= 0 && top &+ 4 <= height && left &+ 4 <= width
    let origin = x.value.base + ((image &* height &+ top) &* width &+ left) &* c
    let nothing = UnsafePointer(zeros.base)
    @inline(__always)
    func pixel(_ i: Int, _ j: Int) -> UnsafePointer<Float> {
      let (y, x) = (top &+ i, left &+ j)
      let isOutside = !isInside && (y < 0 || y >= height || x < 0 || x >= width)
      return isOutside ? nothing : UnsafePointer(origin + (i &* width &+ j) &* c)
    }
    let row0 = (pixel(0, 0), pixel(0, 1), pixel(0, 2), pixel(0, 3))
    let row1 = (pixel(1, 0), pixel(1, 1), pixel(1, 2), pixel(1, 3))
    let row2 = (pixel(2, 0), pixel(2, 1), pixel(2, 2), pixel(2, 3))
    let row3 = (pixel(3, 0), pixel(3, 1), pixel(3, 2), pixel(3, 3))
    var j = 0
    while j < c {
      let k = c &- j
      Tile<V>(
        Quad(load(row0.0 + j, k), load(row0.1 + j, k), load(row0.2 + j, k), load(row0.3 + j, k)),
        Quad(load(row1.0 + j, k), load(row1.1 + j, k), load(row1.2 + j, k), load(row1.3 + j, k)),
        Quad(load(row2.0 + j, k), load(row2.1 + j, k), load(row2.2 + j, k), load(row2.3 + j, k)),
        Quad(load(row3.0 + j, k), load(row3.1 + j, k), load(row3.2 + j, k), load(row3.3 + j, k))
      ).input.store(v + j, step: step)
      j &+= V.scalarCount
    }
  }

  /// The 2×2 outputs of one tile, or the largest of them, from M[16, O].
  @inline(__always)
  private func transformOutput<V: ChannelVector>(
    _ type: V.Type, _ tile: Int, _ m: UnsafePointer<Float>, step: Int
  ) {
    let (image, row, column) = place(of: tile)
    let n = filters
    let isFull = isPooled || (2 &* row &+ 2 <= outHeight && 2 &* column &+ 2 <= outWidth)
    let target =
      output.value.base
      + (isPooled ? tile : (image &* outHeight &+ 2 &* row) &* outWidth &+ 2 &* column) &* n
    var j = 0
    while j < n {
      let left = n &- j
      var (y00, y01, y10, y11) = Tile<V>(m + j, step: step).output
      if let bias {
        let shift: V = load(bias.base + j, left)
        y00 += shift
        y01 += shift
        y10 += shift
        y11 += shift
      }
      let p = target + j
      if isPooled {
        poolMaximum(y00, y01, y10, y11, tile &* n &+ j, left, p)
      } else {
        store(y00, p, left)
        if isFull || 2 &* column &+ 2 <= outWidth { store(y01, p + n, left) }
        if isFull || 2 &* row &+ 2 <= outHeight { store(y10, p + outWidth &* n, left) }
        if isFull { store(y11, p + (outWidth &+ 1) &* n, left) }
      }
      j &+= V.scalarCount
    }
  }

  /// The largest of four (the first of equals; NaN wins) and which it was, as torch.nn.MaxPool2d chooses.
  @inline(__always)
  private func poolMaximum<V: ChannelVector>(
    _ y0: V, _ y1: V, _ y2: V, _ y3: V, _ place: Int, _ count: Int,
    _ p: UnsafeMutablePointer<Float>
  ) {
    var (best, winner) = (y0, V(repeating: 0))
    V.compare(y1, 1, &best, &winner)
    V.compare(y2, 2, &best, &winner)
    V.compare(y3, 3, &best, &winner)
    store(best, p, count)
    if let winners { store(winner, winners.base + place, count) }
  }

  // MARK: - Backward

  var lendsOutputGradient: Bool { images != nil }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient?.base else { return }
    let needsWeight = weight.tensor.needsGradient && images == nil
    if needsWeight { weight.gradient.setMaterialized() }
    backward(
      dy, pool, beta, into: x.gradient?.base, needsWeight ? weight.gradient.base : nil)
    if let images {
      self.pool = pool
      return images.leave(self, weight, bias, beta, pool)
    }
    if let bias, bias.tensor.needsGradient {
      bias.gradient.setMaterialized()
      addRows(
        MatrixView(rows: output.rows, columns: filters, base: UnsafePointer(dy)),
        to: bias.gradient.base, beta: beta[2], pool)
    }
  }

  /// The gradients of x and of the weight, each where there is room for it.
  private func backward(
    _ dy: UnsafePointer<Float>, _ pool: WorkerPool, _ beta: [Float],
    into dx: UnsafeMutablePointer<Float>?, _ weightGradient: UnsafeMutablePointer<Float>?
  ) {
    guard dx != nil || weightGradient != nil else { return }
    if isWide {
      backward(SIMD16<Float>.self, dy, pool, beta, into: dx, weightGradient)
    } else {
      backward(SIMD8<Float>.self, dy, pool, beta, into: dx, weightGradient)
    }
  }

  @inline(__always)
  private func backward<V: ChannelVector>(
    _ type: V.Type, _ dy: UnsafePointer<Float>, _ pool: WorkerPool, _ beta: [Float],
    into dx: UnsafeMutablePointer<Float>?, _ weightGradient: UnsafeMutablePointer<Float>?
  ) {
    let needsWeight = weightGradient != nil
    // U[16, O, C], dU[16, O, C], then V[16, tiles, C] and dM[16, tiles, O] of some images.
    let u = workspace.base
    let du = u + filterSize
    let v = du + filterSize
    if dx != nil { transformWeight(V.self, into: u, pool) }
    for start in stride(from: 0, to: batch, by: imagesAtOnce) {
      let images = min(imagesAtOnce, batch - start)
      let (first, count) = (start * tiles, images * tiles)
      let vStep = Self.step(imagesAtOnce * tiles, channelStride)
      let m = v + 16 * vStep
      let mStep = Self.step(imagesAtOnce * tiles, filterStride)
      pool.forRanges(of: count, size: 32) { range in
        for t in range {
          if needsWeight {
            transformInput(V.self, first &+ t, into: v + t &* channelStride, step: vStep)
          }
          transformGradient(V.self, first &+ t, dy, into: m + t &* filterStride, step: mStep)
        }
      }
      pool.forEach(pieces: 16) { (place: Int) in
        let (source, gradient) = (v + place &* vStep, m + place &* mStep)
        let filter = place &* filters &* channelStride
        if needsWeight {
          gemmInCache(
            filters, channels, count, gradient, rowStride: 1, columnStride: filterStride, source,
            ldb: channelStride, accumulate: start > 0, into: du + filter, ldc: channelStride)
        }
        if dx != nil {
          gemmInCache(
            count, channels, filters, gradient, rowStride: filterStride, columnStride: 1,
            u + filter, ldb: channelStride, into: source, ldc: channelStride)
        }
      }
      guard let dx else { continue }
      let imageSize = height &* width &* channels
      pool.forEach(pieces: images) { (image: Int) in
        if beta[0] == 0 {
          (dx + (start &+ image) &* imageSize).update(repeating: 0, count: imageSize)
        }
        for t in (image &* tiles)..<((image &+ 1) &* tiles) {
          addInputAdjoint(V.self, first &+ t, v + t &* channelStride, step: vStep, to: dx)
        }
      }
    }
    if let weightGradient {
      transformWeightGradient(V.self, du, beta[1], pool, into: weightGradient)
    }
  }

  func addImages(into sum: UnsafeMutablePointer<Float>) {
    guard let dy = output.gradient?.base else { return }
    backward(dy, pool, [0, 0, 0], into: nil, sum)
  }

  /// Where outputs are pooled, what a tile is given belongs to its winner alone.
  func layOutGradient(of image: Int, into rows: UnsafeMutablePointer<Float>, stride: Int) {
    guard let dy = output.gradient?.base else { return }
    let (n, places) = (filters, outHeight &* outWidth)
    guard let winners else {
      for p in 0..<places {
        (rows + p &* stride).update(from: dy + (image &* places &+ p) &* n, count: n)
      }
      return
    }
    for p in 0..<places { (rows + p &* stride).update(repeating: 0, count: n) }
    for tile in 0..<tiles {
      let (row, column) = (tile / tileColumns, tile % tileColumns)
      let first = (image &* tiles &+ tile) &* n
      for j in 0..<n {
        let winner = Int(winners.base[first &+ j])
        let place = (2 &* row &+ winner / 2) &* outWidth &+ 2 &* column &+ winner % 2
        rows[place &* stride &+ j] = dy[first &+ j]
      }
    }
  }

  /// dM[16, O] = A dy Aᵀ of one tile's 2×2 outputs.
  @inline(__always)
  private func transformGradient<V: ChannelVector>(
    _ type: V.Type, _ tile: Int, _ dy: UnsafePointer<Float>,
    into m: UnsafeMutablePointer<Float>, step: Int
  ) {
    let n = filters
    let none = V(repeating: 0)
    if let winners {
      let (given, chosen) = (dy + tile &* n, winners.base + tile &* n)
      var j = 0
      while j < n {
        let value: V = load(given + j, n &- j)
        let winner: V = load(chosen + j, n &- j)
        Tile(
          outputAdjoint: value.kept(where: winner, is: 0), value.kept(where: winner, is: 1),
          value.kept(where: winner, is: 2), value.kept(where: winner, is: 3)
        ).store(m + j, step: step)
        j &+= V.scalarCount
      }
      return
    }
    let (image, row, column) = place(of: tile)
    let given = dy + ((image &* outHeight &+ 2 &* row) &* outWidth &+ 2 &* column) &* n
    let hasRight = 2 &* column &+ 2 <= outWidth
    let hasBelow = 2 &* row &+ 2 <= outHeight
    var j = 0
    while j < n {
      let (p, left) = (given + j, n &- j)
      Tile(
        outputAdjoint: load(p, left), hasRight ? load(p + n, left) : none,
        hasBelow ? load(p + outWidth &* n, left) : none,
        hasRight && hasBelow ? load(p + (outWidth &+ 1) &* n, left) : none
      ).store(m + j, step: step)
      j &+= V.scalarCount
    }
  }

  /// dx += B dV Bᵀ over one tile's 4×4 inputs; what lies outside the image is dropped.
  @inline(__always)
  private func addInputAdjoint<V: ChannelVector>(
    _ type: V.Type, _ tile: Int, _ v: UnsafePointer<Float>, step: Int,
    to dx: UnsafeMutablePointer<Float>
  ) {
    let (image, row, column) = place(of: tile)
    let (top, left) = (2 &* row &- padding, 2 &* column &- padding)
    let c = channels
    let isInside = top >= 0 && left >= 0 && top &+ 4 <= height && left &+ 4 <= width
    let origin = dx + ((image &* height &+ top) &* width &+ left) &* c
    @inline(__always)
    func add(_ value: V, _ i: Int, _ j: Int, _ channel: Int) {
      let (y, x) = (top &+ i, left &+ j)
      if !isInside && (y < 0 || y >= height || x < 0 || x >= width) { return }
      let p = origin + ((i &* width &+ j) &* c &+ channel)
      store(load(p, c &- channel) + value, p, c &- channel)
    }
    @inline(__always)
    func add(_ row: Quad<V>, _ i: Int, _ channel: Int) {
      add(row.a, i, 0, channel)
      add(row.b, i, 1, channel)
      add(row.c, i, 2, channel)
      add(row.d, i, 3, channel)
    }
    var channel = 0
    while channel < c {
      let rows = Tile<V>(v + channel, step: step).inputAdjoint.rows
      add(rows.0, 0, channel)
      add(rows.1, 1, channel)
      add(rows.2, 2, channel)
      add(rows.3, 3, channel)
      channel &+= V.scalarCount
    }
  }

  /// The weight's gradient = beta · gradient + Gᵀ dU G.
  @inline(__always)
  private func transformWeightGradient<V: ChannelVector>(
    _ type: V.Type, _ du: UnsafePointer<Float>, _ beta: Float, _ pool: WorkerPool,
    into gradient: UnsafeMutablePointer<Float>
  ) {
    let (c, step) = (channels, filters * channelStride)
    pool.forRanges(of: filters, size: 16) { range in
      for filter in range {
        let target = gradient + 9 &* filter &* c
        var j = 0
        while j < c {
          Tile<V>(du + (filter &* channelStride &+ j), step: step)
            .addFilterAdjoint(to: target + j, step: c, count: c &- j, beta: beta)
          j &+= V.scalarCount
        }
      }
    }
  }
}
