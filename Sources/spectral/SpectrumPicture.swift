// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// Singular values over their index as an SVG: a curve a tensor, the largest seven, named at their beginning.
struct SpectrumPicture {
  /// Curves in one picture.
  static let limit = 7

  /// The picture.
  let text: String
  /// Spectra that found no place on it.
  let left: Int

  private static let size = (width: 760.0, height: 460.0)
  /// The plot's box.
  private static let box = (left: 70.0, right: 530.0, top: 44.0, bottom: 404.0)
  /// Okabe and Ito's colors, told apart by most color-blind readers; each with dashes of its own for print.
  private static let styles = [
    ("#0072B2", "none"), ("#D55E00", "8 3"), ("#009E73", "2 3"), ("#CC79A7", "10 3 2 3"),
    ("#000000", "5 2"), ("#E69F00", "12 4"), ("#56B4E9", "4 4"),
  ]

  /// Throws a `StorageError` where no tensor has a singular value above 0; `path` is the file for its message.
  init(title: String, _ spectra: [MatrixSpectrum], at path: String) throws {
    let all = spectra.map {
      (name: $0.entry.name, values: $0.values.filter { $0 > 0 && $0.isFinite })
    }
    .filter { !$0.values.isEmpty }
    let drawn = all.enumerated().sorted {
      ($1.element.values[0], $0.offset) < ($0.element.values[0], $1.offset)
    }.prefix(Self.limit).map(\.element)
    left = all.count - drawn.count
    // What is below rounding of the largest one would stretch the axis for nothing.
    guard let top = drawn.first?.values[0],
      let count = drawn.map(\.values.count).max(),
      let least = drawn.flatMap({ curve in curve.values.filter { $0 >= 1e-9 * top } }).min()
    else {
      throw StorageError(
        "no matrix with a singular value above 0, so there is nothing to draw", at: path,
        hint: "list the tensors with spectral info, or use --tensors all")
    }
    let low = floor(log10(least)), high = max(ceil(log10(top)), low + 1)
    let box = Self.box
    func x(_ index: Int) -> Double {
      box.left + (box.right - box.left) * (count == 1 ? 0.5 : Double(index) / Double(count - 1))
    }
    func y(_ value: Double) -> Double {
      box.bottom - (box.bottom - box.top) * (log10(value) - low) / (high - low)
    }
    var lines = [
      #"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \#(Int(Self.size.width)) \#(Int(Self.size.height))" role="img" font-family="sans-serif" font-size="13">"#,
      "<title>Singular values of \(escaped(title))</title>",
      #"<rect width="100%" height="100%" fill="white"/>"#,
      Self.label(title, at: (box.left, 26), size: 15),
      #"<path d="M\#(box.left) \#(box.top)V\#(box.bottom)H\#(box.right)" fill="none" stroke="black"/>"#,
    ]
    // At most eight labels; all powers of ten between have a tick.
    let every = max(1, Int(((high - low) / 8).rounded(.up)))
    for power in Int(low)...Int(high) {
      let place = y(pow(10, Double(power)))
      lines.append(
        #"<path d="M\#(box.left) \#(fixed(place))h-5" stroke="black"/>"#)
      if (power - Int(low)) % every == 0 {
        lines.append(Self.label("1e\(power)", at: (box.left - 8, place + 4), anchor: "end"))
      }
    }
    let step = max(1, Int(pow(10, floor(log10(Double(count))))) / (count > 20 ? 2 : 10))
    var ticks = [1] + Array(stride(from: step, through: count, by: max(step, count / 6)))
    ticks = Array(Set(ticks)).sorted()
    for tick in ticks {
      lines.append(
        #"<path d="M\#(fixed(x(tick - 1))) \#(box.bottom)v5" stroke="black"/>"#)
      lines.append(
        Self.label("\(tick)", at: (x(tick - 1), box.bottom + 19), anchor: "middle"))
    }
    lines.append(
      Self.label(
        "index i of the singular value, largest first", at: ((box.left + box.right) / 2, 440),
        anchor: "middle"))
    lines.append(
      #"<text transform="translate(18 \#((box.top + box.bottom) / 2)) rotate(-90)" text-anchor="middle">singular value σᵢ</text>"#
    )
    for (number, curve) in drawn.enumerated() {
      let (color, dashes) = Self.styles[number]
      let points = curve.values.enumerated().filter { $0.element >= pow(10, low) }
        .map { "\(fixed(x($0.offset))),\(fixed(y($0.element)))" }
      lines.append(
        #"<polyline points="\#(points.joined(separator: " "))" fill="none" stroke="\#(color)" stroke-width="2" stroke-dasharray="\#(dashes)"/>"#
      )
      if points.count == 1, let point = points.first {
        let place = point.split(separator: ",")
        lines.append(#"<circle cx="\#(place[0])" cy="\#(place[1])" r="4" fill="\#(color)"/>"#)
      }
      let line = box.top + 8 + 22 * Double(number)
      lines.append(
        #"<path d="M546 \#(line)h28" stroke="\#(color)" stroke-width="2" stroke-dasharray="\#(dashes)"/>"#
      )
      lines.append(Self.label(abbreviated(curve.name, limit: 24), at: (580, line + 4)))
    }
    if left > 0 {
      lines.append(
        Self.label(
          "and \(left) more, not drawn", at: (580, box.top + 12 + 22 * Double(drawn.count))))
    }
    text = (lines + ["</svg>", ""]).joined(separator: "\n")
  }

  private static func label(
    _ text: String, at place: (Double, Double), anchor: String = "start", size: Int = 13
  ) -> String {
    #"<text x="\#(fixed(place.0))" y="\#(fixed(place.1))" text-anchor="\#(anchor)" font-size="\#(size)">\#(escaped(text))</text>"#
  }
}

/// A coordinate.
private func fixed(_ value: Double) -> String { String(format: "%.2f", value) }

/// `text` as XML holds it; control characters, which it cannot hold, are left out.
private func escaped(_ text: String) -> String {
  String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 }))
    .replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
    .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
}
