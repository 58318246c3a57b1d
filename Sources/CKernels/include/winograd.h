// SPDX-License-Identifier: Apache-2.0

// The transforms of F(4×4, 3×3) (Winograd 1980; Lavin & Gray 2016, arXiv 1509.09308): a tile of 4×4 outputs
//
//   y = Aᵀ [(G w Gᵀ) ⊙ (Bᵀ d B)] A
//
// takes 36 multiplications a pair of channels in place of 144. Summed over channels, each of the 36 places is a matrix
// product. The backward pass is the adjoint of each factor: dM = A dy Aᵀ, dw = Gᵀ [Σ dM ⊙ V] G, dd = B [dM ⊙ U] Bᵀ.
//
// The factors interpolate a polynomial at 0, ±a, ±b and ∞ with a = √½, b = √2:
//
// Bᵀ = 1   0  -5/2   0   1  0    G =   1     0     0     Aᵀ = 1  1   1   1   1  0
//      0  -2a  -2    a   1  0        -2/3  -2/3a -1/3         0  a  -a   b  -b  0
//      0   2a  -2   -a   1  0        -2/3   2/3a -1/3         0 1/2 1/2  2   2  0
//      0  -b/2 -1/2  b   1  0         1/6   b/6   1/3         0 a/2 -a/2 2b -2b 1
//      0   b/2 -1/2 -b   1  0         1/6  -b/6   1/3
//      0   1    0  -5/2  0  1          0     0     1
//
// These points, because the usual 0, ±1, ±2, ∞ round twice as coarsely (of the pairs that were tried none was better), and
// a·b = 1 saves multiplications. Results have three times the error of F(2×2, 3×3), which takes 4 multiplications an output in
// place of 2.25, and up to five times that of the plain sum: WinogradErrorTests measures all three on every layer of the two
// image networks.
//
// C for the reasons that panel.h gives. `lanes` is 16, with wide vectors only, or 8; results are the same.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// Places of a transformed tile.
enum { WINOGRAD_PLACES = 36 };

// Where the tiles of a 3×3 convolution of stride 1 lie in images x[B, H, W, C], channels last.
typedef struct {
  // Of the images, and of the weight[O, 3, 3, C].
  ptrdiff_t height, width, channels, filters, padding;
  // Of the output[B, H', W', O] as it is stored: after the 2×2 maximum pool where there is one.
  ptrdiff_t stored_height, stored_width;
  // Tiles of an image.
  ptrdiff_t rows, columns;
  bool is_pooled;
} winograd_tiles;

// Where transformed tiles lie: entry (place, tile, channel) at place * step + tile * row + channel / panel * panel_step + channel % panel,
// the panel a multiple of 16. Whole vectors are written: what lies beyond the channels is zero, up to a multiple of `lanes`.
typedef struct {
  ptrdiff_t step, row, panel, panel_step;
} winograd_layout;

// V = Bᵀ d B of the 6×6 inputs of tiles first ..< end (numbered over all images); the first of them becomes tile 0 of v. `zeros`
// holds C zeros.
void winograd_input(ptrdiff_t lanes, winograd_tiles tiles, ptrdiff_t first, ptrdiff_t end,
                    const float *x, const float *zeros, float *v, winograd_layout layout);

// The outputs of tiles first ..< end from their M (+ bias, if any), or the largest of each 2×2 of them (the first of equals; NaN
// wins), and in `winners`, if any, which it was, 0 to 3: as torch.nn.MaxPool2d chooses.
void winograd_output(ptrdiff_t lanes, winograd_tiles tiles, ptrdiff_t first, ptrdiff_t end,
                     const float *m, winograd_layout layout, const float *bias, float *y,
                     float *winners);

// dM = A dy Aᵀ of the 4×4 outputs of tiles first ..< end; where they were pooled, what is given belongs to the winner alone.
void winograd_gradient(ptrdiff_t lanes, winograd_tiles tiles, ptrdiff_t first,
                       ptrdiff_t end, const float *dy, const float *winners, float *m,
                       winograd_layout layout);

// dx += B dV Bᵀ over the 6×6 inputs of tiles first ..< end; what lies outside the images is dropped.
void winograd_input_adjoint(ptrdiff_t lanes, winograd_tiles tiles, ptrdiff_t first,
                            ptrdiff_t end, const float *v, winograd_layout layout, float *dx);

// U = G w Gᵀ for rows first ..< end of w: w[row, tap, column] lies at row * w_row + tap * w_tap + column. Rows of U are the tiles of `layout`.
void winograd_filter(ptrdiff_t lanes, ptrdiff_t first, ptrdiff_t end, ptrdiff_t columns,
                     const float *w, ptrdiff_t w_row, ptrdiff_t w_tap, float *u,
                     winograd_layout layout);

// w[row, 9, columns] = (w if accumulate) + Gᵀ dU G for rows first ..< end.
void winograd_filter_adjoint(ptrdiff_t lanes, ptrdiff_t first, ptrdiff_t end, ptrdiff_t columns,
                             const float *du, winograd_layout layout, bool accumulate, float *w);
