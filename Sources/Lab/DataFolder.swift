// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The folder of the data sets, and what has been loaded from it: the runs of a process share that.
package final class DataFolder: Sendable {
  /// Where it is.
  package let path: String
  private let loaded = Mutex<[(settings: any Sendable, source: any Sendable)]>([])

  /// The folder at `path`, of which nothing is loaded yet.
  package init(_ path: String) { self.path = path }

  /// The data of `Task` under `settings`, loaded by the run that first asks, for which the others wait.
  ///
  /// Throws what `Task.load` throws; the next run to ask tries again.
  package func source<Task: Workload>(
    of task: Task.Type, _ settings: Task.Settings
  ) throws -> Task.Source {
    try loaded.withLock { loaded in
      for case (let known as Task.Settings, let source as Task.Source) in loaded
      where known == settings { return source }
      let source = try Task.load(settings, folder: path)
      loaded.append((settings, source))
      return source
    }
  }
}
