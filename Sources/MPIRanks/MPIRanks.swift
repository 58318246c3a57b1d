// SPDX-License-Identifier: Apache-2.0

import CMPI
import Training

/// The ranks that mpirun has started; built with `make MPI=1` only.
public struct MPIRanks: Ranks {
  /// See `Ranks`.
  public let rank: Int
  /// See `Ranks`.
  public let count: Int
  private let counter = Counter()
  /// MPI counts in 32 bits.
  private static let largest = 1 << 30

  /// Joins the other ranks; called once in a process that mpirun has started.
  ///
  /// Throws a `RanksError` for an MPI that may be called from one thread only.
  public init() throws {
    guard suite_mpi_start() >= suite_mpi_serialized() else {
      throw RanksError(
        "this MPI may be called from one thread only; use one with MPI_THREAD_SERIALIZED")
    }
    (rank, count) = (Int(suite_mpi_rank()), Int(suite_mpi_count()))
  }

  /// See `Ranks`.
  public func send(_ bytes: UnsafeMutableRawBufferPointer, to rank: Int) {
    counter.bytes += bytes.count
    inPieces(bytes) { suite_mpi_send($0, $1, Int32(rank)) }
  }

  /// See `Ranks`.
  public func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int) {
    inPieces(bytes) { suite_mpi_receive($0, $1, Int32(rank)) }
  }

  /// See `Ranks`.
  public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {
    note(bytes, from: root)
    inPieces(bytes) { suite_mpi_broadcast($0, $1, Int32(root)) }
  }

  /// See `Ranks`.
  public func broadcast(_ pieces: [(bytes: UnsafeMutableRawBufferPointer, root: Int)]) {
    let requests = Requests()
    for (bytes, root) in pieces {
      note(bytes, from: root)
      inPieces(bytes) { requests.add(suite_mpi_start_broadcast($0, $1, Int32(root))) }
    }
    while !requests.isDone { pause() }
  }

  /// See `Ranks`.
  public func startSending(
    _ bytes: UnsafeMutableRawBufferPointer, to rank: Int, tag: Int
  ) -> any Transfer {
    counter.bytes += bytes.count
    let requests = Requests()
    inPieces(bytes) { requests.add(suite_mpi_start_send($0, $1, Int32(rank), Int32(tag + 1))) }
    return requests
  }

  /// See `Ranks`.
  public func startReceiving(
    into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int
  ) -> any Transfer {
    let requests = Requests()
    inPieces(bytes) { requests.add(suite_mpi_start_receive($0, $1, Int32(rank), Int32(tag + 1))) }
    return requests
  }

  /// See `Ranks`: where ranks share a core another one may want it.
  public func pause() { suite_mpi_yield() }

  /// See `Ranks`.
  public var bytesSent: Int { counter.bytes }

  private func note(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {
    if root == rank { counter.bytes += bytes.count * (count - 1) }
  }

  /// See `Ranks`.
  public func finish() { suite_mpi_finish() }

  private func inPieces(
    _ bytes: UnsafeMutableRawBufferPointer, _ body: (UnsafeMutableRawPointer, Int32) -> Void
  ) {
    guard let base = bytes.baseAddress else { return }
    for start in stride(from: 0, to: bytes.count, by: Self.largest) {
      body(base + start, Int32(min(Self.largest, bytes.count - start)))
    }
  }
}

/// Counts on one thread: MPI is called from one at a time.
private final class Counter: @unchecked Sendable {
  var bytes = 0
}

/// What was begun and is not done.
private final class Requests: Transfer {
  private var open: [UnsafeMutableRawPointer] = []

  func add(_ request: UnsafeMutableRawPointer?) {
    guard let request else { preconditionFailure("no memory for a request of MPI") }
    open.append(request)
  }

  var isDone: Bool {
    open.removeAll { suite_mpi_is_done($0) != 0 }
    return open.isEmpty
  }
}
