import Clipping
import Foundation
import LinearAlgebra
import Optimizers
import Synchronization
import Testing

@testable import Training

/// Ranks that are threads of one process, with a mailbox for each pair.
private struct ThreadRanks: Ranks {
  let rank: Int
  let count: Int
  let post: Post

  final class Post: @unchecked Sendable {
    private let condition = NSCondition()
    private var letters: [[Int]: [Data]] = [:]

    func put(_ letter: Data, from: Int, to: Int) {
      condition.lock()
      letters[[from, to], default: []].append(letter)
      condition.broadcast()
      condition.unlock()
    }

    func take(from: Int, to: Int) -> Data {
      condition.lock()
      defer { condition.unlock() }
      while letters[[from, to], default: []].isEmpty { condition.wait() }
      return letters[[from, to], default: []].removeFirst()
    }

    var isEmpty: Bool { letters.values.allSatisfy(\.isEmpty) }
  }

  func send(_ bytes: UnsafeMutableRawBufferPointer, to other: Int) {
    post.put(Data(bytes), from: rank, to: other)
  }
  func receive(into bytes: UnsafeMutableRawBufferPointer, from other: Int) {
    let letter = post.take(from: other, to: rank)
    precondition(letter.count == bytes.count, "\(letter.count) bytes for \(bytes.count)")
    bytes.copyBytes(from: letter)
  }
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {
    if rank != root { return receive(into: bytes, from: root) }
    for other in 0..<count where other != rank { send(bytes, to: other) }
  }
  func finish() {}

  /// What `body` returns on each of `count` ranks.
  static func run<T: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (any Ranks) throws -> T
  ) throws -> [T] {
    let post = Post()
    let results = Mutex<[Int: T]>([:])
    try runSideBySide(count: count, jobs: count) { rank in
      let result = try body(ThreadRanks(rank: rank, count: count, post: post))
      results.withLock { $0[rank] = result }
    }
    #expect(post.isEmpty, "letters that nobody took")
    return results.withLock { all in (0..<count).compactMap { all[$0] } }
  }
}

/// One run on several ranks is the run on one, bit for bit.
@Suite struct RanksTests {
  typealias Toy = TrainerTests.Toy

  struct Outcome: Equatable, Sendable {
    var model: [[Float]]
    var losses: [Double]
    var divergedAt: Int?
  }

  static func trainer(_ microBatches: Int, poison: Int = -1) throws -> Trainer<Toy> {
    let task = Toy(microBatches: microBatches)
    task.poison = poison
    return Trainer(
      task,
      try ClippedOptimizer(
        NormClip(maximumNorm: 0.5), Adam(), of: task.parameters,
        rate: LearningRate(0.05, steps: 1000)))
  }

  static func outcome(
    _ trainer: Trainer<Toy>, _ ranks: any Ranks, steps: Int
  ) throws -> Outcome {
    try trainer.share(over: ranks)
    var losses: [Double] = []
    while trainer.step < steps, trainer.divergedAt == nil {
      losses.append(try trainer.advance().loss)
    }
    return Outcome(
      model: trainer.task.modelState, losses: trainer.divergedAt == nil ? losses : [],
      divergedAt: trainer.divergedAt)
  }

  @Test(arguments: [2, 3, 4, 5, 6, 7, 8, 11])
  func anyNumberOfRanksGivesTheSameBits(_ microBatches: Int) throws {
    let alone = try Self.outcome(Self.trainer(microBatches), SingleRank(), steps: 3)
    for count in 2...min(microBatches, 7) {
      let all = try ThreadRanks.run(count) {
        try Self.outcome(Self.trainer(microBatches), $0, steps: 3)
      }
      #expect(all == Array(repeating: alone, count: count), "\(count) ranks")
    }
  }

  @Test func sharesAreAPartitionAndDifferByOneAtMost() {
    for total in 1...12 {
      for count in 1...total {
        let shares = (0..<count).map {
          ThreadRanks(rank: $0, count: count, post: .init()).share(of: total)
        }
        #expect(shares.flatMap { Array($0) } == Array(0..<total))
        let sizes = shares.map(\.count)
        #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
      }
    }
  }

  /// The sums that a range ends in: the largest aligned blocks, from the left.
  @Test func aRangeEndsInAlignedBlocks() {
    #expect(GradientTree.levels(of: 0..<7) == [2, 1, 0])
    #expect(GradientTree.levels(of: 3..<6) == [0, 1])
    #expect(GradientTree.levels(of: 1..<8) == [0, 1, 2])
    #expect(GradientTree.levels(of: 4..<4) == [])
  }

  @Test func allRanksDivergeTogether() throws {
    let all = try ThreadRanks.run(3) {
      // Only the last rank's own part is poisoned.
      try Self.outcome(Self.trainer(3, poison: $0.rank == 2 ? 1 : -1), $0, steps: 4)
    }
    #expect(all.map(\.divergedAt) == [1, 1, 1])
    #expect(all[0].model == all[1].model && all[1].model == all[2].model)
  }

  @Test func aCheckpointGoesOnOnAnotherNumberOfRanks() throws {
    let whole = try Self.outcome(Self.trainer(5), SingleRank(), steps: 6)
    let folder = FileManager.default.temporaryDirectory.path + "/ranks-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    @Sendable func checkpoint(_ ranks: any Ranks) -> Checkpoint<Trainer<Toy>.State> {
      // Only the first rank can reach the file.
      Checkpoint(
        path: "\(folder)/\(ranks.rank == 0 ? "" : "missing/")state", identity: ["a = 1"],
        secondsBetween: ranks.rank == 0 ? 0 : 1e9, ranks: ranks)
    }
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true)
    _ = try ThreadRanks.run(2) { ranks in
      let trainer = try Self.trainer(5)
      _ = try Self.outcome(trainer, ranks, steps: 4)
      var checkpoint = checkpoint(ranks)
      #expect(checkpoint.isDue)
      try checkpoint.save(trainer.state())
    }
    for count in [1, 3, 5] {
      let models = try ThreadRanks.run(count) { ranks in
        let trainer = try Self.trainer(5)
        try trainer.restore(try #require(try checkpoint(ranks).load()))
        return try Self.outcome(trainer, ranks, steps: 6).model
      }
      #expect(models == Array(repeating: whole.model, count: count))
    }
  }

  @Test func whatRanksCannotShareIsOneLine() throws {
    func error(_ trainer: Trainer<Toy>, ranks count: Int) -> String {
      do {
        try trainer.share(over: ThreadRanks(rank: 0, count: count, post: .init()))
        return ""
      } catch { return "\(error)" }
    }
    #expect(try error(Self.trainer(3), ranks: 4).contains("4 ranks cannot share 3 micro-batches"))
    #expect(try error(Self.trainer(1), ranks: 2).contains("1 micro-batch a step"))
    #expect(try error(Self.trainer(3), ranks: 3) == "")
    let task = Toy(microBatches: 4)
    let micro = Trainer(
      task,
      try ClippedOptimizer(
        NormClip(maximumNorm: 0.5), SGD(), of: task.parameters,
        rate: LearningRate(0.05, steps: 9)), clipsMicroBatches: true)
    #expect(error(micro, ranks: 2).contains("clips each micro-batch"))
  }

  @Test func ranksWithAnotherTextAreNamed() throws {
    #expect(try ThreadRanks.run(3) { $0.firstDiffering("same") } == [nil, nil, nil])
    #expect(
      try ThreadRanks.run(3) { $0.firstDiffering($0.rank == 2 ? "other" : "same") } == [2, 2, 2])
  }
}
