// SPDX-License-Identifier: Apache-2.0

import CKernels
import LinearAlgebra

/// y[B, H', W', O] = x[B, H, W, C] * weight[O, 3, 3, C] (+ bias[O]) with stride 1, by tiles of 4×4 outputs
/// (CKernels/include/winograd.h); if pooled, the largest of each 2×2: a maximum pool whose input is never stored.
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
  private let tiles: winograd_tiles
  private let workspace: Workspace
  /// Which of the four outputs of a pool was the largest, 0 to 3, of each that is stored.
  private let winners: Buffer?
  /// As much as a row of zeros that stands for what lies outside an image.
  private let zeros: Buffer
  private let batch: Int, channels: Int, filters: Int
  /// Tiles of an image; images in a step, and their tiles.
  private let tilesOfImage: Int, imagesAtOnce: Int
  private var tilesAtOnce: Int { imagesAtOnce * tilesOfImage }
  /// Distances in floats between the rows of channels and of filters of transformed tiles.
  private let channelStride: Int, filterStride: Int
  /// Where images are to be told apart.
  private let images: ImageGradients?
  /// The threads of the last backward pass.
  private var pool = WorkerPool.single
  /// Floats of a vector in the transforms, 16 or 8; the result is the same.
  private let lanes: Int

  /// Places of a transformed tile.
  private static let places = Int(WINOGRAD_PLACES)
  /// Tiles that a thread transforms at a time.
  private static let piece = 16

  /// `span`: floats of transformed tiles in a step, 4 MB, which does not change the result. They are at least half as many as
  /// those of transformed filters, all of which a step reads.
  init(
    _ x: Tensor, _ weight: Parameter, _ bias: Parameter?, padding: Int, isPooled: Bool,
    isWide: Bool = hasWideVectors, span: Int = 1 << 20, on tape: Tape
  ) {
    lanes = isWide ? 16 : 8
    (self.x, self.weight, self.bias) = (x, weight, bias)
    workspace = tape.workspace
    (batch, channels, filters) = (x.shape[0], x.shape[3], weight.shape[0])
    (channelStride, filterStride) = (paddedStride(channels), paddedStride(filters))
    tiles = winograd_tiles(x.shape, filters: filters, padding: padding, isPooled: isPooled)
    tilesOfImage = tiles.rows * tiles.columns
    zeros = tape.scratch(channels)
    inputs = [x, weight.tensor] + (bias.map { [$0.tensor] } ?? [])
    output = tape.output(
      [batch, tiles.stored_height, tiles.stored_width, filters], of: inputs)
    images =
      tape.weightGradients == .perSample
      ? ImageGradients(
        x, output, PatchGeometry(x.shape, kernel: (3, 3), stride: 1, padding: padding),
        filters: filters, on: tape) : nil
    winners = isPooled && output.needsGradient ? tape.scratch(output.count) : nil
    let size = Self.places * (channelStride + filterStride)
    imagesAtOnce = min(
      batch,
      max(1, max(span, Self.places * channels * filters / 2) / (size * tilesOfImage)))
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
  /// 36 matrices in rows.
  private func rows(_ count: Int, _ stride: Int) -> winograd_layout {
    winograd_layout(step: step(count, stride), row: stride, panel: 1 << 40, panel_step: 0)
  }
  /// 36 matrices of `depth` rows packed for products.
  private func packed(_ depth: Int, step: Int) -> winograd_layout {
    let panel = PackedMatrix.panelWidth
    return winograd_layout(step: step, row: panel, panel: panel, panel_step: panel * depth)
  }
  /// `count` columns in whole vectors. What stands in the last one beyond them makes no difference to the others.
  private func whole(_ count: Int) -> Int { (count + 15) & ~15 }

  // MARK: - Forward

  func forward(_ pool: WorkerPool) {
    // The weight as [3, 3, C, O], U[36, C, O] packed, then V[36, tiles, C] and M[36, tiles, O] of some images.
    let turned = workspace.base
    let u = turned + 9 * channels * filterStride
    let uStep = step(packed: channels, filters)
    let v = u + Self.places * uStep
    let (vRows, mRows) = (rows(tilesAtOnce, channelStride), rows(tilesAtOnce, filterStride))
    let m = v + Self.places * vRows.step
    pool.forEach(pieces: 9) { (tap: Int) in
      transpose(
        weight.base + tap &* channels, rows: filters, columns: channels, stride: 9 &* channels,
        into: turned + tap &* channels &* filterStride, targetStride: filterStride)
    }
    pool.forRanges(of: channels, size: 16) { range in
      winograd_filter(
        lanes, range.lowerBound, range.upperBound, filters, turned, filterStride,
        channels * filterStride, u, packed(channels, step: uStep))
    }
    for start in stride(from: 0, to: batch, by: imagesAtOnce) {
      let (first, count) = (start * tilesOfImage, min(imagesAtOnce, batch - start) * tilesOfImage)
      pool.forRanges(of: count, size: Self.piece) { range in
        winograd_input(
          lanes, tiles, first + range.lowerBound, first + range.upperBound, x.value.base,
          zeros.base, v + range.lowerBound * vRows.row, vRows)
      }
      pool.forEach(pieces: Self.places) { (place: Int) in
        PackedMatrix(channels, whole(filters), packed: u + place * uStep).multiply(
          count, v + place * vRows.step, rowStride: channelStride, columnStride: 1,
          depth: channels, count: whole(filters), accumulate: false, into: m + place * mRows.step,
          ldc: filterStride)
      }
      pool.forRanges(of: count, size: Self.piece) { range in
        winograd_output(
          lanes, tiles, first + range.lowerBound, first + range.upperBound,
          m + range.lowerBound * mRows.row, mRows, bias?.base, output.value.base, winners?.base)
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
    // U[36, O, C] packed, dU[36, O, C], then V[36, tiles, C] (packed; dV, in rows, replaces it) and dM[36, tiles, O] of
    // some images.
    let u = workspace.base
    let uStep = step(packed: filters, channels)
    let duRows = rows(filters, channelStride)
    let du = u + Self.places * uStep
    let v = du + Self.places * duRows.step
    let (vRows, mRows) = (rows(tilesAtOnce, channelStride), rows(tilesAtOnce, filterStride))
    let m = v + Self.places * vRows.step
    if dx != nil {
      pool.forRanges(of: filters, size: 16) { range in
        winograd_filter(
          lanes, range.lowerBound, range.upperBound, channels, weight.base, 9 * channels, channels,
          u, packed(filters, step: uStep))
      }
    }
    for start in stride(from: 0, to: batch, by: imagesAtOnce) {
      let images = min(imagesAtOnce, batch - start)
      let (first, count) = (start * tilesOfImage, images * tilesOfImage)
      let vPacked = packed(count, step: vRows.step)
      pool.forRanges(of: count, size: Self.piece) { range in
        let (from, to) = (first + range.lowerBound, first + range.upperBound)
        if weightGradient != nil {
          winograd_input(
            lanes, tiles, from, to, x.value.base, zeros.base, v + range.lowerBound * vPacked.row,
            vPacked)
        }
        winograd_gradient(
          lanes, tiles, from, to, dy, winners?.base, m + range.lowerBound * mRows.row, mRows)
      }
      pool.forEach(pieces: Self.places) { (place: Int) in
        let (source, gradient) = (v + place * vRows.step, m + place * mRows.step)
        if weightGradient != nil {
          PackedMatrix(count, whole(channels), packed: source).multiply(
            filters, gradient, rowStride: 1, columnStride: filterStride, depth: count,
            count: whole(channels), accumulate: start > 0, into: du + place * duRows.step,
            ldc: channelStride)
        }
        if dx != nil {
          PackedMatrix(filters, whole(channels), packed: u + place * uStep).multiply(
            count, gradient, rowStride: filterStride, columnStride: 1, depth: filters,
            count: whole(channels), accumulate: false, into: source, ldc: channelStride)
        }
      }
      guard let dx else { continue }
      let imageSize = x.count / batch
      pool.forEach(pieces: images) { (image: Int) in
        if beta[0] == 0 {
          (dx + (start + image) * imageSize).update(repeating: 0, count: imageSize)
        }
        let t = image * tilesOfImage
        winograd_input_adjoint(
          lanes, tiles, first + t, first + t + tilesOfImage, v + t * vRows.row, vRows, dx)
      }
    }
    if let weightGradient {
      pool.forRanges(of: filters, size: 16) { range in
        winograd_filter_adjoint(
          lanes, range.lowerBound, range.upperBound, channels, du, duRows, beta[1] != 0,
          weightGradient)
      }
    }
  }

  func addImages(into sum: UnsafeMutablePointer<Float>) {
    guard let dy = output.gradient?.base else { return }
    backward(dy, pool, [0, 0, 0], into: nil, sum)
  }

  /// Where outputs are pooled, what is given belongs to the winner alone.
  func layOutGradient(of image: Int, into rows: UnsafeMutablePointer<Float>, stride: Int) {
    guard let dy = output.gradient?.base else { return }
    let (height, width) = (x.shape[1] + 2 * tiles.padding - 2, x.shape[2] + 2 * tiles.padding - 2)
    let (n, places) = (filters, height * width)
    guard let winners else {
      for p in 0..<places {
        (rows + p &* stride).update(from: dy + (image &* places &+ p) &* n, count: n)
      }
      return
    }
    for p in 0..<places { (rows + p &* stride).update(repeating: 0, count: n) }
    let (pools, columns) = (tiles.stored_height * tiles.stored_width, tiles.stored_width)
    for pool in 0..<pools {
      let (row, column) = (pool / columns, pool % columns)
      let first = (image &* pools &+ pool) &* n
      for j in 0..<n {
        let winner = Int(winners.base[first &+ j])
        let place = (2 &* row &+ winner / 2) &* width &+ 2 &* column &+ winner % 2
        rows[place &* stride &+ j] = dy[first &+ j]
      }
    }
  }
}

extension winograd_tiles {
  /// Those of images x[B, H, W, C].
  init(_ shape: [Int], filters: Int, padding: Int, isPooled: Bool) {
    let (height, width) = (shape[1] + 2 * padding - 2, shape[2] + 2 * padding - 2)
    let side = isPooled ? 2 : 4
    let (storedHeight, storedWidth) = isPooled ? (height / 2, width / 2) : (height, width)
    self.init(
      height: shape[1], width: shape[2], channels: shape[3], filters: filters, padding: padding,
      stored_height: storedHeight, stored_width: storedWidth,
      rows: (storedHeight + side - 1) / side, columns: (storedWidth + side - 1) / side,
      is_pooled: isPooled)
  }
}
