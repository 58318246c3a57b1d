// SPDX-License-Identifier: Apache-2.0

// Included by each_target.h, once for each kind of CPU.

// Rows that fill the registers: two vectors each, so many chains as hide the latency of a fused multiply-add.
enum { NAME(TILE_ROWS) = LANES == 16 ? 12 : 6 };

// `rows` and `vectors` are constants to the compiler. A pointer and a stride reach three rows by addressing alone.
TARGET INLINE void NAME(tile)(int rows, int vectors, ptrdiff_t depth, const float *a,
                              ptrdiff_t row_stride, ptrdiff_t column_stride, const float *panel,
                              ptrdiff_t panel_step, const float *first, ptrdiff_t first_step,
                              float *c, ptrdiff_t ldc) {
  NAME(V) sum[NAME(TILE_ROWS)][2];
  const float *x[4];
#pragma clang loop unroll(full)
  for (int r = 0; r < 4; r++) x[r] = a + 3 * r * row_stride;
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int k = 0; k < vectors; k++) {
      sum[r][k] = first ? NAME(load)(first + r * first_step + k * LANES) : (NAME(V))0;
    }
  }
  for (ptrdiff_t p = 0; p < depth; p++) {
    NAME(V) b0 = NAME(load)(panel);
    NAME(V) b1 = vectors > 1 ? NAME(load)(panel + LANES) : b0;
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      NAME(V) factor = (NAME(V))x[r / 3][r % 3 * row_stride];
      sum[r][0] += factor * b0;
      if (vectors > 1) sum[r][1] += factor * b1;
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < 4; r++) x[r] += column_stride;
    panel += panel_step;
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int k = 0; k < vectors; k++) NAME(store)(sum[r][k], c + r * ldc + k * LANES);
  }
}

TARGET INLINE ptrdiff_t NAME(rows)(int vectors, ptrdiff_t left, ptrdiff_t depth, const float *a,
                                   ptrdiff_t row_stride, ptrdiff_t column_stride,
                                   const float *panel, ptrdiff_t panel_step, const float *first,
                                   ptrdiff_t first_step, float *c, ptrdiff_t ldc) {
#define ROWS(n)                                                                          \
  if (n <= NAME(TILE_ROWS) && left >= n) {                                               \
    NAME(tile)(n, vectors, depth, a, row_stride, column_stride, panel, panel_step, first, \
               first_step, c, ldc);                                                      \
    return n;                                                                            \
  }
#if LANES == 16
  ROWS(12)
  ROWS(8)
#endif
  ROWS(6)
  ROWS(4)
  ROWS(2)
  ROWS(1)
#undef ROWS
  return 1;
}

TARGET static void NAME(panel)(ptrdiff_t m, ptrdiff_t depth, const float *a, ptrdiff_t row_stride,
                               ptrdiff_t column_stride, const float *panel, ptrdiff_t panel_step,
                               const float *first, ptrdiff_t first_step, float *c, ptrdiff_t ldc,
                               ptrdiff_t count) {
  // Columns that do not fill their vectors go through a buffer.
  float edge[NAME(TILE_ROWS) * 2 * LANES];
  ptrdiff_t whole = count <= LANES ? LANES : 2 * LANES;
  for (ptrdiff_t i = 0; i < m;) {
    const float *source = a + i * row_stride, *from = first ? first + i * first_step : NULL;
    float *target = c + i * ldc;
    ptrdiff_t step = first_step, target_step = ldc;
    ptrdiff_t left = m - i < NAME(TILE_ROWS) ? m - i : NAME(TILE_ROWS);
    if (count < whole) {
      for (ptrdiff_t r = 0; from && r < left; r++) {
        for (ptrdiff_t j = 0; j < whole; j++) {
          edge[r * whole + j] = j < count ? from[r * step + j] : 0;
        }
      }
      if (from) from = edge;
      target = edge;
      step = target_step = whole;
    }
    ptrdiff_t rows =
        whole == LANES
            ? NAME(rows)(1, left, depth, source, row_stride, column_stride, panel, panel_step, from,
                         step, target, target_step)
            : NAME(rows)(2, left, depth, source, row_stride, column_stride, panel, panel_step, from,
                         step, target, target_step);
    for (ptrdiff_t r = 0; count < whole && r < rows; r++) {
      for (ptrdiff_t j = 0; j < count; j++) c[(i + r) * ldc + j] = edge[r * whole + j];
    }
    i += rows;
  }
}

TARGET static void NAME(packed)(ptrdiff_t m, ptrdiff_t depth, const float *a, ptrdiff_t row_stride,
                                ptrdiff_t column_stride, const float *panel, const float *first,
                                ptrdiff_t first_step, float *c, ptrdiff_t ldc, ptrdiff_t count) {
  NAME(panel)(m, depth, a, row_stride, column_stride, panel, 2 * LANES, first, first_step, c, ldc, count);
}

TARGET static void NAME(small)(ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, const float *a,
                               ptrdiff_t row_stride, ptrdiff_t column_stride, const float *b,
                               ptrdiff_t ldb, int accumulates, float *c, ptrdiff_t ldc) {
  for (ptrdiff_t j = 0; j < n; j += 2 * LANES) {
    ptrdiff_t count = n - j < 2 * LANES ? n - j : 2 * LANES;
    const float *first = accumulates ? c + j : NULL;
    if (count % LANES == 0) {
      NAME(panel)(m, depth, a, row_stride, column_stride, b + j, ldb, first, ldc, c + j, ldc, count);
      continue;
    }
    // Columns that do not fill their vectors are packed, so that nothing beyond them is read.
    enum { TERMS = 128 };
    float panel[TERMS * 2 * LANES];
    ptrdiff_t whole = count < LANES ? LANES : 2 * LANES;
    for (ptrdiff_t p = 0; p == 0 || p < depth; p += TERMS) {
      ptrdiff_t terms = depth - p < TERMS ? depth - p : TERMS;
      for (ptrdiff_t q = 0; q < terms; q++) {
        const float *row = b + (p + q) * ldb + j;
        float *target = panel + q * whole;
        if (whole > LANES) NAME(store)(NAME(load)(row), target);
        NAME(store)(NAME(load_some)(row + whole - LANES, count - (whole - LANES)), target + whole - LANES);
      }
      NAME(panel)(m, terms, a + p * column_stride, row_stride, column_stride, panel, whole,
                  p > 0 ? c + j : first, ldc, c + j, ldc, count);
    }
  }
}
