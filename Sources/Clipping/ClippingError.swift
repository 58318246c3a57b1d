/// A clipping rule that cannot be carried out as written.
public enum ClippingError: Error, Equatable, CustomStringConvertible {
  /// A threshold that is negative or NaN.
  case invalidThreshold(Double)
  /// A parameter outside its range.
  case invalidParameter(name: String, value: Double, expected: String)
  /// A layer that the clipper was not made for.
  case unknownLayer(String, known: [String])
  /// A rule on single samples met a gradient whose samples are summed already.
  case needsFactors(layer: String)

  /// One line: what, where, what to do.
  public var description: String {
    switch self {
    case .invalidThreshold(let tau):
      return "tau = \(tau): a clipping threshold is a number >= 0 (inf switches clipping off)"
    case .invalidParameter(let name, let value, let expected):
      return "\(name) = \(value): expected \(expected)"
    case .needsFactors(let layer):
      return
        "the gradient of layer '\(layer)' is not kept sample by sample, which this rule needs; "
        + "record it on a tape that keeps all factors"
    case .unknownLayer(let name, let known):
      return
        "no clipping state for layer '\(name)'; this clipper holds \(known.joined(separator: ", "))"
    }
  }
}
