// SPDX-License-Identifier: Apache-2.0

import Foundation
import LinearAlgebra
import Storage

extension GPT {
  /// The language model of GPT2-BASIC (github.com/tsotchke/gpt2-basic): `GPT2CFG.TXT` and `GPT2WT.BIN` in
  /// `folder`.
  ///
  /// A pre-norm decoder with erf GELU and a head of its own, so it is a `nanoGPT` with `untiedWithBias`. The
  /// weights are little-endian Float32 without a header: token and position embeddings; of each of ln1, q, k, v,
  /// proj, ln2, fc1, fc2 all layers' weights, then all layers' biases; the final norm; the head. Matrices are
  /// stored [in, out] and turned round here. Throws a `StorageError` for a file that is missing or whose size
  /// is not that of the model the configuration describes.
  public init(gpt2Basic folder: String) throws {
    let sizes = try Self.basicSizes("\(folder)/GPT2CFG.TXT")
    let shape = Shape(
      vocabulary: sizes["vocab_size"] ?? 0, block: sizes["n_positions"] ?? 0,
      layers: sizes["n_layer"] ?? 0, heads: sizes["n_head"] ?? 0, width: sizes["n_embd"] ?? 0)
    let path = "\(folder)/GPT2WT.BIN"
    let data = try FileBytes.read(path)
    // Before anything is built: in Double, where sizes of any file are exact and none overflows.
    let (v, p, l, c) = (
      Double(shape.vocabulary), Double(shape.block), Double(shape.layers), Double(shape.width)
    )
    let bytes = 4 * (2 * v * c + v + p * c + l * (12 * c * c + 13 * c) + 2 * c)
    guard Double(data.count) == bytes else {
      throw StorageError(
        String(format: "%d bytes, where the model of GPT2CFG.TXT has %.0f", data.count, bytes),
        at: path, hint: "get both files anew")
    }
    self.init(.nanoGPT, shape, head: .untiedWithBias)
    precondition(data.count == 4 * parameterCount, "a model of \(parameterCount) values")
    var rest = data.withUnsafeBytes { bytes in
      (0..<parameterCount).map {
        Float(
          bitPattern: UInt32(
            littleEndian: bytes.loadUnaligned(
              fromByteOffset: 4 * $0, as: UInt32.self)))
      }
    }[...]
    let byName = Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0) })
    func read(_ name: String) {
      guard let parameter = byName[name] else { preconditionFailure("no parameter \(name)") }
      let values = Array(rest.prefix(parameter.count))
      rest = rest.dropFirst(parameter.count)
      let isEmbedding = embeddingNames.contains(name)
      guard parameter.shape.count == 2, !isEmbedding else { return parameter.tensor.assign(values) }
      let stored = Matrix(rows: parameter.shape[1], columns: parameter.shape[0], elements: values)
      parameter.tensor.assign(stored.transposed.elements)
    }
    for name in embeddingNames { read(name) }
    for part in [
      "ln_1", "attn.to_q", "attn.to_k", "attn.to_v", "attn.c_proj", "ln_2", "mlp.c_fc",
      "mlp.c_proj",
    ] {
      for kind in ["weight", "bias"] {
        for layer in 0..<shape.layers { read("transformer.h.\(layer).\(part).\(kind)") }
      }
    }
    for name in ["transformer.ln_f", "lm_head"] {
      for kind in ["weight", "bias"] { read("\(name).\(kind)") }
    }
  }

  /// The lines "name=number" of the configuration.
  private static func basicSizes(_ path: String) throws -> [String: Int] {
    let text = String(decoding: try FileBytes.read(path), as: UTF8.self)
    var sizes: [String: Int] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let parts = line.split(separator: "=")
      if parts.count == 2, let value = Int(parts[1]) { sizes[String(parts[0])] = value }
    }
    for name in ["vocab_size", "n_positions", "n_layer", "n_head", "n_embd"] {
      guard let value = sizes[name], value >= 1 else {
        throw StorageError("no \(name) above 0", at: path, hint: "get the file anew")
      }
    }
    guard let width = sizes["n_embd"], let heads = sizes["n_head"], width % heads == 0,
      sizes["hidden_dim"].map(Double.init) == 4 * Double(width)  // no overflow
    else {
      throw StorageError(
        "hidden_dim must be 4 n_embd, and n_head divide n_embd", at: path, hint: "get the file anew"
      )
    }
    return sizes
  }
}
