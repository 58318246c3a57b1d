// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// Which elements of a tensor survive dropout, and by how much they grow: 16 random bits an element,
/// keyed by (stream, the tape's step, index), so forward and backward need not share a mask.
struct DropoutMask {
  /// Elements whose 16 bits lie below this are dropped: p to the nearest 1/65536.
  let threshold: UInt16
  /// 1/(1 - p).
  let scale: Float
  private let stream: RandomStream

  init(probability: Double, stream: RandomStream) {
    precondition(probability >= 0 && probability < 1, "dropout of \(probability)")
    threshold = UInt16(min(65_535, (probability * 65_536).rounded()))
    scale = Float(65_536 / (65_536 - Double(threshold)))
    self.stream = stream
  }

  /// Calls body(first index, factors, count) for groups of up to 256 elements of `range`, whose lower
  /// bound is a multiple of 64; a factor is 0 or `scale`.
  @inline(__always)
  func forFactors(
    of range: Range<Int>, step: UInt64, _ body: (Int, UnsafePointer<Float>, Int) -> Void
  ) {
    let stream = stream.at(step: step)
    withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 256) { words in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { factors in
        guard let factors = factors.baseAddress, let word = words.baseAddress else { return }
        for start in stride(from: range.lowerBound, to: range.upperBound, by: 256) {
          let count = min(256, range.upperBound &- start)
          stream.fill(bits: UnsafeMutableBufferPointer(rebasing: words[..<count]), from: start)
          for i in 0..<count { factors[i] = word[i] < threshold ? 0 : scale }
          body(start, factors, count)
        }
      }
    }
  }
}

/// z = x + dropout(y), or dropout(y) where there is no x; one shape.
final class Dropout: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let mask: DropoutMask
  private unowned let tape: Tape

  init(_ y: Tensor, addedTo x: Tensor?, probability: Double, on tape: Tape) {
    precondition(x.map { $0.shape == y.shape } ?? true, "a sum of \(x?.shape ?? []), \(y.shape)")
    inputs = [y] + (x.map { [$0] } ?? [])
    output = tape.output(y.shape, of: inputs)
    mask = DropoutMask(probability: probability, stream: tape.nextDropoutStream())
    self.tape = tape
  }

  func forward(_ pool: WorkerPool) {
    let (y, z) = (inputs[0].value.base, output.value.base)
    let x = inputs.count > 1 ? inputs[1].value.base : nil
    pool.forRanges(of: output.count, size: pieceSize) { range in
      mask.forFactors(of: range, step: tape.step) { start, factors, count in
        if let x {
          for i in 0..<count {
            z[start &+ i] = x[start &+ i].addingProduct(factors[i], y[start &+ i])
          }
        } else {
          for i in 0..<count { z[start &+ i] = factors[i] * y[start &+ i] }
        }
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dz = output.gradient?.base else { return }
    let dy = inputs[0].gradient?.base
    let dx = inputs.count > 1 ? inputs[1].gradient?.base : nil
    pool.forRanges(of: output.count, size: pieceSize) { range in
      if let dy {
        mask.forFactors(of: range, step: tape.step) { start, factors, count in
          if beta[0] == 0 {
            for i in 0..<count { dy[start &+ i] = factors[i] * dz[start &+ i] }
          } else {
            for i in 0..<count { dy[start &+ i].addProduct(factors[i], dz[start &+ i]) }
          }
        }
      }
      if let dx { accumulate(range, into: dx, beta: beta[1]) { dz[$0] } }
    }
  }
}

extension Tape {
  /// Each element 0 with `probability`, else divided by 1 - probability; x itself on a tape that does
  /// not train.
  public func dropout(_ x: Tensor, probability: Double) -> Tensor {
    guard isTraining, probability > 0 else { return x }
    return record(Dropout(x, addedTo: nil, probability: probability, on: self))
  }

  /// x + dropout(y): a residual connection.
  public func add(_ x: Tensor, _ y: Tensor, dropout probability: Double) -> Tensor {
    guard isTraining, probability > 0 else { return add(x, y) }
    return record(Dropout(y, addedTo: x, probability: probability, on: self))
  }
}
