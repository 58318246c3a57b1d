// SPDX-License-Identifier: Apache-2.0

// The inner kernel of products of floats: some rows times a panel, a strip of a matrix that is packed row after row. C because
// a debug build of Swift takes generic vectors apart, a hundred times slower, and so that wide instructions are used where the
// CPU has them, whatever the rest of the program is built for.
#pragma once
#include <stddef.h>

// c[m, count] = start + op(a)[m, depth] · the first `count` columns of panel[depth, width], where op(a)[i, p] = a[i * row_stride +
// p * column_stride], rows of c begin `ldc` apart and sums begin at first[i * first_step + j], or at 0 without `first`.
//
// The width is 32, with wide vectors only, or 16. Every entry is one chain of multiply-adds over its terms in ascending order
// (fused where the CPU has FMA), the same for both.
void panel_multiply(ptrdiff_t width, ptrdiff_t m, ptrdiff_t depth, const float *a,
                    ptrdiff_t row_stride, ptrdiff_t column_stride, const float *panel,
                    const float *first, ptrdiff_t first_step, float *c, ptrdiff_t ldc,
                    ptrdiff_t count);
