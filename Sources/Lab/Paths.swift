import Foundation

/// The only place that knows where things lie.
package struct Paths: Sendable {
  /// The project's folder: the nearest one above the working folder, else above the executable, that
  /// holds `experiments/` and `Package.swift`; nil where there is none.
  package let root: String?

  /// Looks for the project.
  package init() {
    let executable = (CommandLine.arguments.first.map { URL(fileURLWithPath: $0) })?
      .resolvingSymlinksInPath().deletingLastPathComponent().path
    let starts = [FileManager.default.currentDirectoryPath] + (executable.map { [$0] } ?? [])
    root = starts.lazy.compactMap(Self.root(above:)).first
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
    return files.filter { $0.hasSuffix(".yaml") && !$0.hasPrefix("chosen") }
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
