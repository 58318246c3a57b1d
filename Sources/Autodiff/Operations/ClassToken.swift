// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[B, 1 + N, C]: the class token[C], then the N rows of x[B, N, C], each with its row of map[1 + N, P] · positions[P, C]
/// added; the gradient of the positions goes back through the map's transpose (Dosovitskiy et al. 2021).
final class ClassToken: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let token: Parameter, positions: Parameter
  private let map: [Float]
  private let batch: Int, places: Int, sources: Int, width: Int
  /// map · positions, or its gradient.
  private let mapped: Buffer

  init(
    _ x: Tensor, _ token: Parameter, positions: Parameter, map: [Float], on tape: Tape
  ) {
    (batch, places, width) = (x.shape[0], x.shape[1] + 1, x.shape[2])
    sources = positions.count / max(1, width)
    precondition(
      x.shape.count == 3 && token.count == width && positions.count == sources * width
        && map.count == places * sources,
      "class token: x\(x.shape), token\(token.shape), positions\(positions.shape), map of \(map.count)"
    )
    (self.x, self.token, self.positions, self.map) = (x, token, positions, map)
    inputs = [x, token.tensor, positions.tensor]
    output = tape.output([batch, places, width], of: inputs)
    mapped = tape.scratch(places * width)
  }

  func forward(_ pool: WorkerPool) {
    mapped.fill(0)
    for place in 0..<places {
      let target = mapped.base + place &* width
      for source in 0..<sources {
        let factor = map[place &* sources &+ source]
        if factor == 0 { continue }
        let row = positions.base + source &* width
        for j in 0..<width { target[j].addProduct(factor, row[j]) }
      }
    }
    pool.forRanges(of: batch, size: 8) { range in
      for sample in range {
        for place in 0..<places {
          let source =
            place == 0
            ? token.base : x.value.base + (sample &* (places &- 1) &+ place &- 1) &* width
          let target = output.value.base + (sample &* places &+ place) &* width
          let shift = mapped.base + place &* width
          for j in 0..<width { target[j] = source[j] + shift[j] }
        }
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dy = output.gradient?.base else { return }
    let size = places &* width
    // Entries are shared out; each adds up its samples in order.
    pool.forRanges(of: size, size: 64) { range in
      for i in range {
        var sum: Float = 0
        for sample in 0..<batch { sum += dy[sample &* size &+ i] }
        mapped.base[i] = sum
      }
    }
    if let dx = x.gradient?.base {
      let rows = size - width
      for sample in 0..<batch {
        let (from, to) = (dy + sample &* size + width, dx + sample &* rows)
        accumulate(0..<rows, into: to, beta: beta[0]) { from[$0] }
      }
    }
    if token.tensor.needsGradient {
      token.gradient.setMaterialized()
      let dToken = token.gradient.base
      for j in 0..<width { dToken[j] = (beta[1] == 0 ? 0 : dToken[j]) + mapped.base[j] }
    }
    guard positions.tensor.needsGradient else { return }
    positions.gradient.setMaterialized()
    let dPositions = positions.gradient.base
    if beta[2] == 0 { dPositions.update(repeating: 0, count: positions.count) }
    for place in 0..<places {
      for source in 0..<sources {
        let factor = map[place &* sources &+ source]
        if factor == 0 { continue }
        for j in 0..<width {
          dPositions[source &* width &+ j].addProduct(factor, mapped.base[place &* width &+ j])
        }
      }
    }
  }
}

extension Tape {
  /// The class token[C] in front of x[B, N, C], and to all [B, 1 + N, C] the row-major map[1 + N, P] of positions[P, C] added.
  public func classToken(
    _ x: Tensor, _ token: Parameter, positions: Parameter, map: [Float]
  ) -> Tensor {
    record(ClassToken(x, token, positions: positions, map: map, on: self))
  }
}
