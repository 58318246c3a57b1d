// SPDX-License-Identifier: Apache-2.0

import Lab

/// Fig 2a: CIFAR-10 by SGDM without clip, with norm clipping and with spectral clipping of the convolutions (§6.1), on
/// ResNet-18 as in the paper's text and on CifarNet as in the authors' code.
package enum CIFAR10ResNet18: CurveExperiment {
  package typealias Task = ImageTask
  package static let name = "cifar10-resnet18"
  package static let abstract =
    "CIFAR-10 on CifarNet and ResNet-18: no clip, norm clip, spectral clip (Fig 2a)."
  package static let version = 1
  package static let arms = ImageArms.all
  package static let defaults = CurveConfig(
    ImageSettings(),
    methods: ImageNetwork.allCases.flatMap { network in
      ["none", "norm", "spectral"].map { "\(network.rawValue)-\($0)" }
    }, seeds: [1, 2, 3])
  package static let claims = ImageClaims.accuracy
  package static let summary = ImageClaims.summary
}

/// Fig 5b: the spectral arm of Fig 2a with the exact decomposition and with Algorithm 2 at several ranks, all at the same
/// hyper-parameters.
package enum CIFAR10Truncation: CurveExperiment {
  package typealias Task = ImageTask
  package static let name = "cifar10-truncation"
  package static let subcommand = "truncation"
  package static let abstract =
    "CIFAR-10: spectral clipping by a full and by a truncated SVD of several ranks (Fig 5b)."
  package static let version = 1
  package static let arms = ImageArms.all
  package static let tunedBy = CIFAR10ResNet18.name
  package static let defaults = CIFAR10ResNet18.defaults
  package static let claims = ImageClaims.truncation
}

/// Table 2: hyper-parameters of cifar10-resnet18's methods.
package enum CIFAR10Search: SearchExperiment {
  package typealias Figure = CIFAR10ResNet18
  package static let name = "cifar10-search"
  package static let abstract = "Hyper-parameters of cifar10-resnet18's methods (Table 2)."
  package static let objective = "final_val_error"
  package static let objectiveTitle = "classification error"
  package static let defaults = SearchConfig(
    ImageSettings(), methods: ImageArms.curves.map(\.name))

  package static func objectiveMeaning(_ config: Config) -> String {
    "fraction of the \(config.selection == .heldOut ? "held-out training" : "test") images not classified correctly, each in six views"
  }
}
