// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra

/// What Algorithm 2 sketches a layer's gradient with at first.
public enum SketchStart: String, Codable, Sendable, CaseIterable {
  /// Normal vectors, anew at every step: the paper's.
  case normal
  /// The leading singular directions of the step before, and normal vectors beside them (the oversampling), by which
  /// new directions are found. Gradients of neighboring steps share most of theirs, so fewer power iterations do.
  case lastBasis
}

/// The leading singular directions on the shorter side of a layer's gradient that the last clip found, in Float; none at
/// first.
public struct WarmStart: Codable, Equatable, Sendable {
  private var columns = 0
  private var entries = Data()

  /// Nothing found yet.
  public init() {}

  init<Scalar>(_ directions: Matrix<Scalar>) {
    columns = directions.columns
    entries = directions.converted(to: Float.self).elements.withUnsafeBytes { Data($0) }
  }

  /// The directions, one a row, nil if there are none yet; at most `limit.rows` of `limit.columns` entries each.
  ///
  /// Throws `ClippingError.otherStart` for other ones.
  func directions<Scalar: RealScalar>(
    for limit: (rows: Int, columns: Int), of type: Scalar.Type
  ) throws -> Matrix<Scalar>? {
    guard !entries.isEmpty else { return nil }
    let values = entries.withUnsafeBytes { bytes in
      (0..<(bytes.count / 4)).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
    let (rows, rest) = values.count.quotientAndRemainder(dividingBy: limit.columns)
    guard columns == limit.columns, rest == 0, rows <= limit.rows, entries.count % 4 == 0,
      values.allSatisfy(\.isFinite)
    else {
      throw ClippingError.otherStart(
        held: values.count, columns: columns, expected: limit.columns)
    }
    return Matrix<Float>(rows: rows, columns: limit.columns, elements: values)
      .converted(to: Scalar.self)
  }
}
