// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Clipping
import LinearAlgebra
import Storage

/// Which tensors of a file are taken as matrices.
enum TensorSelection: String, ExpressibleByArgument, CaseIterable {
  /// Real tensors with two axes.
  case matrices
  /// Real tensors with any axes: vectors are n×1, higher orders [d0, rest].
  case all

  static let help: ArgumentHelp = """
    matrices: real tensors with two axes; all: higher orders as [d0, rest] and vectors as n×1 too.
    """

  /// The chosen entries in the order of the file; says on standard error what had to be left out.
  ///
  /// Throws a `StorageError` where tensors were there and every one of them had to be left out.
  func entries(of file: TensorFile) throws -> [TensorEntry] {
    let fitting = file.entries.filter {
      self == .matrices ? $0.shape.count == 2 : !$0.shape.isEmpty
    }
    for entry in fitting where entry.type.reading == nil && entry.type.isReal {
      note("note: \(file.path): \(entry.name) is left alone, \(entry.type) cannot be computed with")
    }
    let real = fitting.filter { $0.type.reading == .double || $0.type.reading == .float }
    let chosen = real.filter { $0.obstacle == nil }
    if chosen.isEmpty, let entry = real.first, let obstacle = entry.obstacle {
      throw StorageError(
        "cannot read \(entry.name): \(obstacle)", at: file.path,
        hint: "store it another way, there is no other tensor to take")
    }
    for entry in real {
      if let obstacle = entry.obstacle {
        note("note: \(file.path): \(entry.name) is left alone, \(obstacle)")
      }
    }
    if chosen.isEmpty {
      let what = self == .matrices ? "matrices" : "real tensors with an axis"
      let others = counted(file.entries.count, "other tensor", "other tensors")
      note("note: \(file.path): no \(what), \(others)")
    }
    return chosen
  }
}

extension TensorType {
  /// Whether the name is that of a real type, known here or not.
  fileprivate var isReal: Bool { name.hasPrefix("F") || name.hasPrefix("BF") }
}

/// Runs `body` on the values of a tensor; failures of its matrix name file and tensor.
func withTensor<Result>(
  _ entry: TensorEntry, of file: TensorFile, _ body: (TensorValues) throws -> Result
) throws -> Result {
  let values = try file.values(entry.name)
  do {
    return try body(values)
  } catch LinearAlgebraError.notFinite(let value, let row, let column) {
    let (rows, columns) = SpectralClip.matrixShape(of: entry.shape)
    let view = entry.shape.count == 2 ? "" : " of its matrix \(rows)×\(columns)"
    throw StorageError(
      "the tensor \(entry.name) holds \(value) at row \(row), column \(column)\(view) (from 0)",
      at: file.path, hint: "singular values need finite entries, look at what wrote the tensor")
  } catch let error as LinearAlgebraError {
    throw StorageError(
      "the tensor \(entry.name) cannot be decomposed", at: file.path, hint: "\(error)")
  }
}

/// `values` as the matrix in which a tensor of `shape` is clipped.
func matrix<Scalar: RealScalar>(_ values: [Scalar], shape: [Int]) -> Matrix<Scalar> {
  let (rows, columns) = SpectralClip.matrixShape(of: shape)
  return Matrix(rows: rows, columns: columns, elements: values)
}
