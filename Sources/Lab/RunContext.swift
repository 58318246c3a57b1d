// SPDX-License-Identifier: Apache-2.0

import Foundation
import Storage
import Training

/// What a run may use of the world around it.
package struct RunContext: Sendable {
  /// Where the run saves its unfinished state, nil for none.
  package var checkpointPath: String?
  /// A folder in which processes that share a job leave their results, and what else the job's own state is, nil for none.
  package var piecesFolder: String?
  /// The only part of the job to compute, nil for all of it.
  package var share: Share?
  /// Whether nothing is to be computed but what is left when all results are there.
  package var onlyGathers = false
  /// Where the run is to leave the weights it trained, nil for nowhere.
  package var weightsPath: String?
  /// What the state belongs to.
  package var identity: [String] = []
  /// Seconds between two saves.
  package var checkpointSeconds = 60.0
  /// Threads inside the run.
  package var threads = 1
  /// The processes that share the run.
  package var ranks: any Ranks = SingleRank()
  /// Where data sets lie.
  package var data = DataFolder("data")
  /// Where warnings go.
  package var note: @Sendable (String) -> Void = { _ in }
  /// Called as steps are done, with what there is to say of the run.
  package var progress: @Sendable (Int, () -> String) -> Void = { _, _ in }
  /// Called before each step with the number of steps done so far; tests throw here to kill a run.
  package var willStep: (@Sendable (Int) throws -> Void)?

  /// A context without checkpoint, progress or interruptions.
  package init() {}

  /// `units` more steps are done; `status` is asked for only where it is shown.
  package func advance(_ units: Int, status: @autoclosure () -> String = "") {
    progress(units, status)
  }

  /// Computes `count` independent results, `threads` of them at a time, in any order.
  ///
  /// What is finished survives a kill through the checkpoint; `progress` says how many steps a result was.
  package func parallelMap<Result: Codable & Sendable>(
    _ count: Int, progress: Int, _ body: @escaping @Sendable (Int) throws -> Result
  ) throws -> [Result] {
    try board(Result.self, count: count).map(0..<count, progress: { _ in progress }, body)
  }

  /// A board for `count` results that are computed in stages, each when those before it are known.
  package func board<Result: Codable & Sendable>(
    _ type: Result.Type, count: Int
  ) throws -> ResultBoard<Result> {
    try ResultBoard(count: count, self)
  }

  /// The checkpoint of this run for a state of type `State`.
  package func checkpoint<State: Codable>(_ state: State.Type) -> Checkpoint<State>? {
    checkpointPath.map { checkpoint(state, at: $0) }
  }

  /// Where the process that computes a share keeps the state of one result, by name; nil outside a share.
  package func pieceCheckpoint<State: Codable>(
    _ state: State.Type, _ name: String
  ) -> Checkpoint<State>? {
    guard share != nil else { return nil }
    return piecesFolder.map { checkpoint(state, at: "\($0)/\(name).state") }
  }

  private func checkpoint<State: Codable>(
    _ state: State.Type, at path: String
  ) -> Checkpoint<State> {
    Checkpoint(
      path: path, identity: identity, secondsBetween: checkpointSeconds, ranks: ranks,
      warn: note)
  }

  /// What is known already of the results of a job, of this process and of others.
  fileprivate func known<Result: Codable>(_ count: Int) throws -> [Result?] {
    var files = checkpointPath.map { [$0] } ?? []
    if let folder = piecesFolder {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      files += names.filter { $0.hasSuffix(".piece") }.sorted().map { "\(folder)/\($0)" }
    }
    var results = [Result?](repeating: nil, count: count)
    for file in files {
      guard let saved = try checkpoint([Result?].self, at: file).load(), saved.count == count
      else { continue }
      for (index, result) in saved.enumerated() where result != nil { results[index] = result }
    }
    return results
  }

  /// Where the results of this process go.
  fileprivate func boardCheckpoint<Result: Codable>(
    _ result: Result.Type
  ) -> Checkpoint<[Result?]>? {
    guard let share, let piecesFolder else { return checkpoint([Result?].self) }
    return checkpoint([Result?].self, at: "\(piecesFolder)/\(share.fileName)")
  }
}

/// Independent results as they come in; what is finished survives a kill through the checkpoint.
package final class ResultBoard<Result: Codable & Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private let context: RunContext
  private var results: [Result?]
  private var checkpoint: Checkpoint<[Result?]>?
  private var stage = -1

  /// Takes over what an earlier process finished.
  init(count: Int, _ context: RunContext) throws {
    self.context = context
    results = try context.known(count)
    checkpoint = context.boardCheckpoint(Result.self)
  }

  /// The results `range`: those that are missing are computed, `threads` at a time, in any order; `progress` says how
  /// many steps one was.
  ///
  /// In a process that computes a share, throws `Share.Done` when that is saved, and a `StorageError` if an earlier stage has
  /// not all its results.
  package func map(
    _ range: Range<Int>, progress: (Int) -> Int, _ body: @escaping @Sendable (Int) throws -> Result
  ) throws -> [Result] {
    stage += 1
    let unknown = lock.withLock { range.filter { results[$0] == nil } }
    let steps = range.map(progress)
    context.advance(
      steps.reduce(0, +) - unknown.reduce(0) { $0 + steps[$1 - range.lowerBound] })
    let isShared = context.share?.stage == stage
    let missing = unknown.filter { index in
      guard let share = context.share, isShared else { return true }
      return (index - range.lowerBound) / share.size == share.block
    }
    if context.share != nil || context.onlyGathers, !isShared, !missing.isEmpty {
      throw StorageError(
        "stage \(stage) has \(range.count - missing.count) of its \(range.count) results",
        at: context.piecesFolder ?? "a shared run",
        hint: "spectral jobs says why; the command that submitted it submits what is missing")
    }
    do {
      try runSideBySide(count: missing.count, jobs: context.threads) { [context] index in
        try context.willStep?(missing[index])
        let result = try body(missing[index])
        try self.put(result, at: missing[index])
        context.advance(steps[missing[index] - range.lowerBound])
      }
    } catch let ended as Interruption.Ended {
      // A result that was given up in its middle saved nothing; those beside it are kept.
      try lock.withLock { try checkpoint?.save(results) }
      throw ended
    }
    if isShared {
      try lock.withLock { try checkpoint?.save(results) }
      throw Share.Done()
    }
    return lock.withLock { range.compactMap { results[$0] } }
  }

  private func put(_ result: Result, at index: Int) throws {
    try lock.withLock {
      results[index] = result
      if checkpoint?.isDue ?? false { try checkpoint?.save(results) }
    }
  }
}
