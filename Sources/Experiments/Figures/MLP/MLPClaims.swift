// SPDX-License-Identifier: Apache-2.0

import Lab
import LinearAlgebra

// The claims of Fig 2b.

extension MLPHeavyTails {
  private static let loss = Measure(
    "training loss", note: "mean of the last \(MLPTask.finalLosses) mini-batches",
    final: "final_train_loss", series: "train_loss", limit: MLPTask.lossLimit)

  package static let summary = [
    SummaryRow(
      "MLP, heavy tails", by: loss, tuning: "searched, Table 1",
      [
        .none: "sgdm-none", .norm: "sgdm-norm", .delta: "delta-gclip",
        .perSample: "sgdm-per-sample",
        .spectralConstant: "sgdm-spectral-const", .spectralEMA: "sgdm-spectral-ema",
        .spectralQuantile: "sgdm-spectral-quantile", .adam: "adam-none",
      ])
  ]

  package static let claims: [Claim] = [
    Claim(
      "fig2b-spectral-below-norm", "§6.4, Fig 2b",
      "SGDM with a tuned constant spectral threshold ends below SGDM with norm clipping.",
      family: "fig2b", Comparison(["sgdm-spectral-const"], over: ["sgdm-norm"], by: [loss])),
    Claim(
      "fig2b-spectral-below-adam", "§6.4, Fig 2b",
      "SGDM with spectral clipping ends below Adam, clipped by norm or not.",
      family: "fig2b",
      Comparison(["sgdm-spectral-const"], over: ["adam-none", "adam-norm"], by: [loss])),
    Claim(
      "fig2b-quantile-best", "§6.4, Fig 2b",
      "The quantile threshold (Algorithm 3) is the best of the paper's methods.",
      family: "fig2b",
      Comparison(
        ["sgdm-spectral-quantile"],
        over: ["adam-none", "adam-norm", "sgdm-norm", "sgdm-spectral-const", "sgdm-spectral-ema"],
        by: [loss])),
    Claim(
      "fig2b-ema-on-par", "§6.4, Fig 2b",
      "The EMA threshold (Algorithm 1) is on a par with a tuned constant one.",
      family: "fig2b",
      Comparison(
        ["sgdm-spectral-ema"], over: ["sgdm-spectral-const"], by: [loss], .within(0.8, 1.25),
        acting: ["sgdm-spectral-ema", "sgdm-spectral-const"])),
  ]
}
