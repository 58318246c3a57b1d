#pragma once
#include <mpi.h>

// MPI's handles are macros with casts, which Swift does not import. A failure ends all ranks (MPI_ERRORS_ARE_FATAL).

/// The level of threads that was given.
static inline int suite_mpi_start(void) {
  int given = MPI_THREAD_SINGLE;
  MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &given);
  return given;
}
static inline int suite_mpi_serialized(void) { return MPI_THREAD_SERIALIZED; }
static inline int suite_mpi_rank(void) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}
static inline int suite_mpi_count(void) {
  int count = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &count);
  return count;
}
static inline void suite_mpi_send(void *bytes, int count, int rank) {
  MPI_Send(bytes, count, MPI_BYTE, rank, 0, MPI_COMM_WORLD);
}
static inline void suite_mpi_receive(void *bytes, int count, int rank) {
  MPI_Recv(bytes, count, MPI_BYTE, rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}
static inline void suite_mpi_broadcast(void *bytes, int count, int root) {
  MPI_Bcast(bytes, count, MPI_BYTE, root, MPI_COMM_WORLD);
}
static inline void suite_mpi_finish(void) { MPI_Finalize(); }
