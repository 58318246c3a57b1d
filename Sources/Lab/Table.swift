// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// What a figure is drawn from: blocks of named columns, and variables.
///
/// gnuplot finds a block by its name (`index "[name]"`) and a column by its header (`column("name")`), so the
/// order of either means nothing. Text of a record reaches a script only as a cell or in single quotes.
package struct Table: Sendable {
  /// The cells of one column.
  package enum Column: Equatable, Sendable {
    case numbers([Double])
    case text([String])

    var count: Int {
      switch self {
      case .numbers(let values): values.count
      case .text(let values): values.count
      }
    }

    func cell(_ row: Int) -> String {
      switch self {
      case .numbers(let values): number(values[row])
      case .text(let values): Table.cell(values[row])
      }
    }
  }

  /// Columns of equal length under one name.
  package struct Block: Sendable {
    package let name: String
    package private(set) var columns: [(name: String, cells: Column)] = []

    /// A block without columns; white space in its name becomes "_".
    package init(_ name: String) { self.name = Table.word(name) }

    package var rows: Int { columns.first?.cells.count ?? 0 }

    /// The cells of the column `name`.
    package subscript(name: String) -> Column? { columns.first { $0.name == name }?.cells }

    /// The numbers of the column `name`, none if there is no such column or it holds text.
    package func numbers(_ name: String) -> [Double] {
      if case .numbers(let values)? = self[name] { values } else { [] }
    }

    /// The cells of the text column `name`, none if there is no such column.
    package func texts(_ name: String) -> [String] {
      if case .text(let values)? = self[name] { values } else { [] }
    }

    package mutating func add(_ name: String, _ values: [Double]) { add(name, .numbers(values)) }
    package mutating func add(_ name: String, text values: [String]) { add(name, .text(values)) }

    private mutating func add(_ name: String, _ cells: Column) {
      precondition(self[name] == nil, "block \(self.name) has two columns '\(name)'")
      precondition(name == Table.word(name) && !name.isEmpty, "'\(name)' is no column's name")
      precondition(
        columns.isEmpty || cells.count == rows,
        "column '\(name)' has \(cells.count) rows, block \(self.name) has \(rows)")
      columns.append((name, cells))
    }

    /// The same columns in another order: `order[i]` is the old place of the i-th.
    package func reordered(_ order: [Int]) -> Block {
      precondition(order.sorted() == Array(columns.indices), "not an order of the columns")
      var block = self
      block.columns = order.map { columns[$0] }
      return block
    }
  }

  /// A gnuplot variable.
  package enum Variable: Equatable, Sendable {
    case number(Double)
    case text(String)
    /// An array, from 1; `n_<name>` says how many there are.
    case numbers([Double])
    case texts([String])
  }

  /// In the order of the file; one without rows is left out of it.
  package var blocks: [Block] = []
  /// Beside the set's own (`variables(of:)`).
  package var variables: [(name: String, value: Variable)] = []

  package init() {}

  package subscript(block name: String) -> Block? { blocks.first { $0.name == name } }

  package mutating func add(_ block: Block) {
    precondition(self[block: block.name] == nil, "two blocks are called '\(block.name)'")
    blocks.append(block)
  }

  package mutating func set(_ name: String, _ value: Variable) { variables.append((name, value)) }

  /// Tab-separated: a comment with the block's name in brackets, a header, rows; two blank lines between blocks.
  package var text: String {
    blocks.filter { $0.rows > 0 }.map { block in
      let rows = (0..<block.rows).map { row in
        block.columns.map { $0.cells.cell(row) }.joined(separator: "\t")
      }
      return (["# [\(block.name)]", block.columns.map(\.name).joined(separator: "\t")] + rows)
        .joined(separator: "\n") + "\n"
    }.joined(separator: "\n\n")
  }

  /// gnuplot assignments: of every figure (stamp, profile, seeds, blocks), then the table's own.
  package func gnuplotVariables(of set: RecordSet) -> String {
    let seeds = set.seeds.map(String.init)
    return gnuplotVariables(
      stamp: set.stamp,
      [
        ("profile", .text(set.profile)), ("n_seeds", .number(Double(seeds.count))),
        ("seeds", .text(seeds.joined(separator: " "))),
      ])
  }

  /// The same for a table that is of no one set.
  package func gnuplotVariables(
    stamp: String, _ more: [(name: String, value: Variable)] = []
  ) -> String {
    let names = blocks.filter { $0.rows > 0 }.map { "[\($0.name)]" }.joined(separator: " ")
    return ([("stamp", .text(stamp))] + more + [("blocks", .text(names))] + variables).map {
      Self.assignment($0.name, $0.value)
    }.joined()
  }

  private static func assignment(_ name: String, _ value: Variable) -> String {
    func array(_ elements: [String]) -> String {
      "n_\(name) = \(elements.count)\n"
        + (elements.isEmpty
          ? "" : "array \(name)[\(elements.count)] = [\(elements.joined(separator: ", "))]\n")
    }
    switch value {
    case .number(let value): return "\(name) = \(number(value))\n"
    case .text(let text): return "\(name) = \(quoted(text))\n"
    case .numbers(let values): return array(values.map(number))
    case .texts(let texts): return array(texts.map(quoted))
    }
  }

  // MARK: - Escapes

  /// In gnuplot's single quotes, where nothing is run or expanded; a quote is doubled.
  static func quoted(_ text: String) -> String {
    "'" + oneLine(text).replacingOccurrences(of: "'", with: "''") + "'"
  }

  /// A cell of text: one line without tabs; not a quoted string, a comment or a missing value to gnuplot.
  static func cell(_ text: String) -> String {
    let line = oneLine(text).replacingOccurrences(of: "\"", with: "”")
    return line.isEmpty ? "-" : line.hasPrefix("#") || line == "NaN" ? " " + line : line
  }

  /// `text` without white space, for names.
  static func word(_ text: String) -> String {
    String(text.map { $0.isWhitespace || $0.unicodeScalars.contains { $0.value < 32 } ? "_" : $0 })
  }
}

/// A number as gnuplot reads it: shortest exact digits, NaN for what it cannot draw.
package func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "NaN" }
