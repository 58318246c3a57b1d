// SPDX-License-Identifier: Apache-2.0

/* libspectralclip: spectral gradient clipping for programs in any language.
 *
 * C_tau(G) = U diag(min(sigma_i, tau)) V^T of a row-major matrix G[rows, columns] = U diag(sigma) V^T, in place:
 * arXiv 2605.11838, equations (2) to (4); thresholds of layers: equations (8) to (10).
 *
 * Every function returns a spectralclip_status. Arguments are checked: a call that is refused changes nothing, and none
 * ends the process, as long as pointers that are not NULL point at what they claim. `row_stride` is the distance between
 * the first entries of two rows, in entries, at least `columns`; what lies between rows is not touched.
 *
 * All functions may be called from several threads at once. While a call runs, OpenBLAS works on one thread; its setting
 * is afterwards what it was before. */
#ifndef SPECTRALCLIP_H
#define SPECTRALCLIP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t spectralclip_status;
enum {
  SPECTRALCLIP_OK = 0,
  SPECTRALCLIP_NULL_POINTER = 1,     /* a pointer that is needed is NULL */
  SPECTRALCLIP_BAD_SIZE = 2,         /* rows, columns or a count below 1, more than a million layers, another number than the clipper has */
  SPECTRALCLIP_BAD_STRIDE = 3,       /* row_stride below columns */
  SPECTRALCLIP_TOO_LARGE = 4,        /* more than 2^31 - 1 entries, a shorter side above 16384, or an address that overflows */
  SPECTRALCLIP_MISALIGNED = 5,       /* a pointer that is no multiple of the entry's size */
  SPECTRALCLIP_OVERLAP = 6,          /* two layers whose memory, from first to last entry, overlaps: columns of one matrix too */
  SPECTRALCLIP_NOT_FINITE = 7,       /* a NaN or an infinity among the entries */
  SPECTRALCLIP_BAD_THRESHOLD = 8,    /* a threshold that is negative or NaN; 0 is allowed, and infinity switches clipping off */
  SPECTRALCLIP_BAD_PARAMETER = 9,    /* rank, oversampling, power iterations, threads, coefficient, level or window out of range */
  SPECTRALCLIP_BAD_HANDLE = 10,      /* a handle that was never given out, or is destroyed */
  SPECTRALCLIP_BAD_STATE = 11,       /* bytes that spectralclip_save did not write, or wrote for another clipper */
  SPECTRALCLIP_BUFFER_TOO_SMALL = 12,/* *size says how many bytes are needed */
  SPECTRALCLIP_OUT_OF_MEMORY = 13,
  SPECTRALCLIP_NOT_CONVERGED = 14    /* a decomposition failed */
};

/* One line of English for a status, also for numbers that are none; valid for ever, not to be freed. */
const char *spectralclip_message(spectralclip_status status);

/* "major.minor.patch" of the library; not to be freed. */
const char *spectralclip_version(void);

/* What clipping did to one matrix. */
typedef struct {
  double sigma_max;       /* the largest singular value, an estimate from below by a randomized clip, NaN where it was not needed */
  double tau;             /* the threshold that was applied, infinite where there was none */
  double norm_before;     /* Frobenius norms */
  double norm_after;
  int64_t clipped;        /* singular values above tau that were clipped */
  int64_t remaining;      /* values above tau that a randomized clip saw and left, beyond its rank */
  int64_t values;         /* min(rows, columns) */
} spectralclip_report;

/* How singular values are found. A NULL in its place means the exact clip, seed 0 and one thread. */
typedef struct {
  int64_t rank;             /* 0: exact; else Algorithm 2 clips the `rank` largest values (at most 65536) */
  int64_t oversampling;     /* further sketch vectors, 0 to 65536; torch.svd_lowrank users take 5 */
  int64_t power_iterations; /* 0 to 64 */
  uint64_t seed;            /* of the sketches */
  int64_t threads;          /* layers that are clipped side by side, 1 to 1024; results do not depend on it */
} spectralclip_options;

/* Clips one matrix in place; `options` and `report` may be NULL. */
spectralclip_status spectralclip_float(float *gradient, int64_t rows, int64_t columns, int64_t row_stride, double tau,
                                       const spectralclip_options *options, spectralclip_report *report);
spectralclip_status spectralclip_double(double *gradient, int64_t rows, int64_t columns, int64_t row_stride, double tau,
                                        const spectralclip_options *options, spectralclip_report *report);

/* A clipper of `layers` layers, each with a threshold of its own that learns from its gradients. Handles are numbers, so
 * one that was destroyed is refused and not followed. */
typedef int64_t spectralclip_clipper;

/* The same tau at every step. */
spectralclip_status spectralclip_create_constant(int64_t layers, double tau, const spectralclip_options *options,
                                                 spectralclip_clipper *clipper);
/* Equation (8): a moving average of the largest singular values, 0 < coefficient < 1 (the paper's is 0.9). */
spectralclip_status spectralclip_create_ema(int64_t layers, double coefficient, const spectralclip_options *options,
                                            spectralclip_clipper *clipper);
/* Equations (9) and (10): the `level` quantile, 0 to 1, of the last `window` (1 to 2^24) largest singular values; the first
 * gradient is not clipped. */
spectralclip_status spectralclip_create_quantile(int64_t layers, double level, int64_t window,
                                                 const spectralclip_options *options, spectralclip_clipper *clipper);

/* One matrix a layer, in the order of the layers; the arrays have `layers` entries each. */
typedef struct {
  void *entries;
  int64_t rows, columns, row_stride;
} spectralclip_matrix;

/* Clips every layer in place and updates its threshold. `reports` is NULL or has `layers` entries. Where a decomposition
 * does not converge (NOT_CONVERGED) some layers may be clipped already; the thresholds are then unchanged. */
spectralclip_status spectralclip_step_float(spectralclip_clipper clipper, const spectralclip_matrix *gradients, int64_t layers,
                                            spectralclip_report *reports);
spectralclip_status spectralclip_step_double(spectralclip_clipper clipper, const spectralclip_matrix *gradients, int64_t layers,
                                             spectralclip_report *reports);

/* Writes the clipper's state to bytes[0 ..< *size] and sets *size to its length. With `bytes` NULL only the length is set. */
spectralclip_status spectralclip_save(spectralclip_clipper clipper, void *bytes, size_t *size);
/* Takes over a state that was saved from a clipper with the same layers, rule, options and seed (threads may differ). */
spectralclip_status spectralclip_restore(spectralclip_clipper clipper, const void *bytes, size_t size);
spectralclip_status spectralclip_destroy(spectralclip_clipper clipper);

#ifdef __cplusplus
}
#endif
#endif
