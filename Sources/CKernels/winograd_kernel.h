// SPDX-License-Identifier: Apache-2.0

// Included by each_target.h, once for each kind of CPU. winograd.h has the matrices.

#ifndef ROOT_HALF
#define ROOT_HALF 0.70710677f
#define ROOT_2 1.4142135f

// Where a tile's pixels begin: image, row and column; the latter two are outside it in its padding.
typedef struct { ptrdiff_t image, top, left; } pixels_of_tile;

static inline pixels_of_tile pixels_of(winograd_tiles tiles, ptrdiff_t t) {
  ptrdiff_t count = tiles.rows * tiles.columns, in_image = t % count;
  return (pixels_of_tile){t / count, 4 * (in_image / tiles.columns) - tiles.padding,
                          4 * (in_image % tiles.columns) - tiles.padding};
}

// Where a tile's results lie: the offset of the first, how many there are in a row and column, and how many of them are stored.
typedef struct { ptrdiff_t origin; int side; ptrdiff_t below, right; } results_of_tile;

static inline results_of_tile results_of(winograd_tiles tiles, ptrdiff_t t) {
  ptrdiff_t count = tiles.rows * tiles.columns, in_image = t % count;
  int side = tiles.is_pooled ? 2 : 4;
  ptrdiff_t top = side * (in_image / tiles.columns), left = side * (in_image % tiles.columns);
  ptrdiff_t row = t / count * tiles.stored_height + top;
  return (results_of_tile){(row * tiles.stored_width + left) * tiles.filters, side,
                           tiles.stored_height - top, tiles.stored_width - left};
}

// into[out, out] = T from[in, in] Tᵀ for the transform T[out, in].
#define BOTH_WAYS(transform, from, in, into, out)                       \
  NAME(V) half_[out][in], into[out][out];                               \
  for (int j_ = 0; j_ < in; j_++) {                                     \
    NAME(V) column_[in], turned_[out];                                  \
    for (int i_ = 0; i_ < in; i_++) column_[i_] = from[i_][j_];         \
    NAME(transform)(column_, turned_);                                  \
    for (int i_ = 0; i_ < out; i_++) half_[i_][j_] = turned_[i_];       \
  }                                                                     \
  for (int i_ = 0; i_ < out; i_++) NAME(transform)(half_[i_], into[i_]);
#endif

// MARK: Transforms of a row or column

// Bᵀ d.
TARGET INLINE void NAME(to_input)(const NAME(V) d[6], NAME(V) t[6]) {
  NAME(V) near = d[4] - 2 * d[2], far = d[4] - 0.5f * d[2];
  NAME(V) p = d[3] - 2 * d[1], q = d[3] - 0.5f * d[1];
  NAME(V) even = d[4] - 2.5f * d[2], odd = d[5] - 2.5f * d[3];
  t[0] = even + d[0];
  t[1] = near + ROOT_HALF * p;
  t[2] = near - ROOT_HALF * p;
  t[3] = far + ROOT_2 * q;
  t[4] = far - ROOT_2 * q;
  t[5] = odd + d[1];
}

// B t.
TARGET INLINE void NAME(from_input)(const NAME(V) t[6], NAME(V) d[6]) {
  NAME(V) near = t[1] + t[2], far = t[3] + t[4];
  NAME(V) p = (t[1] - t[2]) * ROOT_HALF, q = (t[3] - t[4]) * ROOT_2;
  NAME(V) both = t[0] + near, sum = p + q;
  NAME(V) one = t[5] - 2 * p, two = -2.5f * t[0] - 2 * near;
  d[0] = t[0];
  d[1] = one - 0.5f * q;
  d[2] = two - 0.5f * far;
  d[3] = sum - 2.5f * t[5];
  d[4] = both + far;
  d[5] = t[5];
}

// Aᵀ m.
TARGET INLINE void NAME(to_output)(const NAME(V) m[6], NAME(V) y[4]) {
  NAME(V) near = m[1] + m[2], far = m[3] + m[4];
  NAME(V) p = (m[1] - m[2]) * ROOT_HALF, q = (m[3] - m[4]) * ROOT_2;
  NAME(V) both = m[0] + near, half = 0.5f * near, three = m[5] + 0.5f * p;
  y[0] = both + far;
  y[1] = p + q;
  y[2] = half + 2 * far;
  y[3] = three + 2 * q;
}

// A y.
TARGET INLINE void NAME(from_output)(const NAME(V) y[4], NAME(V) m[6]) {
  NAME(V) near = y[0] + 0.5f * y[2], far = y[0] + 2 * y[2];
  NAME(V) p = y[1] + 0.5f * y[3], q = y[1] + 2 * y[3];
  m[0] = y[0];
  m[1] = near + ROOT_HALF * p;
  m[2] = near - ROOT_HALF * p;
  m[3] = far + ROOT_2 * q;
  m[4] = far - ROOT_2 * q;
  m[5] = y[3];
}

// G w.
TARGET INLINE void NAME(to_filter)(const NAME(V) w[3], NAME(V) u[6]) {
  NAME(V) close = w[0] + 0.5f * w[2], wide = w[0] + 2 * w[2];
  NAME(V) near = close * (-2.0f / 3), far = wide * (1.0f / 6);
  u[0] = w[0];
  u[1] = near - (2.0f / 3 * ROOT_HALF) * w[1];
  u[2] = near + (2.0f / 3 * ROOT_HALF) * w[1];
  u[3] = far + (1.0f / 6 * ROOT_2) * w[1];
  u[4] = far - (1.0f / 6 * ROOT_2) * w[1];
  u[5] = w[2];
}

// Gᵀ u.
TARGET INLINE void NAME(from_filter)(const NAME(V) u[6], NAME(V) w[3]) {
  NAME(V) near = u[1] + u[2], far = u[3] + u[4], p = u[1] - u[2], q = u[3] - u[4];
  NAME(V) zero = u[0] - (2.0f / 3) * near, one = p * (-2.0f / 3 * ROOT_HALF), two = far - near;
  w[0] = zero + (1.0f / 6) * far;
  w[1] = one + (1.0f / 6 * ROOT_2) * q;
  w[2] = u[5] + (1.0f / 3) * two;
}

// MARK: Tiles

// Where the channels from j on lie in a tile.
TARGET INLINE ptrdiff_t NAME(place)(winograd_layout l, ptrdiff_t tile, ptrdiff_t j) {
  return tile * l.row + j / l.panel * l.panel_step + j % l.panel;
}

TARGET INLINE void NAME(put_tile)(NAME(V) t[6][6], float *p, ptrdiff_t step) {
  for (int i = 0; i < 6; i++) {
    for (int j = 0; j < 6; j++) NAME(store)(t[i][j], p + (6 * i + j) * step);
  }
}

TARGET INLINE void NAME(take_tile)(const float *p, ptrdiff_t step, NAME(V) t[6][6]) {
  for (int i = 0; i < 6; i++) {
    for (int j = 0; j < 6; j++) t[i][j] = NAME(load)(p + (6 * i + j) * step);
  }
}

TARGET static void NAME(input)(winograd_tiles tiles, ptrdiff_t first, ptrdiff_t end,
                               const float *x, const float *zeros, float *v, winograd_layout l) {
  ptrdiff_t c = tiles.channels;
  for (ptrdiff_t t = first; t < end; t++) {
    pixels_of_tile at = pixels_of(tiles, t);
    const float *pixels[6][6];
    for (int i = 0; i < 6; i++) {
      for (int j = 0; j < 6; j++) {
        ptrdiff_t y = at.top + i, z = at.left + j;
        bool is_inside = y >= 0 && y < tiles.height && z >= 0 && z < tiles.width;
        ptrdiff_t row = at.image * tiles.height + y;
        pixels[i][j] = is_inside ? x + (row * tiles.width + z) * c : zeros;
      }
    }
    for (ptrdiff_t k = 0; k < c; k += LANES) {
      NAME(V) d[6][6];
      for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 6; j++) d[i][j] = NAME(load_some)(pixels[i][j] + k, c - k);
      }
      BOTH_WAYS(to_input, d, 6, result, 6)
      NAME(put_tile)(result, v + NAME(place)(l, t - first, k), l.step);
    }
  }
}

// The larger of best and y, y where that is NaN; and its index.
TARGET INLINE void NAME(compare)(NAME(V) y, float index, NAME(V) *best, NAME(V) *winner) {
  NAME(mask) wins = (y > *best) | (y != y);
  *best = wins ? y : *best;
  *winner = wins ? (NAME(V))index : *winner;
}

TARGET static void NAME(output)(winograd_tiles tiles, ptrdiff_t first, ptrdiff_t end,
                                const float *m, winograd_layout l, const float *bias, float *y,
                                float *winners) {
  ptrdiff_t n = tiles.filters;
  for (ptrdiff_t t = first; t < end; t++) {
    results_of_tile at = results_of(tiles, t);
    for (ptrdiff_t k = 0; k < n; k += LANES) {
      NAME(V) from[6][6];
      NAME(take_tile)(m + NAME(place)(l, t - first, k), l.step, from);
      BOTH_WAYS(to_output, from, 6, out, 4)
      NAME(V) shift = bias ? NAME(load_some)(bias + k, n - k) : (NAME(V))0;
      for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) out[i][j] += shift;
      }
      for (int i = 0; i < at.side && i < at.below; i++) {
        for (int j = 0; j < at.side && j < at.right; j++) {
          ptrdiff_t place = at.origin + (i * tiles.stored_width + j) * n + k;
          if (!tiles.is_pooled) {
            NAME(store_some)(out[i][j], y + place, n - k);
            continue;
          }
          NAME(V) best = out[2 * i][2 * j], winner = 0;
          NAME(compare)(out[2 * i][2 * j + 1], 1, &best, &winner);
          NAME(compare)(out[2 * i + 1][2 * j], 2, &best, &winner);
          NAME(compare)(out[2 * i + 1][2 * j + 1], 3, &best, &winner);
          NAME(store_some)(best, y + place, n - k);
          if (winners) NAME(store_some)(winner, winners + place, n - k);
        }
      }
    }
  }
}

TARGET static void NAME(gradient)(winograd_tiles tiles, ptrdiff_t first, ptrdiff_t end,
                                  const float *dy, const float *winners, float *m,
                                  winograd_layout l) {
  ptrdiff_t n = tiles.filters;
  for (ptrdiff_t t = first; t < end; t++) {
    results_of_tile at = results_of(tiles, t);
    for (ptrdiff_t k = 0; k < n; k += LANES) {
      NAME(V) given[4][4];
      for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
          int a = tiles.is_pooled ? i / 2 : i, b = tiles.is_pooled ? j / 2 : j;
          given[i][j] = 0;
          if (a >= at.below || b >= at.right) continue;
          ptrdiff_t place = at.origin + (a * tiles.stored_width + b) * n + k;
          NAME(V) value = NAME(load_some)(dy + place, n - k);
          if (tiles.is_pooled) {
            NAME(V) winner = NAME(load_some)(winners + place, n - k);
            NAME(mask) is_winner = winner == (float)(i % 2 * 2 + j % 2);
            value = is_winner ? value : (NAME(V))0;
          }
          given[i][j] = value;
        }
      }
      BOTH_WAYS(from_output, given, 4, result, 6)
      NAME(put_tile)(result, m + NAME(place)(l, t - first, k), l.step);
    }
  }
}

TARGET static void NAME(input_adjoint)(winograd_tiles tiles, ptrdiff_t first,
                                       ptrdiff_t end, const float *v, winograd_layout l,
                                       float *dx) {
  ptrdiff_t c = tiles.channels;
  for (ptrdiff_t t = first; t < end; t++) {
    pixels_of_tile at = pixels_of(tiles, t);
    for (ptrdiff_t k = 0; k < c; k += LANES) {
      NAME(V) from[6][6];
      NAME(take_tile)(v + NAME(place)(l, t - first, k), l.step, from);
      BOTH_WAYS(from_input, from, 6, result, 6)
      for (int i = 0; i < 6; i++) {
        ptrdiff_t y = at.top + i;
        if (y < 0 || y >= tiles.height) continue;
        float *row = dx + ((at.image * tiles.height + y) * tiles.width + at.left) * c + k;
        for (int j = 0; j < 6; j++) {
          if (at.left + j < 0 || at.left + j >= tiles.width) continue;
          float *p = row + j * c;
          NAME(store_some)(NAME(load_some)(p, c - k) + result[i][j], p, c - k);
        }
      }
    }
  }
}

// MARK: Filters

TARGET static void NAME(filter)(ptrdiff_t first, ptrdiff_t end, ptrdiff_t columns, const float *w,
                                ptrdiff_t w_row, ptrdiff_t w_tap, float *u, winograd_layout l) {
  for (ptrdiff_t row = first; row < end; row++) {
    for (ptrdiff_t k = 0; k < columns; k += LANES) {
      NAME(V) taps[3][3];
      for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
          taps[i][j] = NAME(load_some)(w + row * w_row + (3 * i + j) * w_tap + k, columns - k);
        }
      }
      BOTH_WAYS(to_filter, taps, 3, result, 6)
      NAME(put_tile)(result, u + NAME(place)(l, row, k), l.step);
    }
  }
}

TARGET static void NAME(filter_adjoint)(ptrdiff_t first, ptrdiff_t end, ptrdiff_t columns,
                                        const float *du, winograd_layout l, bool accumulate,
                                        float *w) {
  for (ptrdiff_t row = first; row < end; row++) {
    for (ptrdiff_t k = 0; k < columns; k += LANES) {
      NAME(V) from[6][6];
      NAME(take_tile)(du + NAME(place)(l, row, k), l.step, from);
      BOTH_WAYS(from_filter, from, 6, result, 3)
      for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
          float *p = w + (9 * row + 3 * i + j) * columns + k;
          NAME(V) value = result[i][j];
          if (accumulate) value += NAME(load_some)(p, columns - k);
          NAME(store_some)(value, p, columns - k);
        }
      }
    }
  }
}
