// SPDX-License-Identifier: Apache-2.0

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

      nanogpt, gpt2: sizes are read from the weights (the authors' nanoGPT names or Karpathy's, or Hugging Face's GPT-2 \
      names with or without "transformer."), heads from their metadata or the config.json beside them; batch tensors input and target [B, T] of token ids (I32 or \
      I64); mean cross-entropy over all positions, no dropout.

      lstm: sizes are read from the weights (encoder.weight, rnns.N.weight_ih_l0 …, decoder.bias; the decoder is the \
      embedding once more); batch tensors input and target [T, B] of token ids (I32 or I64); mean cross-entropy over all \
      T·B places, from a state of zeros.

      cifarnet, resnet18, resnet20: in training mode (batch norms use the batch's statistics); widths are read from the \
      weights (the authors' CifarNet names, or torchvision's ResNet-18 names, ResNet-20 likewise with shortcuts without parameters); batch tensors input [B, 3, H, W] \
      of normalised images and target [B] of labels (I32 or I64). cifarnet: H and W 25 to 48, \
      cross-entropy with labels smoothed by 0.2, summed; resnet18 and resnet20: mean cross-entropy.

      alexnet: widths are read from the weights (features.0.weight … classifier.6.bias); batch as of resnet18, H and W 31 to \
      46; mean cross-entropy, no dropout.

      vae: the variational autoencoder of arXiv 2404.08624 (names Encoder.FC_layer_1.weight … \
      Decoder.FC_output.bias; widths are read from the weights, the paper's are 784-50-50-50); batch tensors input [B, 784] \
      in [0, 1] and noise [B, 50]; squared errors and divergence, summed over the batch.

      vit: a vision transformer under timm's names (cls_token, pos_embed, patch_embed.proj, blocks.N…, norm, head); sizes are read \
      from the weights; batch tensors input [B, 3, H, W], sides of whole patches, and target [B] (I32 or I64); mean cross-entropy. \
      Where the images have another grid than pos_embed, that is interpolated (--positions).

      bert: BertForSequenceClassification under Hugging Face's names (those under `bert.` with or without it); sizes are read from the \
      weights; batch tensors input_ids and attention_mask [B, T] and labels [B] (I32 or I64); mean cross-entropy, no dropout.
      """)

  enum ModelName: String, ExpressibleByArgument, CaseIterable {
    case mlp, nanogpt, gpt2, lstm, cifarnet, resnet18, resnet20, alexnet, vae, vit, bert
  }

  @Option(
    help:
      "Which model: mlp, nanogpt, gpt2, lstm, cifarnet, resnet18, resnet20, alexnet, vae, vit or bert."
  )
  var model: ModelName
  @Option(
    help: """
      Attention heads of nanogpt, gpt2, vit and bert (default: what the metadata of the weights or the config.json beside them \
      say; gpt2 without either: width / 64).
      """)
  var heads: Int?
  @Option(
    help:
      "How the positions of vit serve another grid: bicubic (to its size), or authors-code (the scale of arXiv 2404.08624's code)."
  )
  var positions = PositionGrid.bicubic
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
    if let heads, heads < 1 { throw ValidationError("--heads \(heads): use at least 1") }
  }

  func run() throws {
    try AtomicFile.checkPlace(out)
    switch model {
    case .mlp: try runMLP()
    case .nanogpt: try runGPT(.nanoGPT)
    case .gpt2: try runGPT(.gpt2)
    case .lstm: try runLSTM()
    case .cifarnet:
      let model = try CifarNet(loading: weights)
      try runImages(model, model.channels) { model.loss($0, model.logits($0, $1), $2) }
    case .resnet18, .resnet20:
      let model = try ResNet(loading: weights, depth: model == .resnet18 ? .eighteen : .twenty)
      try runImages(model, model.channels) { model.loss($0, model.logits($0, $1), $2) }
    case .alexnet:
      let model = try AlexNet(loading: weights)
      try runImages(model, model.channels) { model.loss($0, model.logits($0, $1, dropout: 0), $2) }
    case .vae: try runVAE()
    case .bert: try runBERT()
    case .vit:
      let model = try ViT(loading: weights, heads: heads, positions: positions)
      try runImages(model, model.shape.channels) { model.loss($0, model.logits($0, $1), $2) }
    }
  }

  private func runBERT() throws {
    let bert = try BERT.load(weights, heads: heads).model
    let file = try TensorFile(batch)
    let shapes = try ["input_ids", "attention_mask"].map { try file.entry($0).shape }
    let labelShape = try file.entry("labels").shape
    guard shapes[0].count == 2, shapes[0] == shapes[1], !shapes[0].contains(0),
      labelShape == [shapes[0][0]]
    else {
      throw StorageError(
        "input_ids has the shape \(shapes[0]), attention_mask \(shapes[1]), labels \(labelShape)",
        at: batch, hint: "the model takes token ids and mask [B, T] and labels [B]")
    }
    let length = shapes[0][1]
    guard length <= bert.shape.positions else {
      throw StorageError(
        "sequences of \(length) tokens", at: batch,
        hint: "this model's positions end at \(bert.shape.positions)")
    }
    try checkNames(
      of: file, "a batch of bert holds input_ids and attention_mask [B, T] and labels [B]",
      known: ["input_ids", "attention_mask", "labels"])
    let (ids, mask, labels) = try (
      file.ints("input_ids"), file.ints("attention_mask"), file.ints("labels")
    )
    if let place = ids.firstIndex(where: { $0 < 0 || $0 >= bert.shape.vocabulary }) {
      throw StorageError(
        "input_ids[\(place / length), \(place % length)] is the token id \(ids[place])", at: batch,
        hint: "the model's vocabulary is 0 ..< \(bert.shape.vocabulary)")
    }
    if let place = mask.firstIndex(where: { $0 != 0 && $0 != 1 }) {
      throw StorageError(
        "attention_mask[\(place / length), \(place % length)] is \(mask[place])", at: batch,
        hint: "the mask is 1 for tokens and 0 for padding")
    }
    if let row = labels.indices.first(where: { row in
      !mask[(row * length)..<((row + 1) * length)].contains(1)
    }) {
      throw StorageError(
        "the mask of sequence \(row) hides every token", at: batch,
        hint: "a sequence needs a token")
    }
    if let place = labels.firstIndex(where: { $0 < 0 || $0 >= bert.shape.labels }) {
      throw StorageError(
        "labels[\(place)] is the label \(labels[place])", at: batch,
        hint: "the model's labels are 0 ..< \(bert.shape.labels)")
    }
    let tape = Tape(pool: WorkerPool(threads: threads))
    let tensors = [(shapes[0], ids), (shapes[0], mask), (labelShape, labels)].map {
      shape, values in
      let indices = tape.indices(shape)
      indices.assign(values.map { Int32($0) })
      return indices
    }
    let logits = bert.logits(tape, tensors[0], mask: tensors[1])
    try differentiate(bert, tape, bert.loss(tape, logits, tensors[2]))
  }

  private func runVAE() throws {
    let vae = try VAE(loading: weights)
    let file = try TensorFile(batch)
    let input = try tensor("input", columns: vae.inputs, of: file)
    let noise = try tensor("noise", columns: vae.latent, of: file)
    guard input.rows == noise.rows else {
      throw StorageError(
        "input has \(input.rows) rows, noise \(noise.rows)", at: batch,
        hint: "give one row of noise a sample")
    }
    try checkNames(
      of: file, "a batch of vae holds input [B, \(vae.inputs)] and noise [B, \(vae.latent)]",
      known: ["input", "noise"])
    if let place = input.values.firstIndex(where: { !($0 >= 0 && $0 <= 1) }) {
      throw StorageError(
        "input[\(place / vae.inputs), \(place % vae.inputs)] is \(input.values[place])", at: batch,
        hint: "the model takes intensities in [0, 1]")
    }
    let tape = Tape(pool: WorkerPool(threads: threads))
    let x = tape.input([input.rows, vae.inputs])
    let draws = tape.input([noise.rows, vae.latent])
    x.assign(input.values)
    draws.assign(noise.values)
    try differentiate(vae, tape, vae.loss(tape, x, noise: draws))
  }

  private func runMLP() throws {
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
    try checkNames(of: file, "a batch of mlp holds input [B, 100] and target [B, 1]")
    let tape = Tape(pool: WorkerPool(threads: threads))
    let x = tape.input([input.rows, 100])
    let y = tape.input([input.rows, 1])
    x.assign(input.values)
    y.assign(target.values)
    try differentiate(mlp, tape, tape.meanSquaredError(mlp(tape, x), y))
  }

  private func runGPT(_ form: GPT.Form) throws {
    let gpt = try GPT(
      loading: weights, form: form, heads: heads, note: { note("note: \($0)") })
    let tape = Tape(pool: WorkerPool(threads: threads))
    let tokens = try tokens("[B, T]", vocabulary: gpt.shape.vocabulary, on: tape) { shape in
      guard shape[1] <= gpt.shape.block else {
        throw StorageError(
          "sequences of \(shape[1]) tokens", at: batch,
          hint: "this model's positions end at \(gpt.shape.block)")
      }
    }
    try differentiate(gpt, tape, gpt.loss(tape, tokens[0], tokens[1]))
  }

  private func runLSTM() throws {
    let lstm = try LSTM(loading: weights)
    let tape = Tape(pool: WorkerPool(threads: threads))
    let tokens = try tokens("[T, B]", vocabulary: lstm.shape.vocabulary, on: tape)
    let states = lstm.states(count: tokens[0].shape[1])
    try differentiate(lstm, tape, lstm.loss(tape, tokens[0], tokens[1], states))
  }

  /// The batch's input and target: matrices of token ids, of a shape that `check` accepts.
  private func tokens(
    _ axes: String, vocabulary: Int, on tape: Tape, check: ([Int]) throws -> Void = { _ in }
  ) throws -> [Indices] {
    let file = try TensorFile(batch)
    let names = ["input", "target"]
    let shapes = try names.map { try file.entry($0).shape }
    guard shapes[0].count == 2, shapes[0] == shapes[1], !shapes[0].contains(0) else {
      throw StorageError(
        "input has the shape \(shapes[0]), target \(shapes[1])", at: batch,
        hint: "both must be token ids \(axes)")
    }
    try check(shapes[0])
    try checkNames(of: file, "a batch of \(model.rawValue) holds input and target \(axes)")
    return try names.map { name in
      let ids = try file.ints(name)
      if let place = ids.firstIndex(where: { $0 < 0 || $0 >= vocabulary }) {
        throw StorageError(
          "\(name)[\(place / shapes[0][1]), \(place % shapes[0][1])] is the token id \(ids[place])",
          at: batch, hint: "the model's vocabulary is 0 ..< \(vocabulary)")
      }
      let indices = tape.indices(shapes[0])
      indices.assign(ids.map { Int32($0) })
      return indices
    }
  }

  private func runImages(
    _ network: some Model, _ channels: Int, _ loss: (Tape, Tensor, Indices) -> Tensor
  ) throws {
    let file = try TensorFile(batch)
    let (shape, labels) = (try file.entry("input").shape, try file.entry("target").shape)
    guard shape.count == 4, shape[1] == channels, !shape.contains(0), labels == [shape[0]] else {
      throw StorageError(
        "input has the shape \(shape), target \(labels)", at: batch,
        hint: "the model takes images [B, \(channels), H, W] and labels [B]")
    }
    func refusal(_ hint: String, of what: String = "images") -> StorageError {
      StorageError("\(what) of \(shape[2])×\(shape[3])", at: batch, hint: hint)
    }
    func checkSides(_ sides: ClosedRange<Int>, _ places: String) throws {
      guard shape[2...].allSatisfy(sides.contains) else {
        throw refusal(
          "the pools of \(model.rawValue) bring sides of \(sides.lowerBound) to \(sides.upperBound) down to \(places)"
        )
      }
    }
    if model == .cifarnet {
      try checkSides(CifarNet.imageSides, "one place, others to none or more")
    }
    if model == .alexnet { try checkSides(AlexNet.imageSides, "two places") }
    if let vit = network as? ViT {
      let (patch, grid) = (vit.shape.patch, vit.shape.grid)
      guard shape[2] % patch == 0, shape[3] % patch == 0 else {
        throw refusal("the model cuts them into whole patches of \(patch)×\(patch)")
      }
      guard positions != .own || (shape[2] == grid * patch && shape[3] == grid * patch) else {
        throw refusal(
          "the positions are for \(grid)×\(grid) patches of \(patch): use --positions bicubic")
      }
    }
    // Three halvings, or two, leave one place.
    let last = model == .resnet18 ? 8 : model == .resnet20 ? 4 : 0
    if shape[0] == 1, shape[2] <= last, shape[3] <= last {
      throw refusal(
        "the last batch norms of \(model.rawValue) see one place of it: give more images or larger ones",
        of: "one image")
    }
    try checkNames(of: file, "a batch of \(model.rawValue) holds input and target")
    let classes = network.parameters.last?.shape[0] ?? 0
    let targets = try file.ints("target")
    if let place = targets.firstIndex(where: { $0 < 0 || $0 >= classes }) {
      throw StorageError(
        "target[\(place)] is the label \(targets[place])", at: batch,
        hint: "the model's labels are 0 ..< \(classes)")
    }
    let tape = Tape(pool: WorkerPool(threads: threads))
    let images = tape.input([shape[0], shape[2], shape[3], channels])
    let places = shape[2] * shape[3]
    for (index, value) in try file.floats("input").enumerated() {
      // From [B, C, H, W] to channels last.
      let (channel, place) = (index / places, index % places)
      images.value.base[(channel / channels * places + place) * channels + channel % channels] =
        value
    }
    let indices = tape.indices(labels)
    indices.assign(targets.map { Int32($0) })
    try differentiate(network, tape, loss(tape, images, indices))
  }

  private func differentiate(_ model: some Model, _ tape: Tape, _ loss: Tensor) throws {
    tape.forward()
    guard loss.scalar.isFinite else {
      throw StorageError(
        "the loss of this batch is \(loss.scalar)", at: batch,
        hint: "look for nan, inf or huge values in batch and weights")
    }
    tape.backward(from: loss)
    try model.save(to: out, gradients: true)
    try Terminal.line("{\"loss\": \(loss.scalar)}", beside: out)
  }

  private func checkNames(
    of file: TensorFile, _ hint: String, known names: [String] = ["input", "target"]
  ) throws {
    for entry in file.entries where !names.contains(entry.name) {
      throw StorageError(
        "the tensor \(entry.name) is none of the model's", at: batch, hint: hint)
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

extension PositionGrid: ExpressibleByArgument {}
