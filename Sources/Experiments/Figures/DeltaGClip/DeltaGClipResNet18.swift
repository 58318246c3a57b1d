// SPDX-License-Identifier: Apache-2.0

import Lab

/// ResNet-18 of arXiv 2404.08624 on CIFAR-10: δ-GClip at both of its authors' δ against Adam, SGD and GClip, and the spectral clip
/// beside them.
package enum DeltaGClipResNet18: DeltaGClipImages {
  package typealias Task = ResNetTask
  package static let name = "delta-gclip-resnet18"
  package static let abstract =
    "ResNet-18 on CIFAR-10: δ-GClip, GClip, Adam, SGD and spectral clipping (2404.08624)."
  package static let version = 1
  package static let network = (key: "resnet18", title: "ResNet-18")
  package static let rowTitle = "ResNet-18, CIFAR-10, SGD"
  package static let exponents = ResNetArms.exponents
  package static let arms = ResNetArms.all
  package static let defaults = CurveConfig(
    ResNetSettings(), methods: arms.map(\.name), seeds: [1, 2, 3])

  package static func table(of set: RecordSet) throws -> Table { try curves(of: set) }
}

/// Hyper-parameters of ResNet-18's arms; the curves take the authors' where they have published some.
package enum DeltaGClipResNet18Search: SearchExperiment {
  package typealias Figure = DeltaGClipResNet18
  package static let name = "resnet18-search"
  package static let defaults = SearchConfig(
    ResNetSettings(), methods: ["spectral-const", "spectral-quantile"])
}
