// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

extension GPT {
  /// What its weights do not say by their shapes, as Hugging Face's config.json has it.
  public var configuration: ModelConfiguration {
    func number(_ value: Int) -> JSON { .number("\(value)") }
    let dropout = JSON.number("\(dropout)")
    return ModelConfiguration(
      (form == .gpt2 ? [("architectures", .array([.string("GPT2LMHeadModel")]))] : [])
        + [
          ("model_type", .string(form.rawValue)), ("vocab_size", number(shape.vocabulary)),
          ("n_positions", number(shape.block)), ("n_embd", number(shape.width)),
          ("n_layer", number(shape.layers)), ("n_head", number(shape.heads)),
          ("activation_function", .string(form == .gpt2 ? "gelu_new" : "gelu")),
          ("layer_norm_epsilon", .number("1e-5")), ("attn_pdrop", dropout),
          ("embd_pdrop", dropout), ("resid_pdrop", dropout),
          ("tie_word_embeddings", .bool(head == .tied)),
        ])
  }

  /// Takes off what torch.compile and Hugging Face's language-model class put before the names.
  public func parameterName(of fileName: String) -> String {
    var name = Substring(fileName)
    if name.hasPrefix("_orig_mod.") { name = name.dropFirst(10) }
    if form == .gpt2 && name.hasPrefix("transformer.") { name = name.dropFirst(12) }
    return String(name)
  }

  /// The model whose weights the safetensors or HDF5 file at `path` holds: sizes are read from the shapes, heads, unless given,
  /// from its configuration (`ModelConfiguration`). Where nothing says them a `gpt2` has 64 channels a head, and `note` is told
  /// so; a `nanoGPT` is refused. A file under the names of Karpathy's code is read as `karpathy` where a `nanoGPT` is asked for.
  ///
  /// A head in the file is one of its own unless it equals the token embedding, or stands for it where that is missing (of
  /// two names for one matrix some writers keep only the head's).
  ///
  /// Throws a `StorageError` for a file that cannot be read or is of another model.
  public init(
    loading path: String, form asked: Form, heads: Int? = nil,
    note: (String) -> Void = { _ in }
  ) throws {
    let file = try TensorFile(path)
    func empty(_ form: Form) -> GPT {
      GPT(form, Shape(vocabulary: 1, block: 1, layers: 0, heads: 1, width: 1))
    }
    let fused = empty(.karpathy)
    let isFused =
      asked == .nanoGPT
      && file.entries.contains { fused.parameterName(of: $0.name) == fused.embeddingNames[1] }
    let form = isFused ? .karpathy : asked
    let probe = empty(form)
    let entries = Dictionary(
      file.entries.map { (probe.parameterName(of: $0.name), $0) }, uniquingKeysWith: { a, _ in a })
    func shape(_ name: String) throws -> [Int] {
      guard let entry = entries[name], entry.shape.count == 2 else {
        throw StorageError(
          "no matrix \(name)", at: path, hint: "is it a file of a \(form.rawValue)?")
      }
      return entry.shape
    }
    let embedding = probe.embeddingNames[0]
    let isNamedByHead = entries[embedding] == nil && entries["lm_head.weight"] != nil
    let token = try shape(isNamedByHead ? "lm_head.weight" : embedding)
    let position = try shape(probe.embeddingNames[1])
    let width = token[1]
    guard !token.contains(0), position[0] > 0, position[1] == width else {
      throw StorageError(
        "embeddings of the shapes \(token) and \(position)", at: path,
        hint: "is it a whole file of a \(form.rawValue)?")
    }
    let prefix = form == .gpt2 ? "h." : "transformer.h."
    var layers = 0
    while entries["\(prefix)\(layers).ln_1.weight"] != nil { layers += 1 }
    let configuration = heads == nil ? try ModelConfiguration(of: file) : nil
    try configuration?.check("n_embd", "hidden_size", is: width)
    try configuration?.check("n_layer", "num_hidden_layers", is: layers)
    let gelus = ModelConfiguration.gelus
    try configuration?.check("activation_function", says: form == .gpt2 ? gelus.tanh : gelus.erf)
    try configuration?.check("layer_norm_epsilon", number: 1e-5)
    try configuration?.check("scale_attn_weights", flag: true)
    try configuration?.check("scale_attn_by_inverse_layer_idx", flag: false)
    let heads = try resolvedHeads(
      heads, width: width, configuration, convention: form == .gpt2 ? 64 : nil, at: path,
      note: note)
    var head = Head.tied
    if !isNamedByHead, let own = entries["lm_head.weight"] {
      let isTied =
        try entries["lm_head.bias"] == nil
        && file.floats(own.name) == file.floats(entries[embedding]?.name ?? "")
      if !isTied { head = entries["lm_head.bias"] == nil ? .untied : .untiedWithBias }
    }
    self.init(
      form,
      Shape(
        vocabulary: token[0], block: position[0], layers: layers, heads: heads,
        width: width), head: head,
      biased: form != .karpathy || layers == 0 || entries["\(prefix)0.ln_1.bias"] != nil)
    try load(from: path, calling: isNamedByHead ? ["lm_head.weight": embedding] : [:])
  }
}
