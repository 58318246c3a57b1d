// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Foundation
import LinearAlgebra

/// Turns gradients into changes of the parameters.
///
/// An optimizer is a value that holds its state; its buffers grow with the first step.
public protocol Optimizer: Codable, Sendable {
  /// Changes all parameters by one step of size `learningRate`, from their formed gradients; results do
  /// not depend on the threads of `pool`.
  mutating func step(_ parameters: [Parameter], learningRate: Double, pool: WorkerPool)
  /// What it remembers of single parameters; the rest of its state does not depend on which parameters it moves.
  var state: [StateBuffers] { get set }
  /// Whether a parameter's step depends on no other parameter, so that processes can share the parameters out.
  var isShareable: Bool { get }
  /// About how many multiplications a parameter[rows, columns] costs; shares out parameters, and changes no result.
  func cost(rows: Int, columns: Int) -> Double
}

extension Optimizer {
  /// Most optimizers take parameters one by one.
  public var isShareable: Bool { true }
  /// Most optimizers pass over five arrays.
  public func cost(rows: Int, columns: Int) -> Double {
    50 * Double(rows * columns)  // twenty bytes at 10 GB/s against 25 multiplications a nanosecond
  }

  /// Whether its state belongs to parameters of these sizes; a state that was read from a file may not.
  public func fits(_ parameters: [Parameter]) -> Bool { state.allSatisfy { $0.fits(parameters) } }

  /// One step on one thread.
  public mutating func step(_ parameters: [Parameter], learningRate: Double) {
    step(parameters, learningRate: learningRate, pool: .single)
  }

  /// The optimizer with its state, for a checkpoint.
  public func encoded() throws -> Data {
    let encoder = PropertyListEncoder()
    encoder.outputFormat = .binary
    return try encoder.encode(self)
  }

  /// Takes over what `encoded()` saved.
  public mutating func restore(_ data: Data) throws {
    self = try PropertyListDecoder().decode(Self.self, from: data)
  }
}

/// Values that one thread takes at a time.
let pieceSize = 1 << 16

/// One state value for each value of each parameter (momentum, second moments), zero at first.
public struct StateBuffers: Codable, Sendable {
  /// One array a parameter, in the optimizer's order; none before the first step.
  public private(set) var arrays: [[Float]] = []

  /// Whether nothing has been stored yet.
  public var isEmpty: Bool { arrays.isEmpty }

  /// Whether nothing has been stored yet, or what is stored has these parameters' sizes.
  func fits(_ parameters: [Parameter]) -> Bool {
    isEmpty || arrays.map(\.count) == parameters.map(\.count)
  }

  /// Lends the state of parameter `index`, after making room for all `parameters` the first time.
  mutating func with<R>(
    _ index: Int, of parameters: [Parameter], _ body: (UnsafeMutablePointer<Float>) -> R
  ) -> R {
    if arrays.isEmpty {
      arrays = parameters.map { [Float](repeating: 0, count: $0.count) }
    }
    precondition(arrays[index].count == parameters[index].count, "state of another model")
    return arrays[index].withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("an empty parameter") }
      return body(base)
    }
  }

  /// Nothing yet.
  public init() {}
  /// These values.
  public init(_ arrays: [[Float]]) { self.arrays = arrays }

  /// Decodes the arrays bit for bit.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    arrays = try container.decode([Data].self).map { data in
      data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
  }

  /// Encodes the arrays bit for bit.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(arrays.map { array in array.withUnsafeBytes { Data($0) } })
  }
}
