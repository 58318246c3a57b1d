// SPDX-License-Identifier: Apache-2.0

#include "winograd.h"

#define KERNEL "winograd_kernel.h"
#include "each_target.h"

void winograd_input(ptrdiff_t lanes, winograd_tiles tiles, ptrdiff_t first, ptrdiff_t end,
                    const float *x, const float *zeros, float *v, winograd_layout layout) {
  CALL(lanes, input, tiles, first, end, x, zeros, v, layout);
}

void winograd_output(ptrdiff_t lanes, winograd_tiles tiles, ptrdiff_t first, ptrdiff_t end,
                     const float *m, winograd_layout layout, const float *bias, float *y,
                     float *winners) {
  CALL(lanes, output, tiles, first, end, m, layout, bias, y, winners);
}

void winograd_gradient(ptrdiff_t lanes, winograd_tiles tiles, ptrdiff_t first,
                       ptrdiff_t end, const float *dy, const float *winners, float *m,
                       winograd_layout layout) {
  CALL(lanes, gradient, tiles, first, end, dy, winners, m, layout);
}

void winograd_input_adjoint(ptrdiff_t lanes, winograd_tiles tiles, ptrdiff_t first,
                            ptrdiff_t end, const float *v, winograd_layout layout, float *dx) {
  CALL(lanes, input_adjoint, tiles, first, end, v, layout, dx);
}

void winograd_filter(ptrdiff_t lanes, ptrdiff_t first, ptrdiff_t end, ptrdiff_t columns,
                     const float *w, ptrdiff_t w_row, ptrdiff_t w_tap, float *u,
                     winograd_layout layout) {
  CALL(lanes, filter, first, end, columns, w, w_row, w_tap, u, layout);
}

void winograd_filter_adjoint(ptrdiff_t lanes, ptrdiff_t first, ptrdiff_t end, ptrdiff_t columns,
                             const float *du, winograd_layout layout, bool accumulate, float *w) {
  CALL(lanes, filter_adjoint, first, end, columns, du, layout, accumulate, w);
}
