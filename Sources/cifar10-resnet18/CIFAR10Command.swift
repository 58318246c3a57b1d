// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `cifar10-resnet18`: the curves of Fig 2a; `cifar10-resnet18 truncation`: Fig 5b; `cifar10-resnet18 search`: the
/// hyper-parameters of Table 2.
@main
struct CIFAR10Command: ExperimentGroup {
  typealias Main = CIFAR10ResNet18
  static let others: [any Experiment.Type] = [CIFAR10Truncation.self, CIFAR10Search.self]
}
