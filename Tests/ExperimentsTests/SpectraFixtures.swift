// SPDX-License-Identifier: Apache-2.0

import Datasets
import Foundation
import LinearAlgebra
import Models
import Storage

@testable import Experiments
@testable import Lab

/// A small GPT with sharp opinions on random tokens, beside the settings that name both.
struct SpectraFixture {
  let folder: String
  let config: BadTokenSpectra.Config

  /// A fresh model below `folder`, which must be a test's own.
  init(_ folder: String, head: GPT.Head = .tied, vocabulary: Int? = nil) throws {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    self.folder = folder
    try FileManager.default.createDirectory(
      atPath: folder + "/bin", withIntermediateDirectories: true)
    let stream = RandomStream(seed: 1, name: "text")
    let text = (0..<400).map { $0 < 40 ? UInt16($0) : UInt16(stream.integer(below: 40, at: $0)) }
    for name in ["train", "val"] {
      try TokenFile.write(text, to: "\(folder)/bin/\(name).bin", as: .plain)
    }
    let model = GPT(
      .gpt2,
      .init(vocabulary: vocabulary ?? 40, block: 8, layers: 1, heads: 2, width: 8),
      head: head)
    model.initialize(RandomStream(seed: 1, name: "model"))
    for parameter in model.parameters where parameter.shape.count == 2 {
      for i in 0..<parameter.count { parameter.base[i] *= 20 }
    }
    try model.save(to: folder + "/weights.safetensors")
    var config = BadTokenSpectra.Config()
    (config.model, config.form, config.heads, config.corpus) = (.file, .gpt2, 2, .binary)
    config.weights = folder + "/weights.safetensors"
    (config.context, config.batchSizes, config.detailBatchSize) = (6, [2, 3], 3)
    (config.batches, config.calibrationBatches, config.top) = (2, 2, 4)
    (config.confidence, config.lowestFraction, config.seeds) = (0.05, 0.1, [1])
    self.config = config
  }

  /// What a run would use.
  func complete(_ change: (inout BadTokenSpectra.Config) -> Void = { _ in }) throws
    -> BadTokenSpectra.Config
  {
    var config = config
    change(&config)
    return try BadTokenSpectra.resolve(
      config,
      RunFolders(folder: folder, profile: "test", data: folder, results: folder + "/results"))
  }

  /// The samples of a definition.
  func draw(
    _ name: String, _ count: Int, seed: UInt64 = 1,
    _ change: (inout BadTokenSpectra.Config) -> Void = { _ in }
  ) throws -> (model: TrainedModel, samples: [TokenSample]) {
    var config = config
    change(&config)
    let model = try TrainedModel(config, folder)
    let drawer = SampleDrawer(
      model, config, RandomStream(seed: seed, name: "spectra"), WorkerPool(threads: 2))
    return (model, try drawer.draw(count, TokenDefinition(name: name)))
  }
}

/// The one line that `body` throws, empty if it throws nothing.
func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch { return "\(error)" }
}
