// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// Columns of text, as wide as their longest cell and two spaces apart.
struct TextTable {
  /// How the cells of a column are set.
  enum Alignment {
    case left
    case right
  }

  private let alignments: [Alignment]
  private var rows: [[String]]

  /// A table with a row of titles.
  init(_ columns: [(title: String, alignment: Alignment)]) {
    alignments = columns.map(\.alignment)
    rows = [columns.map(\.title)]
  }

  /// A table without titles.
  init(_ alignments: Alignment...) {
    self.alignments = alignments
    rows = []
  }

  mutating func add(_ cells: String...) {
    precondition(
      cells.count == alignments.count, "\(cells.count) cells for \(alignments.count) columns")
    rows.append(cells.map { oneLine($0) })
  }

  /// The lines from the top, without white space at their ends.
  var lines: [String] {
    let widths = alignments.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { cells in
      var line = cells.indices.map { column in
        let space = String(repeating: " ", count: widths[column] - cells[column].count)
        return alignments[column] == .left ? cells[column] + space : space + cells[column]
      }.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}

// MARK: - Cells

/// A real with six significant digits.
func short(_ value: Double) -> String { String(format: "%.6g", value) }

/// `768×3072`, or `scalar`.
func shapeText(_ shape: [Int]) -> String {
  shape.isEmpty ? "scalar" : shape.map(String.init).joined(separator: "×")
}

/// `1 matrix`, `2 matrices`.
func counted(_ count: Int, _ singular: String, _ plural: String) -> String {
  "\(count) \(count == 1 ? singular : plural)"
}

/// One line of at most `limit` characters; says how long a longer text is.
func abbreviated(_ text: String, limit: Int = 72) -> String {
  let line = text.split(whereSeparator: \.isNewline).joined(separator: " | ")
  if line.count <= limit { return line }
  return "\(line.prefix(limit)) … (\(text.count) characters)"
}
