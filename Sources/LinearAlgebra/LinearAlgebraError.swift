// SPDX-License-Identifier: Apache-2.0

/// What can go wrong in a decomposition for reasons of the data, not of the program.
public enum LinearAlgebraError: Error, Equatable, CustomStringConvertible {
  /// An entry is NaN or infinite.
  case notFinite(value: Double, row: Int, column: Int)
  /// A LAPACK routine did not converge; `info` is its status.
  case notConverged(routine: String, info: Int, rows: Int, columns: Int)
  /// A LAPACK routine refused an argument (a bug here, or a broken library).
  case illegalArgument(routine: String, info: Int)

  /// One line: what, where, what to do.
  public var description: String {
    switch self {
    case .notFinite(let value, let row, let column):
      return "entry (\(row), \(column)) is \(value); a decomposition needs finite entries, "
        + "so look at the step that produced it (a loss that overflowed, a division by zero)"
    case .notConverged(let routine, let info, let rows, let columns):
      return "\(routine) did not converge on a matrix[\(rows), \(columns)] (info = \(info)); "
        + "scale the matrix or check it for extreme entries"
    case .illegalArgument(let routine, let info):
      return "\(routine) refused argument \(-info); check which LAPACK library is loaded "
        + "(`spectral info` prints it)"
    }
  }
}
