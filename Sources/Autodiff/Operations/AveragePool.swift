import LinearAlgebra

/// y[B, H/h, W/w, C] = the mean of each h×w of x[B, H, W, C]; rows and columns that fill no window are left out.
final class AveragePool: Operation {
  let inputs: [Tensor]
  let output: Tensor
  private let x: Tensor
  private let geometry: (height: Int, width: Int, channels: Int)
  private let window: (height: Int, width: Int)

  init(_ x: Tensor, window: (height: Int, width: Int), on tape: Tape) {
    precondition(
      x.shape.count == 4 && window.height >= 1 && window.width >= 1 && x.shape[1] >= window.height
        && x.shape[2] >= window.width, "an average over \(window) of \(x.shape)")
    self.x = x
    self.window = window
    geometry = (x.shape[1], x.shape[2], x.shape[3])
    inputs = [x]
    output = tape.output(
      [x.shape[0], x.shape[1] / window.height, x.shape[2] / window.width, x.shape[3]], of: inputs)
  }

  /// Calls body(first channel of an input, first channel of its output) for every input of an image that counts.
  @inline(__always)
  private func forPlaces(_ image: Int, _ body: (Int, Int) -> Void) {
    let (h, w) = (output.shape[1], output.shape[2])
    for y in 0..<(h &* window.height) {
      for x in 0..<(w &* window.width) {
        body(
          ((image &* geometry.height &+ y) &* geometry.width &+ x) &* geometry.channels,
          ((image &* h &+ y / window.height) &* w &+ x / window.width) &* geometry.channels)
      }
    }
  }

  private var factor: Float { 1 / Float(window.height * window.width) }

  func forward(_ pool: WorkerPool) {
    let (source, target, c, factor) = (x.value.base, output.value.base, geometry.channels, factor)
    let size = output.count / x.shape[0]
    pool.forEach(pieces: x.shape[0]) { (image: Int) in
      (target + image &* size).update(repeating: 0, count: size)
      forPlaces(image) { from, to in
        for j in 0..<c { target[to &+ j].addProduct(factor, source[from &+ j]) }
      }
    }
  }

  func backward(_ pool: WorkerPool, beta: [Float]) {
    guard let dx = x.gradient?.base, let dy = output.gradient?.base else { return }
    let (c, factor) = (geometry.channels, factor)
    let size = x.count / x.shape[0]
    pool.forEach(pieces: x.shape[0]) { (image: Int) in
      if beta[0] == 0 { (dx + image &* size).update(repeating: 0, count: size) }
      forPlaces(image) { from, to in
        for j in 0..<c { dx[from &+ j].addProduct(factor, dy[to &+ j]) }
      }
    }
  }
}

extension Tape {
  /// The mean over windows of size × size that do not overlap, torch.nn.functional.avg_pool2d(x, size), for
  /// channels-last x[B, H, W, C] with H, W >= size.
  public func averagePool(_ x: Tensor, _ size: Int) -> Tensor {
    record(AveragePool(x, window: (size, size), on: self))
  }

  /// The mean over all places, [B, 1, 1, C] for x[B, H, W, C].
  public func globalAveragePool(_ x: Tensor) -> Tensor {
    precondition(x.shape.count == 4, "a global average of \(x.shape)")
    return record(AveragePool(x, window: (x.shape[1], x.shape[2]), on: self))
  }
}
