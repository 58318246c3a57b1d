// SPDX-License-Identifier: Apache-2.0

import Lab

extension Suite {
  /// Every experiment there is, in the order of the paper.
  package static let clipping = Suite(
    [
      BadTokenSpectra.self, TraceRegression.self, ClipCost.self, MLPHeavyTails.self,
      MLPSearch.self, MLPHeatMap.self, CIFAR10ResNet18.self, CIFAR10Truncation.self,
      CIFAR10Search.self, NanoGPT.self, NanoGPTSearch.self, GPT2FineWeb.self, GPT2Search.self,
      TheoryBounds.self, Smoothness.self, LSTMCurves.self, DeltaGClipVAE.self,
      DeltaGClipVAESearch.self, DeltaGClipResNet18.self, DeltaGClipResNet18Search.self,
      DeltaGClipViT.self, DeltaGClipViTSearch.self,
      DeltaGClipBERT.self, DeltaGClipBERTSearch.self,
      PerSampleAlexNet.self, PerSampleSearch.self,
    ], figures: figures, title: "Spectral gradient clipping, reproduced",
    question:
      "Is it better to clamp the singular values of a gradient matrix at a threshold than to rescale the gradient by its "
      + "norm? Every claim of “Gradient Clipping Beyond Vector Norms” (arXiv 2605.11838) that a computer can decide, with "
      + "its criterion and what our records say.")

  private static func out(_ name: String) -> String { "figures/out/\(name)" }

  private static let figures = [
    FigureEntry(
      "All four papers: every clipping rule on every workload", make: "summary",
      note: "an overview over the best of each row; verdicts are below",
      links: [("picture", out("summary.svg"))]),
    FigureEntry(
      "1, 7: gradient spectra with bad tokens", make: "fig1",
      claims: [
        "fig1-growth", "fig1-few-increase", "fig1-few-exceed", "fig1-bulk-still", "fig1-rules",
      ],
      links: [
        ("1", out("bad-token-spectra.svg")), ("7", out("bad-token-spectra-layers.svg")),
        ("another model", out("bad-token-spectra-basic.svg")),
      ]),
    FigureEntry(
      "2a: CIFAR-10", make: "fig2a",
      claims: ["fig2a-best-cifarnet", "fig2a-best-resnet18", "fig2a-best-jpeg"],
      links: [
        ("narrow networks", out("cifar10-resnet18.svg")), ("full width", out("cifar10-jpeg.svg")),
      ]),
    FigureEntry(
      "2b: MLP under heavy-tailed noise", make: "fig2b",
      claims: ["fig2b-spectral-below-norm", "fig2b-spectral-below-adam", "fig2b-quantile-best"],
      links: [("picture", out("mlp-heavy-tails.svg"))]),
    FigureEntry(
      "2c, 6a, 6b: nanoGPT on Shakespeare", make: "fig2c",
      claims: [
        "fig6a-sgdm-steps", "fig6a-equal-step-validation", "fig6a-sgdm-time", "fig6b-muon-steps",
      ], links: [("picture", out("nanogpt-shakespeare.svg"))]),
    FigureEntry(
      "3, 6c: GPT-2 pre-training", make: "fig3",
      claims: ["fig3-sgdm-steps", "fig3-sgdm-time", "fig3-adam-steps", "fig3-muon-steps"],
      links: [
        ("picture", out("gpt2-fineweb.svg")), ("124 M parameters", out("gpt2-steps.caption.md")),
      ]),
    FigureEntry(
      "4: step size × threshold", make: "fig4",
      claims: ["fig4-larger-region", "fig4-equal-update"],
      links: [("picture", out("mlp-heatmap.svg"))]),
    FigureEntry(
      "5a: bias in trace regression", make: "fig5a",
      claims: ["fig5a-large-tau", "fig5a-small-tau", "fig5a-as-plotted"],
      links: [("picture", out("trace-regression.svg"))]),
    FigureEntry(
      "5b: full against truncated SVD", make: "fig5b",
      claims: ["fig5b-rank10-cifarnet", "fig5b-rank10-resnet18"],
      links: [("picture", out("cifar10-truncation.svg"))]),
    FigureEntry(
      "§5.2: cost of clipping", make: "cost", claims: ["cost-truncated", "cost-order"],
      links: [("picture", out("clip-cost.svg"))]),
    FigureEntry(
      "Tables 1 to 4: tuned hyper-parameters", make: "table1",
      note: "numbers not legible in the text; searched anew (`table2` to `table4` likewise)",
      links: [
        ("1", out("mlp-search.caption.md")), ("2", out("cifar10-search.caption.md")),
        ("3", out("nanogpt-search.caption.md")),
        ("3, short search", out("nanogpt-search-short.caption.md")),
        ("4", out("gpt2-search.caption.md")),
      ]),
    FigureEntry(
      "Lemma C.1, Theorems 3.3 and 3.4, §2.3", make: "theory",
      claims: [
        "theory-inequalities", "theory-theorem-3.3", "theory-theorem-3.4", "theory-rate",
        "theory-clipping-needed",
      ],
      links: [
        ("picture", out("theory-bounds.svg")),
        ("derivations", "Sources/Theory/Theory.docc/ConvergenceBounds.md"),
      ]),
    FigureEntry(
      "1905.11881: local smoothness against gradient norm", make: "smoothness",
      claims: ["smoothness-lstm", "smoothness-resnet18", "smoothness-gpt2"],
      links: [("picture", out("smoothness.svg"))]),
    FigureEntry(
      "1905.11881: an LSTM, clipped and not", make: "lstm-ptb",
      claims: ["lstm-clipped-faster", "lstm-large-rate", "lstm-spectral"],
      links: [("picture", out("lstm-ptb.svg"))]),
    FigureEntry(
      "2605.02701: per-sample clipping, AlexNet on CIFAR-10", make: "per-sample-clipping",
      claims: ["persample-loss", "persample-time", "persample-error", "persample-before"],
      links: [("picture", out("per-sample-clipping.svg"))]),
    FigureEntry(
      "2404.08624: δ-GClip, autoencoder on Fashion-MNIST", make: "delta-gclip-vae",
      claims: [
        "deltagclip-vae-training", "deltagclip-vae-test", "deltagclip-vae-test-code",
        "deltagclip-vae-spectral",
      ], links: [("picture", out("delta-gclip-vae.svg"))]),
    FigureEntry(
      "2404.08624: δ-GClip, ResNet-18 on CIFAR-10", make: "delta-gclip-resnet18",
      claims: [
        "deltagclip-resnet18-error", "deltagclip-resnet18-ablation",
        "deltagclip-resnet18-spectral",
      ], links: [("picture", out("delta-gclip-resnet18.svg"))]),
    FigureEntry(
      "2404.08624: δ-GClip, vision transformer on CIFAR-10", make: "delta-gclip-vit",
      claims: [
        "deltagclip-vit-error", "deltagclip-vit-ablation", "deltagclip-vit-spectral",
      ], links: [("picture", out("delta-gclip-vit.svg"))]),
    FigureEntry(
      "2404.08624: δ-GClip, BERT on Emotion", make: "delta-gclip-bert",
      claims: ["deltagclip-bert-error", "deltagclip-bert-gclip", "deltagclip-bert-spectral"],
      links: [("picture", out("delta-gclip-bert.svg"))]),
  ]
}

extension RecordMigration {
  /// What was renamed when the training experiments became one design.
  package static let clipping = RecordMigration(
    keys: [
      ("cifar10", "narrowing", "widthDivisor"), ("cifar10", "imagesSummed", "lossScale"),
      ("cifar10", "parts", "microBatches"), ("nanogpt", "block", "contextLength"),
      ("gpt2", "block", "contextLength"), ("mlp", "trainingShare", "trainingFraction"),
      ("bad-token", "lowestShare", "lowestFraction"),
    ], arms: [("-fair", "-same-set"), ("normalised-gd", "normalized-gd")],
    dataSets: ["clipped_share": "clipped_fraction", "bad_share": "bad_fraction"],
    profiles: [("bad-token-spectra", "basic", "gpt2-basic")],
    values: [("clippedSet", "fair", "matched")],
    words: [
      ("normalised", "normalized"), ("told right", "classified correctly"),
      ("told wrong", "classified wrongly"),
    ])
}
