import Autodiff
import Clipping
import LinearAlgebra
import Models
import Optimizers
import Training

/// Steps of a GPT on random tokens for benchmarks: forward, backward, clip and optimizer, nothing else.
public final class LanguageStepProbe {
  /// The cases that the benchmark compares with PyTorch.
  public enum Case: String, CaseIterable, Sendable {
    /// nanoGPT's CPU size, SGD and norm clipping.
    case nanoGPT = "nanogpt-cpu"
    /// The same with Algorithm 2 at rank 3 in place of norm clipping.
    case nanoGPTSpectral = "nanogpt-cpu-spectral"
    /// The paper's nanoGPT with dropout, SGD and norm clipping.
    case nanoGPTPaper = "nanogpt-paper"
    /// GPT-2 with 124 M parameters, 4×1024 tokens, SGD.
    case gpt2 = "gpt2-4x1024"
    /// GPT-2 with 124 M parameters, 4×64 tokens, AdamW.
    case gpt2Short = "gpt2-4x64"
    /// Algorithm 2 at rank 64 on gradients of all of GPT-2's matrices, and nothing else.
    case gpt2Clip = "gpt2-clip"
    /// GPT-2's gradients of 8 contexts of 128 tokens with one next token each, and all singular values of its
    /// 48 matrices: a mini-batch of bad-token-spectra.
    case gpt2Spectra = "gpt2-spectra"
  }

  private let model: GPT
  private let tape: Tape
  private let loss: Tensor?
  private var update: Update
  private let isSpectral: Bool

  /// A model with random weights and a batch of random tokens.
  public init(_ probe: Case, threads: Int) throws {
    let pool = WorkerPool(threads: threads)
    tape = Tape(pool: pool)
    isSpectral = probe == .gpt2Spectra
    let isNano: Bool
    let batch: [Int]
    switch probe {
    case .nanoGPT, .nanoGPTSpectral:
      (isNano, batch) = (true, [12, 64])
      model = GPT(.nanoGPT, .init(vocabulary: 65, block: 64, layers: 4, heads: 4, width: 128))
    case .nanoGPTPaper:
      (isNano, batch) = (true, [64, 256])
      model = GPT(
        .nanoGPT, .init(vocabulary: 65, block: 256, layers: 6, heads: 6, width: 384),
        dropout: 0.2)
    case .gpt2, .gpt2Short, .gpt2Clip:
      (isNano, batch) = (false, [4, probe == .gpt2 ? 1024 : 64])
      model = GPT(.gpt2, .gpt2)
    case .gpt2Spectra:
      (isNano, batch) = (false, [8, 128])
      model = GPT(.gpt2, .gpt2)
    }
    let stream = RandomStream(seed: 1, name: "probe")
    model.initialize(stream.child("weights"))
    let rule: any GradientTransform
    var clipped: [String]?
    switch probe {
    case .nanoGPT, .nanoGPTPaper: rule = try NormClip(maximumNorm: 1, formula: .torch)
    case .nanoGPTSpectral, .gpt2Clip:
      let names = model.matrixNames
      let isWide = probe == .gpt2Clip
      clipped = names
      rule = try LayerwiseSpectralClip(
        .constant(isWide ? 1 : 0.01),
        .randomized(rank: isWide ? 64 : 3, oversampling: isWide ? 10 : 5, powerIterations: 2),
        layers: names, seed: 1)
    case .gpt2, .gpt2Short, .gpt2Spectra: rule = NoClip()
    }
    let optimizer: any Optimizer = probe == .gpt2Short ? Adam(isDecoupled: true) : SGD()
    update = try Update(rule, optimizer, of: model.parameters, clipping: clipped, pool: pool)
    guard probe != .gpt2Clip else {
      loss = nil
      return
    }
    let tokens = tape.indices(batch)
    let targets = tape.indices(isSpectral ? [batch[0]] : batch)
    loss =
      isSpectral ? model.nextLoss(tape, tokens, targets) : model.loss(tape, tokens, targets)
    let words = isNano ? 65 : 50_257
    for (index, part) in [tokens, targets].enumerated() {
      part.assign(
        (0..<part.count).map { Int32(stream.child("\(index)").integer(below: words, at: $0)) })
    }
  }

  /// Makes the gradients anew where they are not the step's own; not part of a step.
  public func prepare() {
    guard loss == nil else { return }
    for parameter in model.parameters where parameter.shape.count == 2 {
      RandomStream(seed: 1, name: parameter.name).fill(
        normal: UnsafeMutableBufferPointer(start: parameter.gradient.base, count: parameter.count))
    }
  }

  /// One step; the loss, or 0 where there is none.
  public func step() throws -> Double {
    guard let loss else {
      try update.clip()
      return 0
    }
    tape.step += 1
    tape.forward()
    tape.backward(from: loss)
    if isSpectral {
      _ = try matrixSpectra(model, tape.pool)
      return Double(loss.scalar)
    }
    try update.step(learningRate: 0.01)
    return Double(loss.scalar)
  }

  /// Seconds so far in the clip and in the optimizer.
  public var seconds: (clip: Double, optimizer: Double) { update.seconds }
}
