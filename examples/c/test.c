// SPDX-License-Identifier: Apache-2.0

/* The library's test: results against what can be worked out by hand, state across a save, and every call that must be
 * refused. Prints one line; any failure ends it with status 1. */
#include <spectralclip.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int openblas_get_num_threads(void);
extern void openblas_set_num_threads(int);

static int checks = 0;
#define CHECK(condition)                                                             \
  do {                                                                               \
    checks++;                                                                        \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                \
      exit(1);                                                                       \
    }                                                                                \
  } while (0)
#define REFUSED(call, status) CHECK((call) == (status))

static uint64_t state = 1;
static double uniform(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)(state >> 11) / 9007199254740992.0 - 0.5;
}

/* 4 x 6 with singular values 8, 4, 2, 1: H diag(s) [I 0], H the Hadamard matrix over 2; rows 9 apart. */
static void known(double *g) {
  static const int sign[4][4] = {{1, 1, 1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}, {1, -1, -1, 1}};
  static const double s[4] = {8, 4, 2, 1};
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 9; j++) g[9 * i + j] = j < 4 ? sign[i][j] * s[j] / 2 : j < 6 ? 0 : 77;
}

static void results(void) {
  double g[36], before[36];
  float f[36];
  spectralclip_report report;
  known(g);
  memcpy(before, g, sizeof g);
  for (int i = 0; i < 36; i++) f[i] = (float)g[i];
  CHECK(spectralclip_double(g, 4, 6, 9, 3, NULL, &report) == SPECTRALCLIP_OK);
  CHECK(fabs(report.sigma_max - 8) < 1e-12 && report.clipped == 2 && report.values == 4 && report.tau == 3);
  CHECK(fabs(report.norm_before - sqrt(85)) < 1e-12 && fabs(report.norm_after - sqrt(9 + 9 + 4 + 1)) < 1e-12);
  CHECK(spectralclip_float(f, 4, 6, 9, 3, NULL, NULL) == SPECTRALCLIP_OK);
  static const double kept[4] = {3.0 / 8, 3.0 / 4, 1, 1};
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 9; j++) {
      double expected = before[9 * i + j] * (j < 4 ? kept[j] : 1); /* what lies between rows stays */
      CHECK(fabs(g[9 * i + j] - expected) < 1e-12);
      CHECK(fabs(f[9 * i + j] - expected) < 1e-5);
    }
  /* Algorithm 2 at rank 1 clips the first value only and says that it left the second. */
  spectralclip_options options = {.rank = 1, .oversampling = 3, .power_iterations = 2, .seed = 5, .threads = 1};
  known(g);
  CHECK(spectralclip_double(g, 4, 6, 9, 3, &options, &report) == SPECTRALCLIP_OK);
  CHECK(report.clipped == 1 && report.remaining == 1);
  for (int i = 0; i < 4; i++) {
    CHECK(fabs(g[9 * i] - before[9 * i] * 3 / 8) < 1e-9);
    CHECK(fabs(g[9 * i + 1] - before[9 * i + 1]) < 1e-9);
  }
  /* tau = 0 is the zero matrix, an infinite one changes no bit. */
  known(g);
  CHECK(spectralclip_double(g, 4, 6, 9, INFINITY, NULL, NULL) == SPECTRALCLIP_OK && !memcmp(g, before, sizeof g));
  CHECK(spectralclip_double(g, 4, 6, 9, 0, NULL, NULL) == SPECTRALCLIP_OK);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 6; j++) CHECK(g[9 * i + j] == 0);
}

enum { LAYERS = 3, ROWS = 12, COLUMNS = 7, STRIDE = 8, COUNT = ROWS * STRIDE };

static void draw(float g[LAYERS][COUNT], spectralclip_matrix *layers) {
  for (int l = 0; l < LAYERS; l++) {
    for (int i = 0; i < COUNT; i++) g[l][i] = (float)uniform();
    layers[l] = (spectralclip_matrix){g[l], ROWS, COLUMNS, STRIDE};
  }
}

/* Twelve steps, or five, a save, a restore into another clipper with another number of threads, and seven. */
static void states(void) {
  for (int kind = 0; kind < 3; kind++)
    for (int rank = 0; rank < 3; rank += 2) {
      spectralclip_options one = {.rank = rank, .oversampling = 2, .power_iterations = 1, .seed = 9, .threads = 1};
      spectralclip_options three = one;
      three.threads = 3;
      spectralclip_clipper a, b, other;
#define CREATE(options, clipper)                                             \
  (kind == 0   ? spectralclip_create_constant(LAYERS, 0.7, options, clipper) \
   : kind == 1 ? spectralclip_create_ema(LAYERS, 0.9, options, clipper)      \
               : spectralclip_create_quantile(LAYERS, 0.5, 4, options, clipper))
      CHECK(CREATE(&one, &a) == SPECTRALCLIP_OK && CREATE(&three, &b) == SPECTRALCLIP_OK);
      CHECK(spectralclip_create_ema(LAYERS, 0.8, NULL, &other) == SPECTRALCLIP_OK);
      float x[LAYERS][COUNT], y[LAYERS][COUNT];
      spectralclip_matrix lx[LAYERS], ly[LAYERS];
      spectralclip_report rx[LAYERS], ry[LAYERS];
      int64_t clipped = 0;
      for (int step = 0; step < 12; step++) {
        uint64_t start = state;
        draw(x, lx);
        state = start;
        draw(y, ly);
        CHECK(spectralclip_step_float(a, lx, LAYERS, rx) == SPECTRALCLIP_OK);
        if (step == 5) {
          size_t size = 0;
          CHECK(spectralclip_save(a, NULL, &size) == SPECTRALCLIP_OK && size > 16);
          unsigned char *bytes = malloc(size);
          size_t small = size - 1;
          REFUSED(spectralclip_save(a, bytes, &small), SPECTRALCLIP_BUFFER_TOO_SMALL);
          CHECK(small == size && spectralclip_save(a, bytes, &size) == SPECTRALCLIP_OK);
          REFUSED(spectralclip_restore(other, bytes, size), SPECTRALCLIP_BAD_STATE);
          for (size_t i = 0; i < size; i++) { /* every byte damaged, every length cut */
            bytes[i] ^= 0x55;
            REFUSED(spectralclip_restore(b, bytes, size), SPECTRALCLIP_BAD_STATE);
            bytes[i] ^= 0x55;
            REFUSED(spectralclip_restore(b, bytes, i), SPECTRALCLIP_BAD_STATE);
          }
          CHECK(spectralclip_restore(b, bytes, size) == SPECTRALCLIP_OK);
          free(bytes);
        } else if (step > 5) {
          CHECK(spectralclip_step_float(b, ly, LAYERS, ry) == SPECTRALCLIP_OK);
          CHECK(!memcmp(x, y, sizeof x));
          for (int l = 0; l < LAYERS; l++) CHECK(rx[l].tau == ry[l].tau && rx[l].clipped == ry[l].clipped);
        }
        for (int l = 0; l < LAYERS; l++) clipped += rx[l].clipped;
      }
      CHECK(clipped > 0);
      /* A step that is refused changes neither matrices nor thresholds. */
      draw(x, lx);
      memcpy(y, x, sizeof x);
      x[2][3] = y[2][3] = NAN;
      size_t size = 0, later = 0;
      static unsigned char old[65536], new[65536];
      size = later = sizeof old;
      CHECK(spectralclip_save(a, old, &size) == SPECTRALCLIP_OK);
      REFUSED(spectralclip_step_float(a, lx, LAYERS, NULL), SPECTRALCLIP_NOT_FINITE);
      CHECK(!memcmp(x, y, sizeof x));
      CHECK(spectralclip_save(a, new, &later) == SPECTRALCLIP_OK && size == later && !memcmp(old, new, size));
      draw(x, lx);
      lx[1].entries = x[0] + 4;
      REFUSED(spectralclip_step_float(a, lx, LAYERS, NULL), SPECTRALCLIP_OVERLAP);
      REFUSED(spectralclip_step_float(a, lx, LAYERS - 1, NULL), SPECTRALCLIP_BAD_SIZE);
      REFUSED(spectralclip_step_float(a, NULL, LAYERS, NULL), SPECTRALCLIP_NULL_POINTER);
      lx[1].entries = NULL;
      REFUSED(spectralclip_step_double(a, lx, LAYERS, NULL), SPECTRALCLIP_NULL_POINTER);
      CHECK(spectralclip_destroy(a) == SPECTRALCLIP_OK);
      REFUSED(spectralclip_destroy(a), SPECTRALCLIP_BAD_HANDLE);
      REFUSED(spectralclip_step_float(a, lx, LAYERS, NULL), SPECTRALCLIP_BAD_HANDLE);
      CHECK(spectralclip_destroy(b) == SPECTRALCLIP_OK && spectralclip_destroy(other) == SPECTRALCLIP_OK);
    }
}

static void refusals(void) {
  double g[6] = {1, 2, 3, 4, 5, 6}, before[6];
  memcpy(before, g, sizeof g);
  float *f = (float *)g;
#define D(rows, columns, stride, tau) spectralclip_double(g, rows, columns, stride, tau, NULL, NULL)
  REFUSED(spectralclip_double(NULL, 2, 3, 3, 1, NULL, NULL), SPECTRALCLIP_NULL_POINTER);
  static const int64_t bad[] = {0, -1, INT64_MIN};
  for (int i = 0; i < 3; i++) {
    REFUSED(D(bad[i], 3, 3, 1), SPECTRALCLIP_BAD_SIZE);
    REFUSED(D(2, bad[i], 3, 1), SPECTRALCLIP_BAD_SIZE);
    REFUSED(D(2, 3, bad[i], 1), SPECTRALCLIP_BAD_STRIDE);
  }
  REFUSED(D(2, 3, 2, 1), SPECTRALCLIP_BAD_STRIDE);
  REFUSED(D(INT64_MAX, INT64_MAX, INT64_MAX, 1), SPECTRALCLIP_TOO_LARGE);
  REFUSED(D(INT64_C(1) << 32, INT64_C(1) << 32, INT64_C(1) << 32, 1), SPECTRALCLIP_TOO_LARGE);
  REFUSED(D(2, 3, INT64_MAX, 1), SPECTRALCLIP_TOO_LARGE);
  REFUSED(D(2, 3, INT64_MAX / 4, 1), SPECTRALCLIP_TOO_LARGE);
  REFUSED(D(20000, 20000, 20000, 1), SPECTRALCLIP_TOO_LARGE);
  REFUSED(spectralclip_float((float *)((char *)f + 1), 2, 2, 2, 1, NULL, NULL), SPECTRALCLIP_MISALIGNED);
  REFUSED(D(2, 3, 3, -1), SPECTRALCLIP_BAD_THRESHOLD);
  REFUSED(D(2, 3, 3, NAN), SPECTRALCLIP_BAD_THRESHOLD);
  REFUSED(D(2, 3, 3, -INFINITY), SPECTRALCLIP_BAD_THRESHOLD);
  spectralclip_options fine = {.rank = 1, .oversampling = 1, .power_iterations = 1, .threads = 1};
  static const int64_t extreme[] = {-1, INT64_MAX, INT64_MIN};
  for (int field = 0; field < 4; field++)
    for (int i = 0; i < 3; i++) {
      spectralclip_options o = fine;
      *(field == 0 ? &o.rank : field == 1 ? &o.oversampling : field == 2 ? &o.power_iterations : &o.threads) = extreme[i];
      REFUSED(spectralclip_double(g, 2, 3, 3, 1, &o, NULL), SPECTRALCLIP_BAD_PARAMETER);
    }
  fine.threads = 0;
  REFUSED(spectralclip_double(g, 2, 3, 3, 1, &fine, NULL), SPECTRALCLIP_BAD_PARAMETER);
  CHECK(!memcmp(g, before, sizeof g));
  static const double odd[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; i++)
    for (int place = 0; place < 6; place++) {
      double d[6];
      float s[6];
      for (int j = 0; j < 6; j++) s[j] = (float)(d[j] = j == place ? odd[i] : before[j]);
      REFUSED(spectralclip_double(d, 2, 3, 3, 1, NULL, NULL), SPECTRALCLIP_NOT_FINITE);
      REFUSED(spectralclip_float(s, 2, 3, 3, 1, NULL, NULL), SPECTRALCLIP_NOT_FINITE);
      CHECK(d[(place + 1) % 6] == before[(place + 1) % 6]);
    }
  spectralclip_clipper c;
  REFUSED(spectralclip_create_constant(1, 1, NULL, NULL), SPECTRALCLIP_NULL_POINTER);
  REFUSED(spectralclip_create_constant(0, 1, NULL, &c), SPECTRALCLIP_BAD_SIZE);
  REFUSED(spectralclip_create_constant(INT64_MAX, 1, NULL, &c), SPECTRALCLIP_BAD_SIZE);
  REFUSED(spectralclip_create_constant(1, NAN, NULL, &c), SPECTRALCLIP_BAD_THRESHOLD);
  REFUSED(spectralclip_create_ema(1, 1, NULL, &c), SPECTRALCLIP_BAD_PARAMETER);
  REFUSED(spectralclip_create_ema(1, NAN, NULL, &c), SPECTRALCLIP_BAD_PARAMETER);
  REFUSED(spectralclip_create_quantile(1, NAN, 4, NULL, &c), SPECTRALCLIP_BAD_PARAMETER);
  REFUSED(spectralclip_create_quantile(1, 0.5, 0, NULL, &c), SPECTRALCLIP_BAD_PARAMETER);
  REFUSED(spectralclip_create_quantile(1, 0.5, INT64_MAX, NULL, &c), SPECTRALCLIP_BAD_PARAMETER);
  REFUSED(spectralclip_destroy(0), SPECTRALCLIP_BAD_HANDLE);
  size_t size = 0;
  REFUSED(spectralclip_save(INT64_MIN, NULL, &size), SPECTRALCLIP_BAD_HANDLE);
  CHECK(spectralclip_create_ema(1, 0.9, NULL, &c) == SPECTRALCLIP_OK);
  REFUSED(spectralclip_save(c, NULL, NULL), SPECTRALCLIP_NULL_POINTER);
  REFUSED(spectralclip_restore(c, NULL, 10), SPECTRALCLIP_NULL_POINTER);
  REFUSED(spectralclip_restore(c, g, SIZE_MAX), SPECTRALCLIP_BAD_STATE);
  REFUSED(spectralclip_restore(c, g, 0), SPECTRALCLIP_BAD_STATE);
  CHECK(spectralclip_destroy(c) == SPECTRALCLIP_OK);
  for (int status = -2; status < 20; status++) {
    const char *message = spectralclip_message(status);
    CHECK(message && *message);
    CHECK((strcmp(message, "unknown status") == 0) == (status < 0 || status > SPECTRALCLIP_NOT_CONVERGED));
  }
}

int main(void) {
  openblas_set_num_threads(2);
  int threads = openblas_get_num_threads(); /* 1 where OpenBLAS has no more */
  results();
  states();
  refusals();
  CHECK(openblas_get_num_threads() == threads);
  printf("libspectralclip %s: %d checks passed\n", spectralclip_version(), checks);
  return 0;
}
