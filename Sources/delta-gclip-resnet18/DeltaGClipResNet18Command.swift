// SPDX-License-Identifier: Apache-2.0

import Experiments
import Lab

/// `delta-gclip-resnet18`: ResNet-18's curves; `delta-gclip-resnet18 search`: hyper-parameters of its arms.
@main
struct DeltaGClipResNet18Command: ExperimentGroup {
  typealias Main = DeltaGClipResNet18
  static let others: [any Experiment.Type] = [DeltaGClipResNet18Search.self]
}
