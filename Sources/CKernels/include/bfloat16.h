// SPDX-License-Identifier: Apache-2.0

// Products of matrices in bfloat16 with sums in float, for CPUs with AVX512_BF16. C because the instruction has no name in
// Swift; the compiler's target attribute confines it to these functions, whatever the rest of the program is built for.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Rows of a left panel, columns of a right one.
enum { BF16_LEFT = 12, BF16_RIGHT = 32 };

// Whether this CPU and its system run the functions below; elsewhere they must not be called.
bool bf16_is_supported(void);

// Rounds an operand and packs the panels from `first` up to `end`. The operand is `outer` vectors of `depth` terms: vector o,
// term p at source[o * outer_stride + p * depth_stride], one of the strides being 1. Panel i holds the vectors i * width …,
// two neighboring terms in 32 bits, [(depth + 1) / 2][width]; what is missing is zero.
void bf16_pack(const float *source, ptrdiff_t outer, ptrdiff_t depth, ptrdiff_t outer_stride,
               ptrdiff_t depth_stride, ptrdiff_t width, ptrdiff_t first, ptrdiff_t end,
               uint32_t *panels);

// c[i, j] = start + Σ left[i, p] · right[j, p] for the rows of the left panels row_panel .. row_end (of m rows) and the columns of the right
// panels column_panel .. column_end (of n columns); start is c if accumulate, else bias[j], or 0 without one.
//
// A sum runs over pairs of terms in ascending order, whatever the ranges: bits depend on nothing but the operands.
void bf16_multiply(const uint32_t *left, const uint32_t *right, ptrdiff_t m, ptrdiff_t n,
                   ptrdiff_t depth, ptrdiff_t row_panel, ptrdiff_t row_end, ptrdiff_t column_panel,
                   ptrdiff_t column_end, const float *bias, bool accumulate, float *c,
                   ptrdiff_t ldc);
