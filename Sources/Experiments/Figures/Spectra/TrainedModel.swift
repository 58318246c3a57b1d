// SPDX-License-Identifier: Apache-2.0

import Lab
import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage

/// A trained GPT and the text whose tokens it reads.
package struct TrainedModel {
  /// Where trained models come from.
  package enum Source: String, Codable, Sendable, CaseIterable {
    /// GPT-2 with 124 M parameters from Hugging Face, `gpt2/model.safetensors` among the data.
    case gpt2
    /// One of ours: gpt2-fineweb's Adam arm at profile `spectra` (smoke: `smoke`), seed 1.
    case trained
    /// The model of GPT2-BASIC, `gpt2-basic-463k` among the data, which nobody here trained.
    case gpt2Basic = "gpt2-basic"
    /// Any weights file, by the settings `weights`, `form` and `heads`.
    case file
  }

  let gpt: GPT
  let data: LanguageData

  /// Loads both.
  ///
  /// Throws a `StorageError` for files that are missing or damaged, and a `ConfigError` for a context that is
  /// longer than the model's block and for a vocabulary that is not the weights'.
  init(_ config: BadTokenSpectra.Config, _ dataFolder: String) throws {
    let heads = config.heads == 0 ? nil : config.heads
    let place = Self.place(config, dataFolder)
    gpt =
      switch config.model {
      case .gpt2: try GPT(loading: place, form: .gpt2)
      case .trained, .file: try GPT(loading: place, form: config.form, heads: heads)
      case .gpt2Basic: try GPT(gpt2Basic: place)
      }
    guard config.context <= gpt.shape.block else {
      throw ConfigError(
        "setting 'context'",
        "\(config.context) tokens, but the model's positions end at "
          + "\(gpt.shape.block)", hint: "choose a shorter context")
    }
    data = try LanguageData.load(
      config.corpus, folder: dataFolder, merges: config.merges, block: config.context)
    guard data.vocabulary == gpt.shape.vocabulary else {
      throw ConfigError(
        "settings 'corpus' and 'merges'",
        "\(data.name) has \(data.vocabulary) tokens, the weights \(place) \(gpt.shape.vocabulary)",
        hint: "name the text and the merges that the model was trained with")
    }
  }

  /// The file or folder of the weights.
  private static func place(_ config: BadTokenSpectra.Config, _ dataFolder: String) -> String {
    switch config.model {
    case .gpt2: "\(dataFolder)/gpt2/model.safetensors"
    case .gpt2Basic: "\(dataFolder)/gpt2-basic-463k"
    case .trained, .file: config.weights
    }
  }

  /// Where gpt2-fineweb leaves the weights of our own model.
  static func path(_ folders: RunFolders) throws -> String {
    let profile = folders.profile == "smoke" ? "smoke" : "spectra"
    let path = "\(folders.results)/\(GPT2FineWeb.name)/\(profile)/gpt2-adam-norm-seed1.safetensors"
    guard FileManager.default.fileExists(atPath: path) else {
      throw StorageError(
        "no trained model", at: path,
        hint: "make bad-token-spectra trains it first (gpt2-fineweb --profile \(profile) "
          + "--method gpt2-adam-norm --seeds 1 --keep-weights)")
    }
    return path
  }

  /// What identifies the weights.
  static func digest(_ config: BadTokenSpectra.Config, _ dataFolder: String) throws -> String {
    var file = place(config, dataFolder)
    if config.model == .gpt2Basic { file += "/GPT2WT.BIN" }
    guard FileManager.default.fileExists(atPath: file) else {
      throw StorageError(
        "no weights", at: file,
        hint: config.model == .gpt2
          ? "run make data-gpt2"
          : config.model == .gpt2Basic
            ? "run make data" : "correct the setting 'weights'")
    }
    return try Digest.sha256(ofFile: file)
  }

  /// What figures call it.
  func title(_ source: Source) -> String {
    let size = gpt.parameterCount
    let count =
      size >= 1_000_000
      ? String(format: "%.0f M", Double(size) / 1e6)
      : String(format: "%.0f k", Double(size) / 1e3)
    return switch source {
    case .gpt2: "GPT-2 (\(count) parameters)"
    case .trained: "A small GPT-2 (\(count) parameters)"
    case .gpt2Basic: "GPT2-BASIC (\(count) parameters, trained elsewhere)"
    case .file: "\(gpt.form.rawValue) (\(count) parameters)"
    }
  }
}
