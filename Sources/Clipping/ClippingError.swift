// SPDX-License-Identifier: Apache-2.0

/// A clipping rule that cannot be carried out as written.
public enum ClippingError: Error, Equatable, CustomStringConvertible {
  /// A threshold that is negative or NaN.
  case invalidThreshold(Double)
  /// A parameter outside its range.
  case invalidParameter(name: String, value: Double, expected: String)
  /// A layer's name that is not among those known.
  case unknownLayer(String, known: [String])
  /// A layer's name given twice.
  case duplicateLayer(String)
  /// A rule with one state a layer met the gradients of other layers than it was made for.
  case differentLayers(rule: [String], gradients: [String])
  /// A rule on single samples met a gradient whose samples are summed already.
  case needsFactors(layer: String)
  /// A rule on single samples met layers with different numbers of them.
  case otherSamples(layer: String, held: Int, expected: Int)
  /// A sketch that was to start from the directions of a matrix of another size.
  case otherStart(held: Int, columns: Int, expected: Int)

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
        + "record it on a tape that keeps all factors, and leave out what is frozen"
    case .otherSamples(let layer, let held, let expected):
      return
        "the gradient of layer '\(layer)' tells \(held) samples apart, that of the first layer \(expected); this rule needs layers "
        + "that see each sample once"
    case .otherStart(let held, let columns, let expected):
      return
        "the saved start of a sketch has \(held) values in rows of \(columns), this gradient's rows have "
        + "\(expected); go on from a checkpoint of the same model and rank"
    case .unknownLayer(let name, let known):
      return "there is no layer '\(name)' here, only \(known.joined(separator: ", "))"
    case .duplicateLayer(let name):
      return "layer '\(name)' is named twice; name each layer once"
    case .differentLayers(let rule, let gradients):
      return
        "this rule was made for the layers \(rule.joined(separator: ", ")), but the gradients are those "
        + "of \(gradients.joined(separator: ", ")); give both the same names in the same order"
    }
  }
}

func require(_ name: String, _ value: Double, _ holds: Bool, _ expected: String) throws {
  guard holds else {
    throw ClippingError.invalidParameter(name: name, value: value, expected: expected)
  }
}
