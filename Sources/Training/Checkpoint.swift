import Foundation
import Storage

/// The state of an unfinished run on disk: everything that a resumed run needs, or it is not resumed.
///
/// Written whole and atomically; binary, so that every Double comes back bit for bit.
public struct Checkpoint<State: Codable>: Sendable {
  /// The file.
  public let path: String
  /// What the run is: a text of `name = value` lines. A checkpoint of another run is refused.
  public let identity: [String]
  private let secondsBetween: Double
  private var sinceSave = Stopwatch()

  /// A checkpoint at `path` for the run that `identity` describes, due every `secondsBetween` seconds.
  public init(path: String, identity: [String], secondsBetween: Double) {
    self.path = path
    self.identity = identity
    self.secondsBetween = secondsBetween
  }

  private struct Content: Codable {
    var identity: [String]
    var state: State
  }

  /// Whether it is time to save again.
  public var isDue: Bool { sinceSave.seconds >= secondsBetween }

  /// Replaces the file by `state`.
  public mutating func save(_ state: State) throws {
    let encoder = PropertyListEncoder()
    encoder.outputFormat = .binary
    let content = Content(identity: identity, state: state)
    try AtomicFile.write(try encoder.encode(content), to: path)
    sinceSave = Stopwatch()
  }

  /// The saved state, nil where there is none.
  ///
  /// Throws a `StorageError` for a file that cannot be read, and for one that was made by a run with
  /// another identity, naming the first line that differs.
  public func load() throws -> State? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    let content: Content
    do {
      content = try PropertyListDecoder().decode(
        Content.self, from: try Data(contentsOf: URL(fileURLWithPath: path)))
    } catch {
      throw StorageError(
        "not a checkpoint of this program", at: path, hint: "delete it to start this run anew")
    }
    guard content.identity == identity else {
      let pair = zip(content.identity, identity).first { $0 != $1 }
      throw StorageError(
        "a checkpoint of another run (it has '\(pair?.0 ?? "other fields")', this run has "
          + "'\(pair?.1 ?? "others")')", at: path,
        hint: "delete it to start anew, or run with the old setting to finish it")
    }
    return content.state
  }

  /// Removes the file of a finished run.
  public func remove() throws {
    guard FileManager.default.fileExists(atPath: path) else { return }
    try FileManager.default.removeItem(atPath: path)
  }
}
