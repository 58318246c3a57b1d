// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[B, H', W', O] = x[B, H, W, C] * weight[O, h, w, C] (+ bias[O]) for any kernel, stride and padding: patches are laid
/// out as rows, a block of them at a time and never all, and multiplied by the weight as a matrix[O, h·w·C].
final class Convolution: Operation, ImageConvolution {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let weight: Parameter
  private let bias: Parameter?
  private let geometry: PatchGeometry
  private let workspace: Workspace
  private let filters: Int
  /// Where images are to be told apart.
  private let images: ImageGradients?
  /// The threads of the last backward pass.
  private var pool = WorkerPool.single
  /// Terms of an output, h·w·C, and distance in floats between patches that are rows.
  private let terms: Int, patchStride: Int

  /// Outputs that a thread takes at a time.
  private static let block = 128
  /// Outputs whose patches are there at once when the weight's gradient is made.
  private static let span = 2048

  init(
    _ x: Tensor, _ weight: Parameter, _ bias: Parameter?, stride: Int, padding: Int, on tape: Tape
  ) {
    self.x = x
    self.weight = weight
    self.bias = bias
    workspace = tape.workspace
    geometry = PatchGeometry(
      x.shape, kernel: (weight.shape[1], weight.shape[2]), stride: stride, padding: padding)
    filters = weight.shape[0]
    terms = geometry.terms
    patchStride = paddedStride(terms)
    inputs = [x, weight.tensor] + (bias.map { [$0.tensor] } ?? [])
    output = tape.output(
      [x.shape[0], geometry.outHeight, geometry.outWidth, filters], of: inputs)
    images =
      tape.weightGradients == .perSample
      ? ImageGradients(x, output, geometry, filters: filters, on: tape) : nil
    workspace.reserve(
      max(
        max(PackedMatrix.size(terms, filters), PackedMatrix.size(filters, terms))
          + tape.pool.threads * Self.block * patchStride,
        filters * patchStride + PackedMatrix.size(Self.span, terms)))
  }

  var lendsOutputGradient: Bool { images != nil }

  func forward(_ pool: WorkerPool) {
    // weightᵀ[h·w·C, O] packed, then each thread's patches.
    let rest = workspace.base + PackedMatrix.size(terms, filters)
    let turned = PackedMatrix(
      packing: weightRows, transposed: true, into: workspace.base, pool)
    let rows = output.rows
    pool.forEach(pieces: (rows + Self.block - 1) / Self.block) { piece, worker in
      let start = piece &* Self.block
      let count = min(Self.block, rows &- start)
      let patches = rest + worker &* Self.block &* patchStride
      geometry.gather(x.value.base, start..<(start &+ count), into: patches, stride: patchStride)
      let target = output.value.base + start &* filters
      if let bias {
        for i in 0..<count { (target + i &* filters).update(from: bias.base, count: filters) }
      }
      turned.multiply(
        count, patches, rowStride: patchStride, columnStride: 1, depth: terms, count: filters,
        accumulate: bias != nil, into: target, ldc: filters)
    }
  }

  private var weightRows: MatrixView<Float> {
    MatrixView(rows: filters, columns: terms, base: UnsafePointer(weight.base))
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient?.base else { return }
    if let dx = x.gradient?.base { inputGradient(dy, dx, beta[0], pool) }
    if let images {
      self.pool = pool
      return images.leave(self, weight, bias, beta, pool)
    }
    if weight.tensor.needsGradient {
      weight.gradient.setMaterialized()
      weightGradient(dy, beta[1], pool, into: weight.gradient.base)
    }
    if let bias, bias.tensor.needsGradient {
      bias.gradient.setMaterialized()
      addRows(
        MatrixView(rows: output.rows, columns: filters, base: UnsafePointer(dy)),
        to: bias.gradient.base, beta: beta[2], pool)
    }
  }

  /// Gradients of patches, dy · weight, added up where patches overlap: an image is one thread's.
  private func inputGradient(
    _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>, _ beta: Float,
    _ pool: WorkerPool
  ) {
    // The weight[O, h·w·C] packed, then each thread's gradients of patches.
    let rest = workspace.base + PackedMatrix.size(filters, terms)
    let packed = PackedMatrix(
      packing: weightRows, transposed: false, into: workspace.base, pool)
    let rows = geometry.outHeight * geometry.outWidth
    let imageSize = x.count / x.shape[0]
    pool.forEach(pieces: x.shape[0]) { image, worker in
      let patches = rest + worker &* Self.block &* patchStride
      if beta == 0 { (dx + image &* imageSize).update(repeating: 0, count: imageSize) }
      for start in Swift.stride(from: image &* rows, to: (image &+ 1) &* rows, by: Self.block) {
        let count = min(Self.block, (image &+ 1) &* rows &- start)
        packed.multiply(
          count, dy + start &* filters, rowStride: filters, columnStride: 1, depth: filters,
          count: terms, accumulate: false, into: patches, ldc: patchStride)
        geometry.scatter(patches, stride: patchStride, start..<(start &+ count), addingTo: dx)
      }
    }
  }

  /// dyᵀ · patches: the threads share out the filters, each sum runs over all outputs in order.
  private func weightGradient(
    _ dy: UnsafePointer<Float>, _ beta: Float, _ pool: WorkerPool,
    into gradient: UnsafeMutablePointer<Float>
  ) {
    let sums = workspace.base
    let patches = sums + filters * patchStride
    let rows = output.rows
    for start in Swift.stride(from: 0, to: rows, by: Self.span) {
      let count = min(Self.span, rows - start)
      let packed = PackedMatrix(count, terms, packed: patches)
      let panel = PackedMatrix.panelWidth
      pool.forRanges(of: count, size: 64) { range in
        geometry.gather(
          x.value.base, (start &+ range.lowerBound)..<(start &+ range.upperBound),
          into: patches + range.lowerBound &* panel, stride: panel, panel: panel, depth: count)
      }
      pool.forRanges(of: filters, size: min(32, max(8, (filters / 4 + 3) & ~3))) { range in
        packed.multiply(
          range.count, dy + (start &* filters &+ range.lowerBound), rowStride: 1,
          columnStride: filters, depth: count, count: terms, accumulate: start > 0,
          into: sums + range.lowerBound &* patchStride, ldc: patchStride)
      }
    }
    for o in 0..<filters {
      let row = sums + o * patchStride
      accumulate(0..<terms, into: gradient + o * terms, beta: beta) { row[$0] }
    }
  }

  func layOutGradient(of image: Int, into rows: UnsafeMutablePointer<Float>, stride: Int) {
    guard let dy = output.gradient?.base else { return }
    let places = geometry.outHeight * geometry.outWidth
    for p in 0..<places {
      (rows + p &* stride).update(
        from: dy + (image &* places &+ p) &* filters, count: filters)
    }
  }

  func addImages(into sum: UnsafeMutablePointer<Float>) {
    guard let dy = output.gradient?.base else { return }
    weightGradient(dy, 0, pool, into: sum)
  }
}

extension Tape {
  /// What follows a convolution in the same operation.
  public enum Pooling: Sendable {
    /// Nothing.
    case none
    /// The maximum of 2×2 outputs, stride 2: fused where that saves time and memory.
    case maximum2
  }

  /// The convolution (cross-correlation) of images x[B, H, W, C] with weight[O, h, w, C] plus bias[O]:
  /// torch.nn.functional.conv2d on channels-last memory. A weight that is not trainable gets no gradient.
  ///
  /// 3×3 kernels of stride 1 from 8 channels to 8 filters on go by F(4×4, 3×3), which rounds up to five times coarser than the
  /// plain sum; all others by blocks of patches.
  public func convolution(
    _ x: Tensor, _ weight: Parameter, bias: Parameter? = nil, stride: Int = 1, padding: Int = 0,
    pooling: Pooling = .none
  ) -> Tensor {
    precondition(
      x.shape.count == 4 && weight.shape.count == 4 && x.shape[3] == weight.shape[3]
        && bias.map { $0.shape == [weight.shape[0]] } ?? true,
      "convolution: x\(x.shape), weight\(weight.shape), bias\(bias?.shape ?? [])")
    let geometry = PatchGeometry(
      x.shape, kernel: (weight.shape[1], weight.shape[2]), stride: stride, padding: padding)
    let isWinograd =
      weight.shape[1...2] == [3, 3] && stride == 1 && min(weight.shape[0], weight.shape[3]) >= 8
    guard isWinograd else {
      let y = record(
        Convolution(x, weight, bias, stride: stride, padding: padding, on: self))
      return pooling == .none ? y : maxPool(y, 2)
    }
    precondition(
      pooling == .none || min(geometry.outHeight, geometry.outWidth) >= 2,
      "pooling 2×2 of \(geometry.outHeight)×\(geometry.outWidth)")
    return record(
      WinogradConvolution(
        x, weight, bias, padding: padding, isPooled: pooling == .maximum2, on: self))
  }
}
