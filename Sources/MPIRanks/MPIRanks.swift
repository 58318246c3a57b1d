import CMPI
import Training

/// The ranks that mpirun has started; built with `make MPI=1` only.
public struct MPIRanks: Ranks {
  /// See `Ranks`.
  public let rank: Int
  /// See `Ranks`.
  public let count: Int
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
    inPieces(bytes) { suite_mpi_send($0, $1, Int32(rank)) }
  }

  /// See `Ranks`.
  public func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int) {
    inPieces(bytes) { suite_mpi_receive($0, $1, Int32(rank)) }
  }

  /// See `Ranks`.
  public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) {
    inPieces(bytes) { suite_mpi_broadcast($0, $1, Int32(root)) }
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
