// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// A convolution as `ImageGradients` sees it.
protocol ImageConvolution: AnyObject {
  /// Lays out D[P, O], the gradient at the P outputs of an image before any pooling, as rows `stride` floats apart.
  func layOutGradient(of image: Int, into rows: UnsafeMutablePointer<Float>, stride: Int)
  /// Leaves the gradient of the weight[O, h·w·C] of the whole batch in `sum`.
  func addImages(into sum: UnsafeMutablePointer<Float>)
}

/// The gradients of a convolution's weight and bias as sums over images: Σ_b D_bᵀ X_b with D[P, O] the gradient at an image's
/// outputs and X[P, h·w·C] its patches, and Σ_b D_bᵀ 1.
///
/// An image's share of the weight's gradient has the squared norm ⟨D Dᵀ, X Xᵀ⟩ = ‖Dᵀ X‖², and whichever of the two takes fewer
/// multiplications is computed: the first where an image has few outputs. Sums of Floats over at most P or h·w·C terms; squares in
/// Double.
final class ImageGradients: SampleSum {
  let sampleCount: Int
  private let x: Tensor, output: Tensor
  private let geometry: PatchGeometry
  private let filters: Int
  private let workspace: Workspace
  /// Σ over the outputs of an image of D[P, O], and ones: the factors of the bias's gradient.
  private let sums: Buffer, ones: Buffer
  /// From the backward pass until the images are added up.
  private var convolution: (any ImageConvolution)?
  private var pool = WorkerPool.single

  init(_ x: Tensor, _ output: Tensor, _ geometry: PatchGeometry, filters: Int, on tape: Tape) {
    (self.x, self.output, self.geometry, self.filters) = (x, output, geometry, filters)
    sampleCount = x.shape[0]
    workspace = tape.workspace
    (sums, ones) = (tape.scratch(sampleCount * filters), tape.scratch(sampleCount))
    ones.fill(1)
    workspace.reserve(tape.pool.threads * size)
  }

  private var places: Int { geometry.outHeight * geometry.outWidth }
  /// Entries of a patch as whole vectors of 8.
  private var terms: Int { (geometry.terms + 7) & ~7 }
  private var usesInnerProducts: Bool {
    places * (geometry.terms + filters) < geometry.terms * filters
  }
  /// Floats of X and D, and of the transposes and inner products of both, or of Dᵀ X.
  private var size: Int {
    let stride = paddedStride(places)
    return places * (paddedStride(terms) + paddedStride(filters))
      + (usesInnerProducts
        ? (terms + filters + 2 * places) * stride : filters * paddedStride(terms))
  }

  /// Takes the gradient of `output` as it stands to be that of both parameters.
  func leave(
    _ convolution: any ImageConvolution, _ weight: Parameter, _ bias: Parameter?, _ beta: [Float],
    _ pool: WorkerPool
  ) {
    let parameters = [weight] + (bias.map { [$0] } ?? [])
    precondition(
      zip(parameters, beta.dropFirst()).allSatisfy { $1 == 0 || !$0.tensor.needsGradient },
      "\(weight.name) is used twice on a tape that tells samples apart")
    (self.convolution, self.pool) = (convolution, pool)
    if weight.tensor.needsGradient { weight.gradient.setSum(self) }
    guard let bias, bias.tensor.needsGradient, let dy = output.gradient?.base else { return }
    let rows = output.rows / sampleCount
    pool.forEach(pieces: sampleCount) { (image: Int) in
      addRows(
        MatrixView(
          rows: rows, columns: filters,
          base: UnsafePointer(dy + image &* rows &* filters)),
        to: sums.base + image &* filters, beta: 0, .single)
    }
    bias.gradient.setProduct(
      left: MatrixView(rows: sampleCount, columns: filters, base: UnsafePointer(sums.base)),
      right: MatrixView(rows: sampleCount, columns: 1, base: UnsafePointer(ones.base)))
  }

  func addSquaredNorms(to squares: UnsafeMutablePointer<Double>) {
    guard let convolution else { preconditionFailure("images that are added up already") }
    let (places, terms, filters) = (places, terms, filters)
    let (xStride, dStride, pStride) = (
      paddedStride(terms), paddedStride(filters), paddedStride(places)
    )
    pool.forEach(pieces: sampleCount) { image, worker in
      let patches = workspace.base + worker &* size
      let given = patches + places &* xStride
      let rest = given + places &* dStride
      geometry.gather(
        x.value.base, (image &* places)..<((image &+ 1) &* places), into: patches, stride: xStride)
      convolution.layOutGradient(of: image, into: given, stride: dStride)
      guard usesInnerProducts else {
        gemmInCache(
          filters, terms, places, given, rowStride: 1, columnStride: dStride, patches,
          ldb: xStride, into: rest, ldc: xStride)
        for o in 0..<filters {
          squares[image] += Float._sumOfSquares(rest + o &* xStride, geometry.terms)
        }
        return
      }
      let turned = rest + 2 &* places &* pStride
      func innerProducts(
        _ rows: UnsafePointer<Float>, _ count: Int, _ stride: Int,
        into products: UnsafeMutablePointer<Float>
      ) {
        transpose(
          rows, rows: places, columns: count, stride: stride, into: turned, targetStride: pStride)
        gemmInCache(
          places, places, count, rows, rowStride: stride, columnStride: 1, turned, ldb: pStride,
          into: products, ldc: pStride)
      }
      innerProducts(patches, terms, xStride, into: rest)
      innerProducts(given, filters, dStride, into: rest + places &* pStride)
      for p in 0..<places {
        let (a, b) = (rest + p &* pStride, rest + (places &+ p) &* pStride)
        for q in 0..<places { squares[image].addProduct(Double(a[q]), Double(b[q])) }
      }
    }
  }

  func add(weights: [Double]?, into sum: UnsafeMutablePointer<Float>) {
    guard let convolution, let dy = output.gradient?.base else {
      preconditionFailure("images that are added up already")
    }
    if let weights {
      let size = output.count / sampleCount
      pool.forEach(pieces: sampleCount) { (image: Int) in
        let (own, weight) = (dy + image &* size, Float(weights[image]))
        for i in 0..<size { own[i] *= weight }
      }
    }
    convolution.addImages(into: sum)
    if weights != nil { self.convolution = nil }
  }
}
