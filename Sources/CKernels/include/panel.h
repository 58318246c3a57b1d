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

// c[m, n] = op(a)[m, depth] · b[depth, n], plus c if `accumulates`, where rows of b begin `ldb` apart and nothing of b is packed but
// the columns that do not fill a vector: for operands that lie in the first two cache levels. Width and order of terms as above.
void small_multiply(ptrdiff_t width, ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, const float *a,
                    ptrdiff_t row_stride, ptrdiff_t column_stride, const float *b, ptrdiff_t ldb,
                    int accumulates, float *c, ptrdiff_t ldc);
