// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Training

#if MPI
  import MPIRanks
#endif

/// The ranks of a program: those that mpirun or srun started it with, else one, and then MPI is not touched.
enum StartedRanks {
  /// How several processes of this program were started.
  struct Launch: Equatable {
    /// The program that did it.
    var starter: String
    /// This process, from 0, and how many there are.
    var rank: Int, count: Int
    /// Whether MPI can find the others.
    var servesMPI: Bool

    /// What the environment says; nil for a single process. Within mpirun started by Slurm the former counts.
    init?(_ environment: [String: String]) {
      func number(_ name: String) -> Int? { environment[name].flatMap(Int.init) }
      if let count = number("OMPI_COMM_WORLD_SIZE") {
        (starter, rank, self.count) = ("mpirun", number("OMPI_COMM_WORLD_RANK") ?? 0, count)
        servesMPI = true
      } else if let count = number("SLURM_STEP_NUM_TASKS"), count > 1 {
        (starter, rank, self.count) = ("srun", number("SLURM_PROCID") ?? 0, count)
        servesMPI = environment["PMIX_RANK"] != nil
      } else {
        return nil
      }
    }
  }

  /// Throws a `RanksError` where several processes would each take themselves for the only one: for a build without MPI, and
  /// under an srun that does not serve it.
  static func join() throws -> any Ranks {
    guard let launch = Launch(ProcessInfo.processInfo.environment) else { return SingleRank() }
    let several = "started by \(launch.starter) as \(launch.count) processes, but"
    #if MPI
      guard launch.servesMPI else {
        throw refusal(launch, "\(several) without MPI; type srun --mpi=pmix, or mpirun")
      }
      let ranks = try MPIRanks()
      guard ranks.count == launch.count else {
        throw refusal(
          launch, "\(several) MPI sees \(ranks.count); use the srun or mpirun that it was built for"
        )
      }
      return ranks
    #else
      if launch.count == 1 { return SingleRank() }
      throw refusal(launch, "\(several) built without MPI; type make build MPI=1")
    #endif
  }

  /// The first process says it; the others wait, so that they do not end the job before, and end without a word.
  private static func refusal(_ launch: Launch, _ text: String) -> any Error {
    if launch.rank == 0 { return RanksError(text) }
    sleep(3)
    return ExitCode.failure
  }

  /// Waits, on all ranks but the first, for that one to end the job: what goes wrong on all is said once.
  static func yield(_ ranks: any Ranks) {
    if ranks.rank > 0 { sleep(3) }
  }
}
