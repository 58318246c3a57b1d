import ArgumentParser
import Autodiff
import Foundation
import LinearAlgebra
import Models
import Storage

/// `spectral grad`: loss and gradients of one of the suite's models on a batch.
struct Grad: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Loss and every gradient of a model on a batch.",
    discussion: """
      Prints {"loss": …} and writes the gradient of every parameter, under the parameter's name, \
      to a safetensors file in float32. Weights and batch are safetensors or HDF5 files.

      mlp: the paper's MLP 100-100-100-100-1 without biases; weights network.W_1.weight [100, 100] \
      … network.W_4.weight [1, 100]; batch tensors input [B, 100] and target [B, 1]; mean squared error.
      """)

  enum ModelName: String, ExpressibleByArgument, CaseIterable { case mlp }

  @Option(help: "Which model: mlp.")
  var model: ModelName
  @Option(help: "Its weights, under PyTorch's state-dict names.")
  var weights: String
  @Option(help: "The batch.")
  var batch: String
  @Option(help: "The file to write; missing folders are created.")
  var out: String
  @Option(help: "Threads; the result does not depend on them.")
  var threads = 1

  func validate() throws {
    if threads < 1 { throw ValidationError("--threads \(threads): use at least 1") }
  }

  func run() throws {
    switch model {
    case .mlp:
      let mlp = MLP(inputs: 100, hidden: [100, 100, 100], outputs: 1)
      try mlp.load(from: weights)
      let file = try TensorFile(batch)
      let input = try tensor("input", columns: 100, of: file)
      let target = try tensor("target", columns: 1, of: file)
      guard input.rows == target.rows else {
        throw StorageError(
          "input has \(input.rows) rows, target \(target.rows)", at: batch,
          hint: "give one target a sample")
      }
      for entry in file.entries where entry.name != "input" && entry.name != "target" {
        throw StorageError(
          "the tensor \(entry.name) is none of the model's", at: batch,
          hint: "a batch of mlp holds input [B, 100] and target [B, 1]")
      }
      let tape = Tape(pool: WorkerPool(threads: threads))
      let x = tape.input([input.rows, 100])
      let y = tape.input([input.rows, 1])
      x.assign(input.values)
      y.assign(target.values)
      let loss = tape.meanSquaredError(mlp(tape, x), y)
      tape.forward()
      guard loss.scalar.isFinite else {
        throw StorageError(
          "the loss of this batch is \(loss.scalar)", at: batch,
          hint: "look for nan, inf or huge values in batch and weights")
      }
      tape.backward(from: loss)
      try mlp.save(to: out, gradients: true)
      print("{\"loss\": \(loss.scalar)}")
    }
  }

  private func tensor(
    _ name: String, columns: Int, of file: TensorFile
  ) throws -> (rows: Int, values: [Float]) {
    let entry = try file.entry(name)
    guard entry.shape.count == 2, entry.shape[1] == columns, entry.shape[0] >= 1 else {
      throw StorageError(
        "the tensor \(name) has the shape \(entry.shape)", at: batch,
        hint: "the model takes [B, \(columns)] with B >= 1")
    }
    return (entry.shape[0], try file.floats(name))
  }
}
