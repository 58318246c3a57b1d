// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// A curve of the authors', read off their plots: a file of figures/reference, one named column an arm.
package struct ReferenceCurve {
  private let columns: [String: [Double]]
  private let file: String

  /// Reads a file of comment lines (#), a line of column names and lines of numbers, all separated by commas.
  ///
  /// Throws a `StorageError` for a file that is not there or not of that form.
  package init(_ name: String, in paths: Paths = Paths()) throws {
    let file = paths.reference(name)
    self.file = file
    func refusal(_ what: String) -> StorageError {
      StorageError(what, at: file, hint: "take it from the repository again")
    }
    guard let text = FileBytes.text(file) else {
      throw refusal("cannot be read")
    }
    let lines = text.split(whereSeparator: \.isNewline).filter { !$0.hasPrefix("#") }
      .map { $0.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) } }
    guard let names = lines.first, lines.allSatisfy({ $0.count == names.count }) else {
      throw refusal("is not a table")
    }
    var columns = [String: [Double]]()
    for (index, name) in names.enumerated() {
      columns[name] = try lines.dropFirst().map { line in
        guard let value = Double(line[index]) else {
          throw refusal("holds '\(line[index])', which is not a number")
        }
        return value
      }
    }
    self.columns = columns
  }

  /// The column of that name.
  package func column(_ name: String) throws -> [Double] {
    guard let column = columns[name] else {
      throw StorageError(
        "has no column '\(name)'", at: file, hint: "take it from the repository again")
    }
    return column
  }
}
