// SPDX-License-Identifier: Apache-2.0

import Lab
import Storage

/// The autoencoder of arXiv 2404.08624 on Fashion-MNIST: δ-GClip against Adam, SGD and norm clipping, and the spectral clip beside
/// them.
package enum DeltaGClipVAE: CurveExperiment {
  package typealias Task = VAETask
  package static let name = "delta-gclip-vae"
  package static let abstract =
    "A variational autoencoder on Fashion-MNIST: δ-GClip, GClip, Adam, SGD and spectral clipping (2404.08624)."
  package static let version = 1
  package static let arms = VAEArms.all
  package static let defaults = CurveConfig(
    VAESettings(), methods: arms.map(\.name), seeds: [1, 2, 3, 4, 5])
}

/// Hyper-parameters of the autoencoder's arms; the curves take the authors' where they have published some.
package enum DeltaGClipVAESearch: SearchExperiment {
  package typealias Figure = DeltaGClipVAE
  package static let name = "vae-search"
  package static let objective = "final_val_loss"
  package static let defaults = SearchConfig(
    VAESettings(), methods: arms.filter { $0.schedule == nil }.map(\.name))

  package static func objectiveMeaning(_ config: Config) -> String {
    "squared errors and divergence of the "
      + "\(config.selection == .heldOut ? "held-out training" : "test") images, an image"
  }
}

// MARK: - Table and caption

extension DeltaGClipVAE {
  private static let lowered = "rates lowered in every arm"
  private static let once = "Adam, SGD at one rate (authors' code)"

  /// Curves of the loss on training and test images by epoch, and final losses.
  package static func table(of set: RecordSet) throws -> Table {
    try set.curveTable(
      axis: RecordSet.epochs,
      series: [.init("train_set_loss", .geometricMean), .init("val_loss", .geometricMean)],
      finals: [
        .init("final_train_set_loss", .geometricMean, diverged: VAETask.lossLimit),
        .init("final_val_loss", .geometricMean, diverged: VAETask.lossLimit),
      ],
      group: { $0.hasSuffix("-authors-code") ? once : lowered }, groups: [lowered, once])
  }

  package static func captionValues(of set: RecordSet) throws -> [(String, String)] {
    [
      (
        "ranking",
        try set.ends("final_val_loss", limit: VAETask.lossLimit) { method, loss in
          let time = try 1000 * RunStatistics.secondsPerStep(set.records(of: method))
          return "\(significant(loss, 4)) (\(significant(time, 2)) ms a step)"
        }
      ), ("parameters", "\(try set.records[0].int(attribute: "parameters"))"),
    ]
  }
}

// MARK: - Claims

extension DeltaGClipVAE {
  private static let training = Measure(
    "training loss", note: "all training images at the last weights, an image",
    final: "final_train_set_loss", series: "train_set_loss", limit: VAETask.lossLimit)
  private static let test = Measure(
    "test loss", note: "all test images at the last weights, an image", final: "final_val_loss",
    series: "val_loss", limit: VAETask.lossLimit)

  package static let summary = [
    SummaryRow(
      "autoencoder, Fashion-MNIST", by: test,
      tuning: "authors' values, the spectral clips searched: uneven",
      [
        .none: "sgd", .norm: "gclip", .delta: "delta-gclip", .spectralConstant: "spectral-const",
        .spectralQuantile: "spectral-quantile", .adam: "adam",
      ])
  ]

  /// What "competitive" is held against: at most a twentieth above.
  private static let competitive = Bound.below(1.05)

  package static let claims: [Claim] =
    [("training", training), ("test", test)].flatMap { name, measure in
      [
        Claim(
          "deltagclip-vae-\(name)", "2404.08624, VAE",
          "δ-GClip is competitive with Adam and SGD in its \(name) loss.", family: "deltagclip",
          Comparison(["delta-gclip"], over: ["adam", "sgd"], by: [measure], competitive)),
        Claim(
          "deltagclip-vae-\(name)-code", "2404.08624, VAE",
          "The same where the rates of Adam and SGD stay as they are, as in the authors' code.",
          family: "deltagclip",
          Comparison(
            ["delta-gclip"], over: ["adam-authors-code", "sgd-authors-code"], by: [measure],
            competitive)),
      ]
    } + [
      Claim(
        "deltagclip-vae-gclip", "2404.08624, VAE",
        "A lower bound on the step costs nothing: δ-GClip ends with no more test loss than GClip.",
        family: "deltagclip",
        Comparison(["delta-gclip"], over: ["gclip"], by: [test], competitive)),
      Claim(
        "deltagclip-vae-spectral", "2605.11838 on 2404.08624's VAE",
        "Searched spectral clipping is competitive with δ-GClip at its authors' values.",
        family: "deltagclip-spectral",
        Comparison(
          ["spectral-const", "spectral-quantile"], over: ["delta-gclip"], by: [test], competitive)),
    ]
}
