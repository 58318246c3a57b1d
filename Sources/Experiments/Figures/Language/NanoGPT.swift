// SPDX-License-Identifier: Apache-2.0

import Lab

/// Figs 2c, 6a and 6b: nanoGPT on tiny Shakespeare, norm against spectral clipping for SGDM and Muon (§6.2).
package enum NanoGPT: CurveExperiment {
  package typealias Task = LanguageTask
  package static let name = "nanogpt-shakespeare"
  package static let abstract =
    "nanoGPT on tiny Shakespeare: norm against spectral clipping (Figs 2c, 6a, 6b)."
  package static let version = 1
  package static let arms = LanguageArms.nanoGPT
  package static let defaults = CurveConfig(
    LanguageSettings.nanoGPT,
    methods: ["sgdm-norm", "sgdm-spectral", "muon-norm", "muon-spectral"], seeds: [1, 2, 3])
}

/// Table 3: hyper-parameters of nanogpt-shakespeare's methods; the defaults are the small model over 1 000 steps.
package enum NanoGPTSearch: LanguageSearch {
  package typealias Figure = NanoGPT
  package static let name = "nanogpt-search"
  package static let abstract = "Hyper-parameters of nanogpt-shakespeare's methods (Table 3)."
  package static let defaults: SearchConfig<LanguageSettings> = {
    var s = LanguageSettings.nanoGPT
    (s.layers, s.heads, s.width, s.contextLength, s.dropout) = (4, 4, 128, 64, 0)
    (s.batchSize, s.steps) = (12, 1000)
    return SearchConfig(
      s, methods: arms.filter { $0.schedule == nil }.map(\.name))
  }()
}

/// What both searches of language models minimize.
package protocol LanguageSearch: SearchExperiment where Figure.Task == LanguageTask {}

extension LanguageSearch {
  package static var objective: String { "final_val_loss" }
  package static func objectiveMeaning(_ config: Config) -> String {
    "cross-entropy on \(config.settings.evaluationSequences) sequences of the "
      + (config.selection == .heldOut ? "held-out training text" : "validation text")
      + ", nats a token"
  }
}
