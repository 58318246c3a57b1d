// SPDX-License-Identifier: Apache-2.0

import Autodiff
import Lab
import Models

/// A workload that trains all of one model, and nothing else.
package protocol ModelTask: Workload {
  /// What is trained.
  associatedtype Network: Model
  var model: Network { get }
}

extension ModelTask {
  package var parameters: [Parameter] { model.parameters }
  package var modelState: [[Float]] {
    get { model.values }
    set { model.values = newValue }
  }
  package func save(to path: String) throws { try model.save(to: path) }
}
