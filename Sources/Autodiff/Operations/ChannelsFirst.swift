// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// y[B, C·H·W] = x[B, H, W, C] with an image's values in the order of channels first.
final class ChannelsFirst: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let channels: Int, places: Int

  init(_ x: Tensor, on tape: Tape) {
    precondition(x.shape.count == 4, "images \(x.shape)")
    self.x = x
    (channels, places) = (x.shape[3], x.shape[1] * x.shape[2])
    inputs = [x]
    output = tape.output([x.shape[0], channels * places], of: inputs)
  }

  func forward(_ pool: WorkerPool) {
    let size = channels * places
    pool.forEach(pieces: x.shape[0]) { (image: Int) in
      transpose(
        x.value.base + image &* size, rows: places, columns: channels,
        into: output.value.base + image &* size)
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = x.gradient?.base, let dy = output.gradient?.base else { return }
    let size = channels * places
    pool.forEach(pieces: x.shape[0]) { (image: Int) in
      let (own, given) = (dx + image &* size, dy + image &* size)
      if beta[0] == 0 { own.update(repeating: 0, count: size) }
      for channel in 0..<channels {
        for place in 0..<places {
          own[place &* channels &+ channel] += given[channel &* places &+ place]
        }
      }
    }
  }
}

extension Tape {
  /// Images x[B, H, W, C] as rows [B, C·H·W] in PyTorch's order, torch.flatten(x, 1) of x[B, C, H, W].
  public func flattenChannelsFirst(_ x: Tensor) -> Tensor { record(ChannelsFirst(x, on: self)) }
}
