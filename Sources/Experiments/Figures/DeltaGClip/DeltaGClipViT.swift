// SPDX-License-Identifier: Apache-2.0

import Lab

/// The vision transformer of arXiv 2404.08624 on CIFAR-10: δ-GClip and its ablation against Adam and SGD, and the spectral clip
/// beside them.
package enum DeltaGClipViT: DeltaGClipImages {
  package typealias Task = ViTTask
  package static let name = "delta-gclip-vit"
  package static let abstract =
    "A vision transformer on CIFAR-10: δ-GClip for several δ, Adam, SGD and spectral clipping (2404.08624)."
  package static let version = 1
  package static let network = (key: "vit", title: "ViT")
  package static let rowTitle = "vision transformer, CIFAR-10"
  package static let exponents = ViTArms.exponents
  package static let arms = ViTArms.all
  package static let defaults = CurveConfig(
    ViTSettings(), methods: arms.map(\.name), seeds: [1, 2, 3])
}

/// Hyper-parameters of the transformer's arms; the curves take the authors' where they have published some.
package enum DeltaGClipViTSearch: SearchExperiment {
  package typealias Figure = DeltaGClipViT
  package static let name = "vit-search"
  package static let defaults = SearchConfig(
    ViTSettings(), methods: ["spectral-const", "spectral-quantile"])
}

extension DeltaGClipViT {
  private static let main = "optimizers and clips"
  private static let powers = "δ-GClip, δ from 1e-2 to 1e-6"

  /// The curves, and the authors' own, whole, whatever our size.
  package static func table(of set: RecordSet) throws -> Table {
    var table = try curves(of: set, groups: [main, powers]) {
      ablation.contains($0) ? powers : main
    }
    for (arm, column) in [("adam", "adam")]
      + exponents.map({ (DeltaGClipArms.deltaName($0), "delta_1e\($0)") })
    {
      try table.add(
        authors: "delta_gclip_vit_tiny_acc.csv", x: "epoch", y: column, for: arm,
        columns: ("epoch", "val_accuracy"))
    }
    return table
  }
}
