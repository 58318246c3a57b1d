// SPDX-License-Identifier: Apache-2.0

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
  private let warn: @Sendable (String) -> Void
  private var sinceSave = Stopwatch()
  private var requests = Interruption.requests
  private let ranks: any Ranks

  /// A checkpoint at `path` for the run that `identity` describes, due every `secondsBetween` seconds and when a signal asks
  /// for it (`Interruption`); `warn` is told of a damaged one. Of several `ranks` the first reads and writes, and says when.
  public init(
    path: String, identity: [String], secondsBetween: Double, ranks: any Ranks = SingleRank(),
    warn: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    (self.path, self.identity) = (path, identity)
    (self.secondsBetween, self.warn, self.ranks) = (secondsBetween, warn, ranks)
    Interruption.expectPolling()
  }

  private static var mark: Data { Data("checkpoint\u{2}\n".utf8) }

  private struct Content: Codable {
    var identity: [String]
    var state: State
  }

  /// Whether it is time to save again; asked by all ranks together.
  public var isDue: Bool {
    let own = sinceSave.seconds >= secondsBetween || requests != Interruption.requests
    return ranks.agreed(own ? 1 : 0) == 1
  }

  /// Replaces the file by `state`.
  ///
  /// Throws an `Interruption.Ended` behind it if a signal has asked the process to end.
  public mutating func save(_ state: State) throws {
    requests = Interruption.requests
    if ranks.rank == 0 { try write(state) }
    sinceSave = Stopwatch()
    try Interruption.check(ranks)
  }

  private func write(_ state: State) throws {
    let encoder = PropertyListEncoder()
    encoder.outputFormat = .binary
    let content = Content(identity: identity, state: state)
    let data = try encoder.encode(content)
    var head = Self.mark
    withUnsafeBytes(of: Checksum.fnv1a(data).littleEndian) { head.append(contentsOf: $0) }
    try AtomicFile.write(to: path) { sink in  // a state can be gigabytes: no second copy
      try sink.write(head)
      try sink.write(data)
    }
  }

  /// The saved state, nil where there is none, and where it is damaged, which costs a warning and the work done.
  ///
  /// Throws a `StorageError` for a file that cannot be read, and for one that was made by a run with
  /// another identity, naming the first line that differs.
  public func load() throws -> State? {
    let exists = ranks.rank == 0 && FileManager.default.fileExists(atPath: path)
    guard ranks.agreed(exists ? 1 : 0) == 1 else { return nil }
    let file = ranks.agreed(ranks.rank == 0 ? try FileBytes.read(path) : Data())
    let start = Self.mark.count + 8
    let stored = file.dropFirst(Self.mark.count).prefix(8).reversed()
      .reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard file.starts(with: Self.mark), file.count > start,
      stored == Checksum.fnv1a(file.dropFirst(start)),
      let content = try? PropertyListDecoder().decode(
        Content.self, from: Data(file.dropFirst(start)))
    else {
      warn("\(path): damaged, or of another build; the run begins anew")
      return nil
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
}
