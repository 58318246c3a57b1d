// SPDX-License-Identifier: Apache-2.0

import LinearAlgebra

/// One differentiable operation on a tape: its forward rule and its vector-Jacobian product.
///
/// An operation lives in one file of its own in Operations/, with the function that records it. To add
/// one, add a file.
public protocol Operation: AnyObject {
  /// The tensors it reads, in order; parameters are read through their `tensor`.
  var inputs: [Tensor] { get }
  /// The tensor it makes.
  var output: Tensor { get }
  /// Whether the gradient of the output must outlive `backward` (a factored gradient borrows it).
  var lendsOutputGradient: Bool { get }
  /// Computes the output from the inputs.
  func forward(_ pool: WorkerPool)
  /// Takes the gradient of the output back to the inputs that need one: gradient = beta · gradient +
  /// vector-Jacobian product, with beta[i] (0 or 1) for input i.
  func backward(_ pool: WorkerPool, beta: [Float])
}

extension Operation {
  /// Most gradients are used up by `backward`.
  public var lendsOutputGradient: Bool { false }
}

/// The precision of the products of linear layers and of the classifier, forward and backward. Parameters, activations,
/// gradients, sums, and everything else (attention, normalization, loss, optimizer) are `Float` in both.
public enum ProductPrecision: String, Codable, Sendable, CaseIterable {
  /// Factors in `Float`.
  case fp32
  /// Factors rounded to bfloat16, for CPUs where `BFloat16.isSupported`.
  case bf16
}

/// Records a computation once and runs it forward and backward as often as wanted.
///
/// Recording allocates every buffer, so that a step of training allocates nothing: fill the input
/// tensors, `forward()`, `backward()`. Gradient buffers of intermediate results are shared between
/// operations whose gradients do not live at the same time.
///
///     let tape = Tape()
///     let x = tape.input([32, 100]), y = tape.input([32, 1])
///     let loss = tape.meanSquaredError(model(tape, x), y)
///     x.assign(…); y.assign(…)
///     tape.forward(); tape.backward(from: loss)
public final class Tape {
  /// The threads its operations share out their pieces to.
  public let pool: WorkerPool
  /// Whether layers that behave differently in training (dropout, batch norm) should train.
  public let isTraining: Bool
  /// How linear layers and the classifier multiply.
  public let precision: ProductPrecision
  /// What becomes of the gradients of linear layers' weights.
  public let weightGradients: WeightGradients
  /// See `weightGradients`. Factors borrow the tape's buffers: they are good until an input is filled
  /// or the tape runs again, so they cannot be accumulated over batches.
  public enum WeightGradients: Sendable {
    /// Multiplied out.
    case dense
    /// Left as a product of factors where a batch is so small that the rank is far below full.
    case lowRank
    /// Left as a product of factors always, so that single samples can be told apart.
    case perSample
  }
  /// What the randomness of dropout is keyed by; raise it for every mini-batch.
  public var step: UInt64 = 0
  private let dropoutStream: RandomStream
  private var dropouts = 0
  private let buffers = BufferPool()
  private var operations: [any Operation] = []
  private var plan: Plan?

  /// The order of the backward pass: operations that the loss depends on, last first.
  private struct Plan {
    let loss: Tensor
    var steps: [(operation: any Operation, fresh: [Float], accumulating: [Float])] = []
    /// For each step the tensors that no operation made and whose gradients are complete behind it.
    var finished: [[Tensor]] = []
  }

  /// An empty tape.
  public init(
    pool: WorkerPool = .single, isTraining: Bool = true,
    weightGradients: WeightGradients = .dense, precision: ProductPrecision = .fp32,
    dropoutStream: RandomStream = RandomStream(seed: 0, name: "dropout")
  ) {
    self.dropoutStream = dropoutStream
    self.weightGradients = weightGradients
    self.pool = pool
    self.isTraining = isTraining
    self.precision = precision
    precondition(precision == .fp32 || BFloat16.isSupported, "bf16 on a CPU without it")
  }

  /// A tensor to be filled before `forward()`.
  public func input(_ shape: [Int]) -> Tensor {
    Tensor(shape: shape, value: Buffer(count: shape.reduce(1, *)), needsGradient: false)
  }

  /// Whole numbers to be filled in before `forward()`.
  public func indices(_ shape: [Int]) -> Indices { Indices(shape: shape) }

  /// The stream of the next operation that drops elements: they are numbered in the order of recording.
  func nextDropoutStream() -> RandomStream {
    dropouts += 1
    return dropoutStream.child("\(dropouts - 1)")
  }

  /// The output tensor of an operation on `inputs`.
  public func output(_ shape: [Int], of inputs: [Tensor]) -> Tensor {
    Tensor(
      shape: shape, value: buffers.take(shape.reduce(1, *)),
      needsGradient: inputs.contains { $0.needsGradient })
  }

  /// Room for an operation's own intermediate results.
  public func scratch(_ count: Int) -> Buffer { buffers.take(count) }

  /// Room that operations share, for results that nobody needs after their forward or backward pass.
  let workspace = Workspace()

  /// Appends an operation and returns its output.
  public func record(_ operation: any Operation) -> Tensor {
    precondition(plan == nil, "recording on a tape after its first backward pass")
    operations.append(operation)
    return operation.output
  }

  /// Number of buffers allocated so far; constant once the first step is done.
  public var allocations: Int { buffers.allocations }

  /// Runs every operation in the order of recording.
  public func forward() {
    for operation in operations { operation.forward(pool) }
  }

  /// Differentiates the one-element tensor `loss`: every parameter's gradient is replaced, or added to
  /// if `accumulating` (for a batch in several parts, gradients `.dense`). After each operation `didStep` is told whose
  /// gradients of trained tensors are complete by now.
  public func backward(
    from loss: Tensor, accumulating: Bool = false, didStep: ([Tensor]) -> Void = { _ in }
  ) {
    if plan == nil || plan?.loss !== loss { makePlan(loss) }
    guard let plan, let seed = loss.gradient else { return }
    precondition(
      !accumulating || weightGradients == .dense, "factored gradients cannot be accumulated")
    seed.base[0] = 1
    for (step, finished) in zip(plan.steps, plan.finished) {
      step.operation.backward(pool, beta: accumulating ? step.accumulating : step.fresh)
      didStep(finished)
    }
  }

  /// Decides which operations take part, who writes a gradient first, and which gradients share a buffer.
  private func makePlan(_ loss: Tensor) {
    precondition(loss.count == 1, "the gradient of a tensor\(loss.shape): needs a scalar")
    precondition(plan == nil, "a tape differentiates one loss")
    var plan = Plan(loss: loss)
    let made = Set(operations.map { ObjectIdentifier($0.output) })
    var written: Set<ObjectIdentifier> = [ObjectIdentifier(loss)]
    loss.gradient = buffers.take(1)
    for operation in operations.reversed() {
      let output = operation.output
      guard output.needsGradient, written.contains(ObjectIdentifier(output)) else { continue }
      var fresh: [Float] = []
      var accumulating: [Float] = []
      for input in operation.inputs {
        let isFirst = input.needsGradient && written.insert(ObjectIdentifier(input)).inserted
        let isIntermediate = made.contains(ObjectIdentifier(input))
        if isFirst && isIntermediate { input.gradient = buffers.take(input.count) }
        fresh.append(isFirst ? 0 : 1)
        accumulating.append(isFirst && isIntermediate ? 0 : 1)
      }
      plan.steps.append((operation, fresh, accumulating))
      if !operation.lendsOutputGradient, output !== loss, let used = output.gradient {
        buffers.giveBack(used)
      }
    }
    // Seen from the end, the first step that writes a gradient is the last one.
    var seen: Set<ObjectIdentifier> = []
    plan.finished = plan.steps.reversed().map { step in
      step.operation.inputs.filter {
        $0.needsGradient && !made.contains(ObjectIdentifier($0))
          && seen.insert(ObjectIdentifier($0)).inserted
      }
    }.reversed()
    self.plan = plan
  }
}
