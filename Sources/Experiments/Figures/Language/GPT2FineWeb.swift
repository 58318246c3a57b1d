// SPDX-License-Identifier: Apache-2.0

import Lab

/// Figs 3 and 6c: GPT-2 on FineWeb, norm against spectral clipping for SGDM, Adam and Muon (§6.3).
package enum GPT2FineWeb: CurveExperiment {
  package typealias Task = LanguageTask
  package static let name = "gpt2-fineweb"
  package static let abstract =
    "GPT-2 pre-training: norm against spectral clipping (Figs 3, 6c)."
  package static let version = 1
  package static let arms = LanguageArms.gpt2
  package static let defaults = CurveConfig(
    LanguageSettings.gpt2,
    methods: ["sgdm", "adam", "muon"].flatMap { ["gpt2-\($0)-norm", "gpt2-\($0)-spectral"] },
    seeds: [1, 2, 3])
}

/// Table 4: hyper-parameters of gpt2-fineweb's methods; the defaults are the small model over 400 steps.
package enum GPT2Search: LanguageSearch {
  package typealias Figure = GPT2FineWeb
  package static let name = "gpt2-search"
  package static let abstract = "Hyper-parameters of gpt2-fineweb's methods (Table 4)."
  package static let defaults: SearchConfig<LanguageSettings> = {
    var s = LanguageSettings.gpt2
    (s.layers, s.heads, s.width, s.contextLength) = (4, 4, 128, 128)
    (s.batchSize, s.microBatches, s.steps, s.warmup) = (8, 1, 400, 20)
    (s.evaluationSequences, s.rank, s.corpus, s.merges) = (128, 16, .wikiText, 768)
    return SearchConfig(s, methods: arms.map(\.name))
  }()
}
