// SPDX-License-Identifier: Apache-2.0

#pragma once
#include <mpi.h>
#include <sched.h>
#include <stdlib.h>

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
// What is begun here is asked for by suite_mpi_is_done until it is, which frees the request.
static inline void *suite_mpi_start_send(void *bytes, int count, int rank, int tag) {
  MPI_Request *request = malloc(sizeof *request);
  if (request) MPI_Isend(bytes, count, MPI_BYTE, rank, tag, MPI_COMM_WORLD, request);
  return request;
}
static inline void *suite_mpi_start_receive(void *bytes, int count, int rank, int tag) {
  MPI_Request *request = malloc(sizeof *request);
  if (request) MPI_Irecv(bytes, count, MPI_BYTE, rank, tag, MPI_COMM_WORLD, request);
  return request;
}
static inline void *suite_mpi_start_broadcast(void *bytes, int count, int root) {
  MPI_Request *request = malloc(sizeof *request);
  if (request) MPI_Ibcast(bytes, count, MPI_BYTE, root, MPI_COMM_WORLD, request);
  return request;
}
static inline int suite_mpi_is_done(void *request) {
  int done = 0;
  MPI_Test(request, &done, MPI_STATUS_IGNORE);
  if (done) free(request);
  return done;
}
static inline void suite_mpi_yield(void) { sched_yield(); }
static inline void suite_mpi_finish(void) { MPI_Finalize(); }
