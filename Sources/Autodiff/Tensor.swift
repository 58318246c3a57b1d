// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// A Float32 array on a tape, row-major, with the place of its gradient.
public final class Tensor: @unchecked Sendable {
  /// The extents, outermost first.
  public let shape: [Int]
  /// Its values.
  public let value: Buffer
  /// The gradient of the loss with respect to it; nil where nobody asks for one.
  public internal(set) var gradient: Buffer?
  /// Whether the loss is differentiated with respect to it.
  public let needsGradient: Bool

  init(shape: [Int], value: Buffer, needsGradient: Bool) {
    precondition(
      value.count == shape.reduce(1, *), "a tensor\(shape) on \(value.count) floats")
    self.shape = shape
    self.value = value
    self.needsGradient = needsGradient
  }

  /// Number of values.
  public var count: Int { value.count }
  /// Extent of the last axis.
  public var columns: Int { shape.last ?? 1 }
  /// Product of the other extents.
  public var rows: Int { columns == 0 ? 0 : count / columns }

  /// The values as a matrix [product of the leading extents, last extent].
  public var matrix: MutableMatrixView<Float> {
    MutableMatrixView(rows: rows, columns: columns, base: value.base)
  }

  /// The values as an array.
  public var array: [Float] { value.array }

  /// Replaces the values; their number must be the tensor's.
  public func assign(_ values: [Float]) {
    precondition(values.count == count, "\(values.count) values for a tensor\(shape)")
    value.assign(values)
  }

  /// The value of a tensor with one entry.
  public var scalar: Float {
    precondition(count == 1, "the scalar of a tensor\(shape)")
    return value.base[0]
  }
}

/// An array with a name (PyTorch's state-dict name), its values and, if it is trained, its gradient.
public final class Parameter: @unchecked Sendable {
  /// E.g. "network.W_1.weight".
  public let name: String
  /// The values, on every tape that uses them.
  public let tensor: Tensor
  /// The gradient as a matrix [shape[0], rest]; vectors are n×1.
  public let gradient: LayerGradient

  /// A parameter of zeros; one that is not trained keeps a gradient of zeros.
  public convenience init(_ name: String, shape: [Int], isTrained: Bool = true) {
    self.init(name, shape, Buffer(count: shape.reduce(1, *)), isTrained: isTrained)
  }

  /// The same values without a gradient, for tapes on which it is not trained.
  public var frozen: Parameter { Parameter(name, shape, tensor.value, isTrained: false) }

  private init(_ name: String, _ shape: [Int], _ value: Buffer, isTrained: Bool) {
    self.name = name
    tensor = Tensor(shape: shape, value: value, needsGradient: isTrained)
    gradient = LayerGradient(
      rows: shape.first ?? 1, columns: max(1, shape.dropFirst().reduce(1, *)))
    if isTrained {
      tensor.gradient = Buffer(borrowing: gradient.base, count: gradient.count, owner: gradient)
    }
  }

  /// The extents.
  public var shape: [Int] { tensor.shape }
  /// Number of values.
  public var count: Int { tensor.count }
  /// The first value.
  public var base: UnsafeMutablePointer<Float> { tensor.value.base }
  /// The values as the matrix in which the gradient is clipped.
  public var matrix: MutableMatrixView<Float> {
    MutableMatrixView(rows: gradient.rows, columns: gradient.columns, base: base)
  }
}

/// Whole numbers that an operation looks up: token ids, labels. They have no gradient.
public final class Indices: @unchecked Sendable {
  /// The extents, outermost first.
  public let shape: [Int]
  /// Number of values.
  public let count: Int
  /// The first value.
  public let base: UnsafeMutablePointer<Int32>

  init(shape: [Int]) {
    self.shape = shape
    count = shape.reduce(1, *)
    base = .allocate(capacity: max(1, count))
    base.initialize(repeating: 0, count: max(1, count))
  }

  deinit { base.deallocate() }

  /// Replaces the values; their number must be the tensor's.
  public func assign(_ values: some Collection<Int32>) {
    precondition(values.count == count, "\(values.count) values for indices\(shape)")
    for (i, value) in values.enumerated() { base[i] = value }
  }
}
