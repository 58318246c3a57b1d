// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage

/// Where the project lies and what it holds; the folders of one run are `RunFolders`.
package struct Paths: Sendable {
  /// The project's folder, which holds `experiments/` and `Package.swift`: SPECTRAL_HOME if that is set, else the nearest one above
  /// the working folder, else above the executable, wherever PATH found it, else the one that the executable was installed
  /// from; nil where there is none.
  package let root: String?

  /// Looks for the project.
  package init() {
    self.init(
      environment: ProcessInfo.processInfo.environment,
      workingFolder: FileManager.default.currentDirectoryPath,
      executable: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        ?? CommandLine.arguments.first.map {
          URL(fileURLWithPath: $0).resolvingSymlinksInPath().path
        })
  }

  /// The same for a process as given.
  init(environment: [String: String], workingFolder: String, executable: String?) {
    if let home = environment["SPECTRAL_HOME"], !home.isEmpty {
      root = home
      return
    }
    let folder = executable.map { URL(fileURLWithPath: $0).deletingLastPathComponent() }
    // `make install` leaves a note of where it came from.
    let note = folder?.deletingLastPathComponent()
      .appendingPathComponent("share/spectral-clipping/project")
    let installedFrom = note.flatMap { FileBytes.text($0.path) }?
      .trimmingCharacters(in: .whitespacesAndNewlines)
    root =
      [workingFolder, folder?.path, installedFrom].lazy.compactMap { $0 }
      .compactMap(Self.root(above:)).first
  }

  private static func root(above start: String) -> String? {
    var url = URL(fileURLWithPath: start)
    for _ in 0..<32 {
      let manager = FileManager.default
      if manager.fileExists(atPath: url.path + "/Package.swift")
        && manager.fileExists(atPath: url.path + "/experiments")
      {
        return url.path
      }
      if url.path == "/" { return nil }
      url.deleteLastPathComponent()
    }
    return nil
  }

  /// The configuration file of an experiment's profile.
  package func config(experiment: String, profile: String) -> String {
    (root ?? ".") + "/experiments/\(experiment)/\(profile).yaml"
  }

  /// Names of the profiles that an experiment has, in alphabetical order.
  package func profiles(of experiment: String) -> [String] {
    let folder = (root ?? ".") + "/experiments/\(experiment)"
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return files.filter { $0.hasSuffix(".yaml") && !$0.hasPrefix("tuned") }
      .map { String($0.dropLast(5)) }.sorted()
  }

  /// Where fresh records go unless told otherwise (ignored by git).
  package var freshResults: String { (root ?? ".") + "/build/results" }

  /// Where data sets lie unless told otherwise: DATA_DIR, else data/.
  package var data: String {
    let given = ProcessInfo.processInfo.environment["DATA_DIR"] ?? ""
    return given.isEmpty ? (root ?? ".") + "/data" : given
  }

  /// The criteria that were committed before their records.
  package var registeredCriteria: String { (root ?? ".") + "/experiments/registered.tsv" }

  /// A file of the authors' curves.
  package func reference(_ name: String) -> String { (root ?? ".") + "/figures/reference/\(name)" }

  /// The checked-in records.
  package var results: String { (root ?? ".") + "/results" }
}
