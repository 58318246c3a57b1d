import LinearAlgebra

/// y[B, H', W', O] = x[B, H, W, C] * weight[O, 3, 3, C] (+ bias[O]) with stride 1, by tiles of 4×4 outputs
/// (WinogradTransforms.swift); if pooled, the largest of each 2×2: a maximum pool whose input is never stored.
///
/// Both passes take some images at a time, whose transformed tiles stay in the cache that the threads share: tiles are
/// transformed, multiplied in 36 products, each made by one thread, and transformed back. What is packed for the products
/// is written so by the transforms. No sum depends on the number of threads or of images at a time.
final class WinogradConvolution: Operation, ImageConvolution {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weight: Parameter
  private let bias: Parameter?
  private let tiles: WinogradTiles
  private let workspace: Workspace
  /// Which of the four outputs of a pool was the largest, 0 to 3, of each that is stored.
  private let winners: Buffer?
  private let batch: Int, channels: Int, filters: Int
  /// Images in a step, and their tiles.
  private let imagesAtOnce: Int
  private var tilesAtOnce: Int { imagesAtOnce * tiles.count }
  /// Distances in floats between the rows of channels and of filters of transformed tiles.
  private let channelStride: Int, filterStride: Int
  /// Where images are to be told apart.
  private let images: ImageGradients?
  /// The threads of the last backward pass.
  private var pool = WorkerPool.single
  /// Whether vectors of 16 are used, or of 8; the result is the same.
  private let isWide: Bool

  /// Places of a transformed tile.
  private static let places = 36
  /// Tiles that a thread transforms at a time.
  private static let piece = 16

  /// `span`: floats of transformed tiles in a step, 4 MB, which does not change the result. They are at least half as many as
  /// those of transformed filters, all of which a step reads.
  init(
    _ x: Tensor, _ weight: Parameter, _ bias: Parameter?, padding: Int, isPooled: Bool,
    isWide: Bool = hasWideVectors, span: Int = 1 << 20, on tape: Tape
  ) {
    self.isWide = isWide
    self.x = x
    self.weight = weight
    self.bias = bias
    workspace = tape.workspace
    (batch, channels, filters) = (x.shape[0], x.shape[3], weight.shape[0])
    (channelStride, filterStride) = (paddedStride(channels), paddedStride(filters))
    tiles = WinogradTiles(
      x.shape, filters: filters, padding: padding, isPooled: isPooled, zeros: tape.scratch(channels)
    )
    inputs = [x, weight.tensor] + (bias.map { [$0.tensor] } ?? [])
    output = tape.output(
      [batch, tiles.storedHeight, tiles.storedWidth, filters], of: inputs)
    images =
      tape.weightGradients == .perSample
      ? ImageGradients(
        x, output, PatchGeometry(x.shape, kernel: (3, 3), stride: 1, padding: padding),
        filters: filters, on: tape) : nil
    winners = isPooled && output.needsGradient ? tape.scratch(output.count) : nil
    let size = Self.places * (channelStride + filterStride)
    imagesAtOnce = min(
      batch,
      max(1, max(span, Self.places * channels * filters / 2) / (size * tiles.count)))
    let (forward, backward) = (
      9 * channels * filterStride + Self.places * step(packed: channels, filters),
      Self.places * (step(packed: filters, channels) + step(filters, channelStride))
    )
    workspace.reserve(
      max(forward, backward)
        + Self.places * (step(tilesAtOnce, channelStride) + step(tilesAtOnce, filterStride)))
  }

  /// The 36 matrices lie a cache line more than their size apart: stores to all of them go to different lines.
  private func step(_ rows: Int, _ stride: Int) -> Int { rows * stride + 16 }
  private func step(packed rows: Int, _ columns: Int) -> Int {
    PackedMatrix.size(rows, columns) + 16
  }
  /// `count` columns in whole panels. What stands in the last panel beyond them makes no difference to the others.
  private func whole(_ count: Int) -> Int { PackedMatrix.size(1, count) }

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
    // The weight as [3, 3, C, O], U[36, C, O] packed, then V[36, tiles, C] and M[36, tiles, O] of some images.
    let turned = workspace.base
    let u = turned + 9 * channels * filterStride
    let uStep = step(packed: channels, filters)
    let v = u + Self.places * uStep
    let (vStep, mStep) = (step(tilesAtOnce, channelStride), step(tilesAtOnce, filterStride))
    let m = v + Self.places * vStep
    pool.forEach(pieces: 9) { (tap: Int) in
      transpose(
        weight.base + tap &* channels, rows: filters, columns: channels, stride: 9 &* channels,
        into: turned + tap &* channels &* filterStride, targetStride: filterStride)
    }
    transformFilters(
      V.self, turned, rows: channels, columns: filters, rowStep: filterStride,
      tapStep: channels * filterStride, into: u, step: uStep, pool)
    for start in stride(from: 0, to: batch, by: imagesAtOnce) {
      let (first, count) = (start * tiles.count, min(imagesAtOnce, batch - start) * tiles.count)
      pool.forRanges(of: count, size: Self.piece) { range in
        for t in range {
          tiles.transformInput(
            V.self, first &+ t, of: x.value.base, into: v + t &* channelStride, step: vStep,
            panel: 16, depth: 1)
        }
      }
      pool.forEach(pieces: Self.places) { (place: Int) in
        PackedMatrix(channels, whole(filters), packed: u + place &* uStep).multiply(
          count, v + place &* vStep, rowStride: channelStride, columnStride: 1, depth: channels,
          count: whole(filters), accumulate: false, into: m + place &* mStep, ldc: filterStride)
      }
      pool.forRanges(of: count, size: Self.piece) { range in
        for t in range {
          tiles.transformOutput(
            V.self, first &+ t, m + t &* filterStride, step: mStep, bias: bias?.base,
            into: output.value.base, winners: winners?.base)
        }
      }
    }
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
    // U[36, O, C] packed, dU[36, O, C], then V[36, tiles, C] (packed; dV, not packed, replaces it) and dM[36, tiles, O] of
    // some images.
    let u = workspace.base
    let (uStep, duStep) = (step(packed: filters, channels), step(filters, channelStride))
    let du = u + Self.places * uStep
    let v = du + Self.places * duStep
    let (vStep, mStep) = (step(tilesAtOnce, channelStride), step(tilesAtOnce, filterStride))
    let m = v + Self.places * vStep
    if dx != nil {
      transformFilters(
        V.self, weight.base, rows: filters, columns: channels, rowStep: 9 * channels,
        tapStep: channels, into: u, step: uStep, pool)
    }
    let panel = PackedMatrix.panelWidth
    for start in stride(from: 0, to: batch, by: imagesAtOnce) {
      let images = min(imagesAtOnce, batch - start)
      let (first, count) = (start * tiles.count, images * tiles.count)
      pool.forRanges(of: count, size: Self.piece) { range in
        for t in range {
          if weightGradient != nil {
            tiles.transformInput(
              V.self, first &+ t, of: x.value.base, into: v + t &* panel, step: vStep,
              panel: panel, depth: count)
          }
          tiles.transformGradient(
            V.self, first &+ t, dy, winners: winners?.base, into: m + t &* filterStride,
            step: mStep)
        }
      }
      pool.forEach(pieces: Self.places) { (place: Int) in
        let (source, gradient) = (v + place &* vStep, m + place &* mStep)
        if weightGradient != nil {
          PackedMatrix(count, whole(channels), packed: source).multiply(
            filters, gradient, rowStride: 1, columnStride: filterStride, depth: count,
            count: whole(channels), accumulate: start > 0, into: du + place &* duStep,
            ldc: channelStride)
        }
        if dx != nil {
          PackedMatrix(filters, whole(channels), packed: u + place &* uStep).multiply(
            count, gradient, rowStride: filterStride, columnStride: 1, depth: filters,
            count: whole(channels), accumulate: false, into: source, ldc: channelStride)
        }
      }
      guard let dx else { continue }
      let imageSize = x.count / batch
      pool.forEach(pieces: images) { (image: Int) in
        if beta[0] == 0 {
          (dx + (start &+ image) &* imageSize).update(repeating: 0, count: imageSize)
        }
        for t in (image &* tiles.count)..<((image &+ 1) &* tiles.count) {
          tiles.addInputAdjoint(V.self, first &+ t, v + t &* channelStride, step: vStep, to: dx)
        }
      }
    }
    if let weightGradient {
      addFilterAdjoint(
        V.self, du, stride: channelStride, step: duStep, filters: filters, channels: channels,
        beta: beta[1], to: weightGradient, pool)
    }
  }

  func addImages(into sum: UnsafeMutablePointer<Float>) {
    guard let dy = output.gradient?.base else { return }
    backward(dy, pool, [0, 0, 0], into: nil, sum)
  }

  /// Where outputs are pooled, what is given belongs to the winner alone.
  func layOutGradient(of image: Int, into rows: UnsafeMutablePointer<Float>, stride: Int) {
    guard let dy = output.gradient?.base else { return }
    let (n, places) = (filters, tiles.outHeight &* tiles.outWidth)
    guard let winners else {
      for p in 0..<places {
        (rows + p &* stride).update(from: dy + (image &* places &+ p) &* n, count: n)
      }
      return
    }
    for p in 0..<places { (rows + p &* stride).update(repeating: 0, count: n) }
    let (height, width) = (tiles.storedHeight, tiles.storedWidth)
    for pool in 0..<(height &* width) {
      let (row, column) = (pool / width, pool % width)
      let first = (image &* height &* width &+ pool) &* n
      for j in 0..<n {
        let winner = Int(winners.base[first &+ j])
        let place = (2 &* row &+ winner / 2) &* tiles.outWidth &+ 2 &* column &+ winner % 2
        rows[place &* stride &+ j] = dy[first &+ j]
      }
    }
  }
}
