// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[…, T, C] = table[index] (+ positions[t]), index[…, T] below the table's rows.
final class Embedding: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let indices: Indices
  private let table: Parameter
  private let positions: Parameter?
  /// The row of the table that gets no gradient.
  private let padding: Int?

  init(
    _ indices: Indices, _ table: Parameter, positions: Parameter?, padding: Int?, on tape: Tape
  ) {
    let width = table.shape[1]
    precondition(
      positions.map { positions in
        positions.shape.count == 2 && positions.shape[1] == width
          && indices.shape.last ?? 0 <= positions.shape[0]
      } ?? true,
      "embedding: indices\(indices.shape), table\(table.shape), positions\(positions?.shape ?? [])")
    self.indices = indices
    self.table = table
    self.positions = positions
    self.padding = padding
    inputs = [table.tensor] + (positions.map { [$0.tensor] } ?? [])
    output = tape.output(indices.shape + [width], of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let (width, length) = (output.columns, indices.shape.last ?? 1)
    pool.forRanges(of: indices.count, size: max(1, pieceSize / width)) { range in
      for i in range {
        let index = Int(indices.base[i])
        precondition(index >= 0 && index < table.shape[0], "index \(index) into \(table.shape)")
        let (a, y) = (table.base + index &* width, output.value.base + i &* width)
        if let positions {
          let b = positions.base + (i % length) &* width
          for j in 0..<width { y[j] = a[j] + b[j] }
        } else {
          y.update(from: a, count: width)
        }
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient?.base else { return }
    let (width, length) = (output.columns, indices.shape.last ?? 1)
    func gradient(_ parameter: Parameter, _ beta: Float) -> UnsafeMutablePointer<Float>? {
      guard parameter.tensor.needsGradient else { return nil }
      parameter.gradient.setMaterialized()
      if beta == 0 { parameter.gradient.base.update(repeating: 0, count: parameter.count) }
      return parameter.gradient.base
    }
    let dTable = gradient(table, beta[0])
    let dPositions = positions.flatMap { gradient($0, beta[1]) }
    // Columns are shared out; each adds up its tokens in order.
    pool.forRanges(of: width, size: 64) { range in
      for i in 0..<indices.count {
        let given = dy + i &* width
        if let dTable, padding != Int(indices.base[i]) {
          let a = dTable + Int(indices.base[i]) &* width
          for j in range { a[j] += given[j] }
        }
        guard let dPositions else { continue }
        let b = dPositions + (i % length) &* width
        for j in range { b[j] += given[j] }
      }
    }
  }
}

extension Tape {
  /// Token embeddings, y[…, C] = table[index], or with position embeddings added, y[…, T, C] = table[index] + positions[t];
  /// row `padding` of the table gets no gradient (torch's padding_idx).
  public func embedding(
    _ indices: Indices, _ table: Parameter, positions: Parameter? = nil, padding: Int? = nil
  ) -> Tensor {
    record(Embedding(indices, table, positions: positions, padding: padding, on: self))
  }
}
