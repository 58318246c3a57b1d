// SPDX-License-Identifier: Apache-2.0

import Autodiff
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

    func has(from: Int, to: Int) -> Bool {
      condition.lock()
      defer { condition.unlock() }
      return !letters[[from, to], default: []].isEmpty
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
  /// Letters of a tag have a box of their own; the sender's bytes are copied at once.
  func startSending(
    _ bytes: UnsafeMutableRawBufferPointer, to other: Int, tag: Int
  ) -> any Transfer {
    post.put(Data(bytes), from: rank + 1000 * (tag + 1), to: other)
    return Letter { true }
  }
  func startReceiving(
    into bytes: UnsafeMutableRawBufferPointer, from other: Int, tag: Int
  ) -> any Transfer {
    let (box, rank, post) = (other + 1000 * (tag + 1), rank, post)
    var isHere = false
    return Letter {
      if !isHere, post.has(from: box, to: rank) {
        bytes.copyBytes(from: post.take(from: box, to: rank))
        isHere = true
      }
      return isHere
    }
  }
  final class Letter: Transfer {
    let ask: () -> Bool
    init(_ ask: @escaping () -> Bool) { self.ask = ask }
    var isDone: Bool { ask() }
  }
  func pause() { sched_yield() }
  var bytesSent: Int { 0 }
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

  /// Rules and optimizers whose work ranks share: by the joint norm, layer by layer with thresholds, sketches and momenta that
  /// each remembers; and two that see everything.
  enum Pair: CaseIterable, Sendable { case norm, spectral, momentum, coordinate, scion, unknown }

  /// A rule that knows nothing of shares.
  private struct Halving: GradientTransform {
    func apply(to gradients: Gradients) throws {
      try NormClip(maximumNorm: 1).apply(to: gradients)
      for layer in gradients.layers { layer.gradient.materialized.scale(to: 0.5, from: 1) }
    }
  }

  static func trainer(
    _ microBatches: Int, poison: Int = -1, _ pair: Pair = .norm
  ) throws -> Trainer<Toy> {
    let task = Toy(microBatches: microBatches)
    task.poison = poison
    func layerwise(_ rule: ThresholdRule) throws -> LayerwiseSpectralClip {
      try LayerwiseSpectralClip(
        rule, .randomized(rank: 1, oversampling: 1), layers: task.parameters.map(\.name), seed: 4,
        start: .lastBasis)
    }
    let (rule, optimizer): (any GradientTransform, any Optimizer) =
      switch pair {
      case .norm: (try NormClip(maximumNorm: 0.5), Adam())
      case .spectral:
        (
          try layerwise(.quantile(level: 0.5, window: 3, .lowerOrderStatistic)), SGD(momentum: 0.9)
        )
      case .momentum:
        (try MomentumSpectralClip(layerwise(.constant(0.1)), momentum: 0.9), SGD(momentum: 0))
      case .coordinate: (try CoordinateClip(limit: 0.01), ACClip())
      case .scion: (NoClip(), ClippedScion(radius: 1))
      case .unknown: (Halving(), Adam(isDecoupled: true))
      }
    return Trainer(
      task,
      try ClippedOptimizer(
        rule, optimizer, of: task.parameters, rate: LearningRate(0.05, steps: 1000)))
  }

  static func outcome(
    _ trainer: Trainer<Toy>, _ ranks: any Ranks, steps: Int, isShared: Bool = false
  ) throws -> Outcome {
    if !isShared { try trainer.share(over: ranks) }
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

  @Test(arguments: Pair.allCases)
  func clipAndOptimizerAreSharedOut(_ pair: Pair) throws {
    let alone = try Self.outcome(Self.trainer(4, pair), SingleRank(), steps: 5)
    for count in 2...4 {
      let all = try ThreadRanks.run(count) {
        try Self.outcome(Self.trainer(4, pair), $0, steps: 5)
      }
      #expect(all == Array(repeating: alone, count: count), "\(count) ranks")
    }
  }

  /// Whoever looks sees all layers, in their order and to the same bits.
  @Test func whatIsMeasuredIsGathered() throws {
    @Sendable func report(_ ranks: any Ranks) throws -> ([String], [ClipStatistics], [Double]) {
      let trainer = try Self.trainer(4, .spectral)
      try trainer.share(over: ranks)
      try trainer.advance()
      let report = try trainer.advance(measuring: [.clip, .update])
      let clip = try #require(report.clip)
      return (
        clip.layers.map(\.name), clip.layers.map(\.statistics),
        [clip.normBefore, clip.normAfter, report.updateNorm ?? .nan]
      )
    }
    let alone = try report(SingleRank())
    for other in try ThreadRanks.run(3, report) {
      #expect(other.0 == alone.0 && other.1 == alone.1 && other.2 == alone.2)
    }
  }

  /// One parameter's gradient is not finite: only its owner sees that.
  @Test func aGradientThatIsNotFiniteIsDivergenceOnAllRanks() throws {
    let ends = try ThreadRanks.run(3) { ranks in
      let trainer = try Self.trainer(3, .coordinate)
      let (first, second) = (trainer.task.parameters[0], trainer.task.parameters[1])
      trainer.task.lossLimit = .infinity
      // One of two units is huge and counts little: the loss is finite, the second layer's gradient is not.
      (first.base[0], first.base[3]) = (1e25, -1e25)
      for i in 0..<second.count { second.base[i] = 1e-7 }
      try trainer.share(over: ranks)
      let report = try trainer.advance()
      #expect(report.loss.isFinite)
      return trainer.divergedAt
    }
    #expect(ends == [0, 0, 0])
  }

  @Test func ownersAreBalancedByCost() {
    #expect(ClippedOptimizer.balanced([1, 1, 1, 1], over: 2) == [0, 1, 0, 1])
    #expect(ClippedOptimizer.balanced([1, 9, 4, 5], over: 2) == [0, 0, 1, 1])
    #expect(ClippedOptimizer.balanced([3], over: 4) == [0])
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
    #expect(GradientTree.blocks(of: 0..<7).map(\.level) == [2, 1, 0])
    #expect(GradientTree.blocks(of: 3..<6).map(\.level) == [0, 1])
    #expect(GradientTree.blocks(of: 1..<8).map(\.level) == [0, 1, 2])
    #expect(GradientTree.blocks(of: 1..<8).map(\.start) == [1, 2, 4])
    #expect(GradientTree.blocks(of: 4..<4).isEmpty)
  }

  /// Each trained tensor is named once, when nothing is added to its gradient any more; also one that is used twice.
  @Test func theTapeSaysWhichGradientsAreComplete() throws {
    let tape = Tape()
    let (x, y) = (tape.input([2, 3]), tape.input([2, 3]))
    let (first, tied) = (Parameter("first", shape: [3, 3]), Parameter("tied", shape: [3, 3]))
    for (parameter, name) in [(first, "a"), (tied, "b")] {
      parameter.tensor.assign(RandomStream(seed: 6, name: name).normals(9))
    }
    let middle = tape.linear(tape.linear(x, tied), first)
    let loss = tape.meanSquaredError(tape.linear(middle, tied), y)
    x.assign([1, 2, 3, -1, 0, 2])
    tape.forward()
    var seen: [(parameter: Parameter, gradient: [Float])] = []
    tape.backward(from: loss) { finished in
      for tensor in finished {
        let parameter = tensor === tied.tensor ? tied : first
        seen.append((parameter, parameter.tensor.gradient?.array ?? []))
      }
    }
    #expect(seen.map(\.parameter.name) == ["first", "tied"])
    for (parameter, gradient) in seen {
      #expect(gradient == parameter.tensor.gradient?.array && gradient.contains { $0 != 0 })
    }
  }

  @Test func allRanksDivergeTogether() throws {
    let all = try ThreadRanks.run(3) {
      // Only the last rank's own part is poisoned.
      try Self.outcome(Self.trainer(3, poison: $0.rank == 2 ? 1 : -1), $0, steps: 4)
    }
    #expect(all.map(\.divergedAt) == [1, 1, 1])
    #expect(all[0].model == all[1].model && all[1].model == all[2].model)
  }

  @Test(arguments: Pair.allCases)
  func aCheckpointGoesOnOnAnotherNumberOfRanks(_ pair: Pair) throws {
    let whole = try Self.outcome(Self.trainer(5, pair), SingleRank(), steps: 6)
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
      let trainer = try Self.trainer(5, pair)
      _ = try Self.outcome(trainer, ranks, steps: 4)
      var checkpoint = checkpoint(ranks)
      #expect(checkpoint.isDue)
      try checkpoint.save(trainer.state())
    }
    for count in [1, 3, 5] {
      let models = try ThreadRanks.run(count) { ranks in
        let trainer = try Self.trainer(5, pair)
        // In either order.
        if count == 3 { try trainer.share(over: ranks) }
        try trainer.restore(try #require(try checkpoint(ranks).load()))
        return try Self.outcome(trainer, ranks, steps: 6, isShared: count == 3).model
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
