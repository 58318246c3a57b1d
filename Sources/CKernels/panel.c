// SPDX-License-Identifier: Apache-2.0

#include "panel.h"

#define KERNEL "panel_kernel.h"
#include "each_target.h"

void panel_multiply(ptrdiff_t width, ptrdiff_t m, ptrdiff_t depth, const float *a,
                    ptrdiff_t row_stride, ptrdiff_t column_stride, const float *panel,
                    const float *first, ptrdiff_t first_step, float *c, ptrdiff_t ldc,
                    ptrdiff_t count) {
  CALL(width / 2, packed, m, depth, a, row_stride, column_stride, panel, first, first_step, c, ldc,
       count);
}

void small_multiply(ptrdiff_t width, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, const float *a,
                    ptrdiff_t row_stride, ptrdiff_t column_stride, const float *b, ptrdiff_t ldb,
                    int accumulates, float *c, ptrdiff_t ldc) {
  CALL(width / 2, small, m, n, depth, a, row_stride, column_stride, b, ldb, accumulates, c, ldc);
}
