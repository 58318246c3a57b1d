import LinearAlgebra

/// Causal multi-head attention, softmax(q kᵀ/√d + mask) v, block of queries by block of queries.
///
/// A block of queries meets only the keys up to its own end, so blocks above the diagonal cost nothing, and
/// no more than one block's probabilities are held by a thread: memory grows with T, not with T². The
/// backward pass computes them again from the logarithms of their sums (Dao et al. 2022).
final class CausalAttention: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let heads: Int, length: Int, batch: Int, headSize: Int
  /// log Σ exp of every query's row of scores, [batch, heads, length].
  private let logSums: Buffer
  private let mask: DropoutMask?
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
  init(_ inputs: [Tensor], heads: Int, dropout: Double, on tape: Tape) {
    let isFused = inputs.count == 1
    let shape = inputs[0].shape
    let width = isFused ? shape[2] / 3 : shape[2]
    precondition(
      shape.count == 3 && inputs.allSatisfy { $0.shape == shape } && width % heads == 0
        && (!isFused || shape[2] == 3 * width),
      "attention of \(heads) heads on \(inputs.map(\.shape))")
    self.inputs = inputs
    self.heads = heads
    (batch, length, headSize) = (shape[0], shape[1], width / heads)
    slices = (0..<3).map {
      Slice(tensor: isFused ? 0 : $0, offset: isFused ? $0 * width : 0, stride: shape[2])
    }
    output = tape.output([batch, length, width], of: inputs)
    logSums = tape.scratch(batch * heads * length)
    block = min(length, length <= 256 ? 32 : 64)
    row = (length + 15) & ~15
    // Transposed keys and values, gradients of keys and values, two blocks of scores.
    scratchSize = (4 * length * headSize + 2 * block * row + 63) & ~15
    scratch = tape.scratch(scratchSize * tape.pool.threads)
    mask =
      tape.isTraining && dropout > 0
      ? DropoutMask(probability: dropout, stream: tape.nextDropoutStream()) : nil
    self.tape = tape
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
      mask.forFactors(of: start..<(start + i + 1), step: tape.step) { from, factors, count in
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
      let keys = scratch.base + worker * scratchSize  // [d, t]
      let p = keys + 4 * t * d  // [block, row]
      transpose(k, rows: t, columns: d, stride: stride, into: keys)
      for start in Swift.stride(from: 0, to: t, by: block) {
        let end = min(t, start + block)
        let n = end - start
        gemmBlock(
          n, end, d, q + start * stride, lda: stride, keys, ldb: t, beta: 0, into: p, ldc: row)
        for i in 0..<n {
          logSums.base[piece * t + start + i] = VectorMath.softmax(
            p + i * row, valid: start + i + 1, count: end, scale: scale)
        }
        drop(p, piece: piece, queries: start..<end, stride: row)
        gemmBlock(
          n, d, end, p, lda: row, v, ldb: stride, beta: 0, into: y + start * output.columns,
          ldc: output.columns)
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
      let keys = scratch.base + worker * scratchSize  // [d, t]
      let values = keys + t * d  // [d, t]
      let dk = values + t * d  // [t, d]
      let dv = dk + t * d  // [t, d]
      let p = dv + t * d  // [block, row]
      let dp = p + block * row  // [block, row]
      transpose(k, rows: t, columns: d, stride: stride, into: keys)
      transpose(v, rows: t, columns: d, stride: stride, into: values)
      dk.update(repeating: 0, count: 2 * t * d)
      for start in Swift.stride(from: 0, to: t, by: block) {
        let end = min(t, start + block)
        let n = end - start
        let rows = dy + start * width
        gemmBlock(
          n, end, d, q + start * stride, lda: stride, keys, ldb: t, beta: 0, into: p, ldc: row)
        gemmBlock(n, end, d, rows, lda: width, values, ldb: t, beta: 0, into: dp, ldc: row)
        drop(dp, piece: piece, queries: start..<end, stride: row)
        for i in 0..<n {
          // dscore = p ∘ (dp - Σ p∘dp), where Σ p∘dp = dy·y.
          let (a, b) = (y + (start + i) * width, rows + i * width)
          var inner: Float = 0
          for j in 0..<d { inner.addProduct(a[j], b[j]) }
          differentiate(
            p + i * row, dp + i * row, valid: start + i + 1, count: end,
            logSum: logSums.base[piece * t + start + i], inner: inner)
        }
        if let dq = gradientBase(0, sample, head) {
          gemmBlock(
            n, d, end, dp, lda: row, k, ldb: stride, beta: beta[slices[0].tensor],
            into: dq + start * stride, ldc: stride)
        }
        gemmBlock(
          end, d, n, dp, lda: row, q + start * stride, ldb: stride, transposeA: .yes, beta: 1,
          into: dk, ldc: d)
        drop(p, piece: piece, queries: start..<end, stride: row)
        gemmBlock(
          end, d, n, p, lda: row, rows, ldb: width, transposeA: .yes, beta: 1, into: dv, ldc: d)
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
  /// Causal self-attention of q, k and v[B, T, C] with C/heads channels a head, scaled by 1/√(C/heads);
  /// probabilities are dropped with `dropout` while training.
  public func causalAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, dropout: Double = 0
  ) -> Tensor {
    record(CausalAttention([q, k, v], heads: heads, dropout: dropout, on: self))
  }

  /// The same where q, k and v lie side by side in one tensor[B, T, 3C].
  public func causalAttention(_ qkv: Tensor, heads: Int, dropout: Double = 0) -> Tensor {
    record(CausalAttention([qkv], heads: heads, dropout: dropout, on: self))
  }
}
