// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Synchronization

/// A folder of results, `experiment/profile/*.h5` below it, of which each profile is read once.
package final class ResultsFolder: Sendable {
  /// Where it lies.
  package let path: String
  private let read = Mutex<[String: RecordSet]>([:])

  /// The folder at `path`, of which nothing is read yet.
  package init(_ path: String) { self.path = path }

  /// The records of one profile; nil where it has no folder.
  ///
  /// Throws a `StorageError` for a folder without records and for a record that cannot be read.
  package func records(of experiment: String, _ profile: String) throws -> RecordSet? {
    let folder = "\(path)/\(experiment)/\(profile)"
    return try read.withLock { read in
      if let set = read[folder] { return set }
      guard FileManager.default.fileExists(atPath: folder) else { return nil }
      let set = try RecordSet(folder: folder)
      read[folder] = set
      return set
    }
  }

  /// The records that claims of no profile are held against, and that the summary figure takes: the longest runs first, of
  /// equally long ones those with the most seeds.
  func usualRecords(of experiment: String) throws -> [RecordSet] {
    let sets = try ClaimsReport.profiles.compactMap { try records(of: experiment, $0) }
    return try sets.isEmpty
      ? [records(of: experiment, "smoke")].compactMap { $0 }
      : sets.enumerated().sorted {
        ($0.element.length, $0.element.seeds.count, -$0.offset)
          > ($1.element.length, $1.element.seeds.count, -$1.offset)
      }.map(\.element)
  }
}
