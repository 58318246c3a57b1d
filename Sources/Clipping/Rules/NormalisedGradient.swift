import LinearAlgebra

/// The normalised gradient g/(‖g‖ + β), joint over all layers: with plain gradient descent and step
/// size η_n this is the NGD of Zhang et al. (arXiv 1905.11881), within a factor two of clipped GD.
public struct NormalisedGradient: GradientRule {
  /// β >= 0.
  public let offset: Double

  /// Throws `ClippingError.invalidParameter` for a negative offset.
  public init(offset: Double) throws {
    try require("offset", offset, offset >= 0, "a number >= 0")
    self.offset = offset
  }

  /// Scales all layers; a gradient of zero with β = 0 stays zero.
  public func apply(
    to layers: [Layer], workspace: FactoredSpectrum, pool: WorkerPool, report: inout RuleReport
  ) throws {
    let denominator = try jointNorm(of: layers, pool) + offset
    if denominator > 0 {
      for layer in layers { layer.gradient.entries.scale(by: Float(1 / denominator)) }
    }
    report.set(tau: 1, share: 1)
  }
}
