// SPDX-License-Identifier: Apache-2.0

/// A piece of work that stands alone: one seed, and the methods that must run one after another.
package struct Job: Equatable, Sendable {
  /// The methods, in order.
  package var methods: [String]
  /// The seed.
  package var seed: UInt64

  /// A job of `methods` at `seed`.
  package init(methods: [String], seed: UInt64) {
    self.methods = methods
    self.seed = seed
  }

  /// A file name for it.
  package var label: String {
    (methods.count == 1 ? methods[0] : "all") + "-seed\(seed)"
  }

  /// Where the processes that share it leave their results, in the folder of its records.
  func piecesFolder(in folder: String) -> String { "\(folder)/\(label).pieces" }
}

/// Results of a job that do not wait for each other, but for those of the stages before.
package struct Stage: Equatable, Sendable {
  /// How many.
  package var results: Int
  /// How many of them one process had better compute.
  package var block: Int
  /// Steps of progress that one takes.
  package var work: Int

  /// A stage of `results`.
  package init(results: Int, block: Int = 1, work: Int) {
    (self.results, self.block, self.work) = (results, block, work)
  }
}

/// A part of a job that a process of its own computes.
package struct Share: Equatable, Sendable {
  /// The stage, from 0.
  package var stage: Int
  /// Which block of its results, from 0; results of a stage that come to be fewer leave the last blocks empty.
  package var block: Int
  /// Results in a block.
  package var size: Int

  /// The file of its results, in the folder of its job's pieces.
  var fileName: String { "stage\(stage)-block\(block)-of-\(size).piece" }

  /// Thrown where the share is done, since the job is not.
  struct Done: Error {}
}
