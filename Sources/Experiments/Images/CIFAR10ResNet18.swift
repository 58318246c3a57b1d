import Lab

/// Fig 2a: CIFAR-10 by SGDM without clip, with norm clipping and with spectral clipping of the convolutions (§6.1), on
/// ResNet-18 as in the paper's text and on CifarNet as in the authors' code.
package enum CIFAR10ResNet18: ImageExperiment {
  package typealias Config = ImageConfig
  package static let name = "cifar10-resnet18"
  package static let abstract =
    "CIFAR-10 on CifarNet and ResNet-18: no clip, norm clip, spectral clip (Fig 2a)."
  package static let version = 1
  static let chosenFile = "chosen.yaml"
  package static let claims = ImageClaims.accuracy
}

/// Fig 5b: the spectral arm of Fig 2a with the exact decomposition and with Algorithm 2 at several ranks, all at the same
/// hyper-parameters.
package enum CIFAR10Truncation: ImageExperiment {
  package typealias Config = ImageConfig
  package static let name = "cifar10-truncation"
  package static let abstract =
    "CIFAR-10: spectral clipping by a full and by a truncated SVD of several ranks (Fig 5b)."
  package static let version = 1
  package static let claims = ImageClaims.truncation
}
