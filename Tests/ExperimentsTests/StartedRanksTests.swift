// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Lab

/// Who started several processes of a program, by the environment.
@Suite struct StartedRanksTests {
  typealias Launch = StartedRanks.Launch

  @Test func aSingleProcessIsNoLaunch() {
    #expect(Launch([:]) == nil)
    #expect(Launch(["SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"]) == nil)
    // A batch script's own environment, outside srun.
    #expect(Launch(["SLURM_NTASKS": "4", "SLURM_PROCID": "0"]) == nil)
  }

  @Test func mpirunIsKnownByItsSize() {
    let found = Launch(["OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"])
    #expect(found?.starter == "mpirun" && found?.rank == 2 && found?.count == 3)
    #expect(found?.servesMPI == true)
    // Its daemons on other nodes are started by srun.
    let within = Launch(["OMPI_COMM_WORLD_SIZE": "3", "SLURM_STEP_NUM_TASKS": "2"])
    #expect(within?.starter == "mpirun" && within?.count == 3)
  }

  @Test func srunServesMPIWithPMIxOnly() {
    let tasks = ["SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "1"]
    let plain = Launch(tasks)
    #expect(plain?.starter == "srun" && plain?.rank == 1 && plain?.count == 4)
    #expect(plain?.servesMPI == false)
    #expect(Launch(tasks.merging(["PMIX_RANK": "1"]) { $1 })?.servesMPI == true)
  }
}
