// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A number with its interval and its bound as a small drawing: the side on which the claim holds is shaded.
enum ForestPlot {
  private static let (width, height) = (150.0, 22.0)

  /// The drawing; nil where there is no number.
  static func html(_ finding: Finding) -> HTML? {
    guard finding.estimate.isFinite else { return nil }
    let bounds = finding.bound.numbers
    let ends = [finding.low, finding.high].filter(\.isFinite)
    let values = bounds + ends + [finding.estimate]
    // Ratios and other positive numbers lie on a logarithmic scale.
    let isLogarithmic = values.allSatisfy { $0 > 0 }
    func scale(_ x: Double) -> Double { isLogarithmic ? log(x) : x }
    let (first, last) = (
      values.map(scale).min() ?? 0, values.map(scale).max() ?? 1
    )
    let margin = last > first ? 0.15 * (last - first) : 1
    func x(_ value: Double) -> Double {
      guard value.isFinite else { return value > 0 ? width : 0 }
      if isLogarithmic && value <= 0 { return 0 }
      return width * (scale(value) - first + margin) / (last - first + 2 * margin)
    }
    func number(_ value: Double) -> String { String(format: "%.1f", value) }
    func rectangle(_ from: Double, _ to: Double) -> String {
      "<rect class=\"holds\" x=\"\(number(from))\" y=\"0\" width=\"\(number(max(0, to - from)))\" height=\"22\"/>"
    }
    var drawing =
      switch finding.bound {
      case .above(let a): rectangle(x(a), width)
      case .below(let a), .notAbove(let a): rectangle(0, x(a))
      case .within(let a, let b): rectangle(x(a), x(b))
      }
    for bound in bounds {
      drawing +=
        "<line class=\"bound\" x1=\"\(number(x(bound)))\" x2=\"\(number(x(bound)))\" y1=\"0\" y2=\"22\"/>"
    }
    if !finding.low.isNaN, !finding.high.isNaN {
      drawing +=
        "<line class=\"interval\" x1=\"\(number(x(finding.low)))\" x2=\"\(number(x(finding.high)))\" y1=\"11\" y2=\"11\"/>"
    }
    drawing +=
      "<circle class=\"estimate\" cx=\"\(number(x(finding.estimate)))\" cy=\"11\" r=\"4\"/>"
    let words = HTML.text(
      "\(finding.effect), \(finding.bound.words)\(isLogarithmic ? ", logarithmic scale" : "")")
    return HTML(
      trusted:
        "<svg class=\"forest\" role=\"img\" aria-label=\"\(words.markup)\" width=\"150\" height=\"22\" viewBox=\"0 0 150 22\">"
        + "\(drawing)</svg>")
  }
}
