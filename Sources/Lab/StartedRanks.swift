import Foundation
import Training

#if MPI
  import MPIRanks
#endif

/// The ranks of a program: those that mpirun started it with, else one, and then MPI is not touched.
enum StartedRanks {
  /// Throws a `RanksError` under mpirun for a build without MPI: each process would take itself for the only one.
  static func join() throws -> any Ranks {
    let size = ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_SIZE"]
    guard let size else { return SingleRank() }
    #if MPI
      _ = size
      return try MPIRanks()
    #else
      if size == "1" { return SingleRank() }
      throw RanksError("started by mpirun, but built without MPI; type make build MPI=1")
    #endif
  }

  /// Waits, on all ranks but the first, for that one to end the job: what goes wrong on all is said once.
  static func yield(_ ranks: any Ranks) {
    if ranks.rank > 0 { sleep(3) }
  }
}
