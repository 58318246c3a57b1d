// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Which keys a query meets.
public enum AttentionScope: Sendable {
  /// Those up to its own place, as in a language model.
  case causal
  /// All of them, as in an encoder.
  case everywhere
  /// Those whose entry of the mask[B, T] is not 0; every row of the mask needs one.
  case among(Indices)

  var isCausal: Bool { if case .causal = self { true } else { false } }
}

/// Multi-head attention, softmax(q kᵀ/√d + mask) v, block of queries by block of queries.
///
/// A causal block of queries meets only the keys up to its own end, so blocks above the diagonal cost nothing, and
/// no more than one block's probabilities are held by a thread: memory grows with T, not with T². The
/// backward pass computes them again from the logarithms of their sums (Dao et al. 2022).
final class Attention: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let heads: Int, length: Int, batch: Int, headSize: Int
  /// log Σ exp of every query's row of scores, [batch, heads, length].
  private let logSums: Buffer
  private let mask: DropoutMask?
  private let scope: AttentionScope
  private unowned let tape: Tape
  /// Scratch of one thread, in floats, and all of it.
  private let scratchSize: Int
  private let scratch: Buffer
  private let block: Int
  /// Floats from one row of scores to the next: whole vectors.
  private let row: Int

  /// One of q, k, v: where it lies in which tensor.
  private struct Slice {
    let tensor: Int
    let offset: Int
    let stride: Int
  }
  private let slices: [Slice]

  /// `inputs`: q, k and v[B, T, C], or the three side by side in one tensor[B, T, 3C].
  init(
    _ inputs: [Tensor], heads: Int, scope: AttentionScope, dropout: Double, on tape: Tape
  ) {
    let isFused = inputs.count == 1
    let shape = inputs[0].shape
    let width = isFused ? shape[2] / 3 : shape[2]
    precondition(
      shape.count == 3 && inputs.allSatisfy { $0.shape == shape } && width % heads == 0
        && (!isFused || shape[2] == 3 * width),
      "attention of \(heads) heads on \(inputs.map(\.shape))")
    if case .among(let keys) = scope {
      precondition(
        keys.shape == Array(shape[..<2]), "a mask\(keys.shape) of keys\(shape[..<2])")
    }
    self.inputs = inputs
    self.heads = heads
    self.scope = scope
    (batch, length, headSize) = (shape[0], shape[1], width / heads)
    slices = (0..<3).map {
      Slice(tensor: isFused ? 0 : $0, offset: isFused ? $0 * width : 0, stride: shape[2])
    }
    output = tape.output([batch, length, width], of: inputs)
    logSums = tape.scratch(batch * heads * length)
    block = min(length, length <= 256 ? 32 : 64)
    row = (length + 15) & ~15
    // What backward packs, gradients of keys and values, two blocks of scores and one of queries.
    let floats =
      2 * PackedMatrix.size(headSize, length) + PackedMatrix.size(length, headSize)
      + 2 * length * headSize + PackedMatrix.size(block, headSize) + 2 * block * row
    scratchSize = (floats + 15) & ~15
    scratch = tape.scratch(scratchSize * tape.pool.threads)
    mask =
      tape.isTraining && dropout > 0
      ? DropoutMask(probability: dropout, stream: tape.nextDropoutStream()) : nil
    self.tape = tape
  }

  /// source[k, n], or the transpose of source[n, k], packed in the room that is left.
  private func pack(
    _ k: Int, _ n: Int, _ source: UnsafePointer<Float>, stride: Int, transposed: Bool,
    _ room: inout UnsafeMutablePointer<Float>
  ) -> PackedMatrix {
    defer { room += PackedMatrix.size(k, n) }
    return PackedMatrix(k, n, packing: source, stride: stride, transposed: transposed, into: room)
  }

  /// Keys that a query, or a block of them that ends there, can meet.
  private func reach(_ end: Int) -> Int { scope.isCausal ? end : length }

  /// Moves the scores of hidden keys so far down that their probabilities are exactly 0.
  private func hide(
    _ p: UnsafeMutablePointer<Float>, sample: Int, queries: Int, stride: Int
  ) {
    guard case .among(let keys) = scope else { return }
    for j in 0..<length where keys.base[sample &* length &+ j] == 0 {
      for i in 0..<queries { p[i &* stride &+ j] = -.greatestFiniteMagnitude / 4 }
    }
  }

  private var scale: Float { 1 / Float(headSize).squareRoot() }

  /// Of one sample and head: the first entry of q, k or v.
  private func base(_ index: Int, _ sample: Int, _ head: Int) -> UnsafeMutablePointer<Float> {
    let slice = slices[index]
    return inputs[slice.tensor].value.base + slice.offset
      + (sample * length * slice.stride + head * headSize)
  }

  private func gradientBase(
    _ index: Int, _ sample: Int, _ head: Int
  ) -> UnsafeMutablePointer<Float>? {
    let slice = slices[index]
    return inputs[slice.tensor].gradient.map {
      $0.base + slice.offset + (sample * length * slice.stride + head * headSize)
    }
  }

  /// Multiplies the probabilities of `queries` by their dropout factors. Rows of the mask begin at
  /// multiples of 64.
  private func drop(
    _ p: UnsafeMutablePointer<Float>, piece: Int, queries: Range<Int>, stride: Int
  ) {
    guard let mask else { return }
    let maskRow = (length + 63) & ~63
    for i in queries {
      let start = (piece * length + i) * maskRow
      let target = p + (i - queries.lowerBound) * stride
      mask.forFactors(of: start..<(start + reach(i + 1)), step: tape.step) { from, factors, count in
        let x = target + (from - start)
        for j in 0..<count { x[j] *= factors[j] }
      }
    }
  }

  func forward(_ pool: WorkerPool) {
    let (t, d, stride) = (length, headSize, slices[0].stride)
    pool.forEach(pieces: batch * heads) { piece, worker in
      let (sample, head) = (piece / heads, piece % heads)
      let (q, k, v) = (base(0, sample, head), base(1, sample, head), base(2, sample, head))
      let y = output.value.base + (sample * t * output.columns + head * d)
      var room = scratch.base + worker * scratchSize
      let keys = pack(d, t, k, stride: stride, transposed: true, &room)
      let values = pack(t, d, v, stride: stride, transposed: false, &room)
      let p = room  // [block, row]
      for start in Swift.stride(from: 0, to: t, by: block) {
        let end = min(t, start + block)
        let n = end - start
        keys.multiply(
          n, q + start * stride, rowStride: stride, columnStride: 1, depth: d, count: reach(end),
          accumulate: false, into: p, ldc: row)
        hide(p, sample: sample, queries: n, stride: row)
        for i in 0..<n {
          logSums.base[piece * t + start + i] = VectorMath.softmax(
            p + i * row, valid: reach(start + i + 1), count: reach(end), scale: scale)
        }
        drop(p, piece: piece, queries: start..<end, stride: row)
        values.multiply(
          n, p, rowStride: row, columnStride: 1, depth: reach(end), count: d, accumulate: false,
          into: y + start * output.columns, ldc: output.columns)
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dOutput = output.gradient else { return }
    let (t, d, stride, width) = (length, headSize, slices[0].stride, output.columns)
    pool.forEach(pieces: batch * heads) { piece, worker in
      let (sample, head) = (piece / heads, piece % heads)
      let (q, k, v) = (base(0, sample, head), base(1, sample, head), base(2, sample, head))
      let y = output.value.base + (sample * t * width + head * d)
      let dy = dOutput.base + (sample * t * width + head * d)
      var room = scratch.base + worker * scratchSize
      let keys = pack(d, t, k, stride: stride, transposed: true, &room)
      let values = pack(d, t, v, stride: stride, transposed: true, &room)
      let keyRows = pack(t, d, k, stride: stride, transposed: false, &room)
      let dk = room  // [t, d]
      let dv = dk + t * d  // [t, d]
      let p = dv + t * d  // [block, row]
      let dp = p + block * row  // [block, row]
      let rest = dp + block * row
      dk.update(repeating: 0, count: 2 * t * d)
      for start in Swift.stride(from: 0, to: t, by: block) {
        let end = min(t, start + block)
        let n = end - start
        let rows = dy + start * width
        keys.multiply(
          n, q + start * stride, rowStride: stride, columnStride: 1, depth: d, count: reach(end),
          accumulate: false, into: p, ldc: row)
        hide(p, sample: sample, queries: n, stride: row)
        values.multiply(
          n, rows, rowStride: width, columnStride: 1, depth: d, count: reach(end),
          accumulate: false,
          into: dp, ldc: row)
        drop(dp, piece: piece, queries: start..<end, stride: row)
        for i in 0..<n {
          // dscore = p ∘ (dp - Σ p∘dp), where Σ p∘dp = dy·y.
          let (a, b) = (y + (start + i) * width, rows + i * width)
          var inner: Float = 0
          for j in 0..<d { inner.addProduct(a[j], b[j]) }
          differentiate(
            p + i * row, dp + i * row, valid: reach(start + i + 1), count: reach(end),
            logSum: logSums.base[piece * t + start + i], inner: inner)
        }
        if let dq = gradientBase(0, sample, head) {
          keyRows.multiply(
            n, dp, rowStride: row, columnStride: 1, depth: reach(end), count: d,
            accumulate: beta[slices[0].tensor] == 1, into: dq + start * stride, ldc: stride)
        }
        let queries = PackedMatrix(
          n, d, packing: q + start * stride, stride: stride, transposed: false, into: rest)
        queries.multiply(
          reach(end), dp, rowStride: 1, columnStride: row, depth: n, count: d, accumulate: true,
          into: dk, ldc: d)
        drop(p, piece: piece, queries: start..<end, stride: row)
        let given = PackedMatrix(
          n, d, packing: rows, stride: width, transposed: false, into: rest)
        given.multiply(
          reach(end), p, rowStride: 1, columnStride: row, depth: n, count: d, accumulate: true,
          into: dv,
          ldc: d)
      }
      for (index, source) in [(1, dk), (2, dv)] {
        guard let target = gradientBase(index, sample, head) else { continue }
        for i in 0..<t {
          let (from, to) = (source + i * d, target + i * stride)
          if beta[slices[index].tensor] == 0 {
            to.update(from: from, count: d)
          } else {
            for j in 0..<d { to[j] += from[j] }
          }
        }
      }
    }
  }

  /// Scores p become probabilities, their gradients dp (of the dropped probabilities) those of the scores
  /// times the scale.
  @inline(__always)
  private func differentiate(
    _ p: UnsafeMutablePointer<Float>, _ dp: UnsafeMutablePointer<Float>, valid: Int, count: Int,
    logSum: Float, inner: Float
  ) {
    typealias Vector = VectorMath.Vector
    let (factor, shift) = (Vector(repeating: scale), Vector(repeating: -logSum))
    for j in Swift.stride(from: 0, to: valid, by: 16) {
      let x = VectorMath.keep(
        VectorMath.exp(shift.addingProduct(VectorMath.load(p + j), factor)),
        first: valid &- j, else: 0)
      let slope = x * (VectorMath.load(dp + j) - inner) * scale
      VectorMath.store(x, p + j)
      // Masked entries may hold anything, also infinities.
      VectorMath.store(VectorMath.keep(slope, first: valid &- j, else: 0), dp + j)
    }
    for j in Swift.stride(from: (valid + 15) & ~15, to: count, by: 16) {
      VectorMath.store(Vector(repeating: 0), p + j)
      VectorMath.store(Vector(repeating: 0), dp + j)
    }
  }
}

extension Tape {
  /// Self-attention of q, k and v[B, T, C] among the keys in `scope`, with C/heads channels a head, scaled by 1/√(C/heads);
  /// probabilities are dropped with `dropout` while training.
  public func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, scope: AttentionScope, dropout: Double = 0
  ) -> Tensor {
    record(Attention([q, k, v], heads: heads, scope: scope, dropout: dropout, on: self))
  }

  /// The same where q, k and v lie side by side in one tensor[B, T, 3C].
  public func attention(
    _ qkv: Tensor, heads: Int, scope: AttentionScope, dropout: Double = 0
  ) -> Tensor {
    record(Attention([qkv], heads: heads, scope: scope, dropout: dropout, on: self))
  }
}
