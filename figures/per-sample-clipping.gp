# SPDX-License-Identifier: Apache-2.0
# AlexNet of 2605.02701: training loss and test accuracy by epoch, both by the clock; right, final training losses of all arms.
load table.".vars"
width = 10.2; height = 7.0
load "figures/style.gp"
set multiplot
x1 = 0.64; gap = 0.03; left = 0.075
w = (x1 - left - (n_group - 1)*gap) / n_group
top = 1 - 0.3/height; vgap = 0.42/height
h = (top - foot - 2*vgap) / 3
# Row 1: training loss by epoch; row 2: accuracy by epoch (thin: training); row 3: training loss by the clock.
do for [r=0:2] {
  series = r == 1 ? "val_accuracy" : "train_loss"
  # Not "x": in a plot that is gnuplot's own variable.
  along = r == 2 ? "seconds" : "epoch"
  factor = r == 1 ? 100 : 1
  low = 1e300; high = -1e300; end = 0
  set xrange [*:*]; set yrange [*:*]
  do for [k=1:n_arm] {
    do for [c in drawn_of(series)] {
      stats table index b(arm[k]) using (column(along)):(column("epoch") < 1 ? NaN : factor*column(c)) nooutput
      if (STATS_records > 0) {
        if (STATS_min_y < low) { low = STATS_min_y }
        if (STATS_max_y > high) { high = STATS_max_y }
        if (STATS_max_x > end) { end = STATS_max_x }
      }
    }
    if (r == 1) {
      stats table index b(arm[k]) using (column("epoch") < 1 ? NaN : 100*column("train_accuracy.mean")) nooutput
      if (STATS_records > 0 && STATS_min < low) { low = STATS_min }
      if (STATS_records > 0 && STATS_max > high) { high = STATS_max }
    }
  }
  if (high <= low) { high = low + 1 }
  set yrange [low - 0.06*(high - low) : high + (r == 0 ? 0.55 : 0.08)*(high - low)]
  every_y = step(high - low); set ytics every_y
  set xrange [0 : end]
  set xtics auto
  do for [g=1:n_group] {
    c = g - 1
    eval(place(left + c*(w + gap), left + c*(w + gap) + w, top - r*(h + vgap) - h, top - r*(h + vgap)))
    set xlabel (r == 2 ? "seconds of training (evaluation not counted)" : "epoch") offset 0,0.5
    set ylabel (c == 0 ? (r == 1 ? "test accuracy, % (thin: training)" : "training loss") : "") offset 0.2
    set format y (c == 0 ? "%g" : "")
    set title (r == 0 ? group[g] : "") noenhanced font ",9" offset 0,-0.6
    if (r == 0) { set key top right font ",7.5" spacing 0.95 width -1 } else { unset key }
    if (g > 1 || r > 0) { unset label 99 }
    list = members(g)
    thin = r == 1 ? list : ""
    plot for [k in banded(list)] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column(along)):(factor*column(series.".low")):(factor*column(series.".high")) @band notitle, \
         for [k in list] for [s in lone] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column(along)):(factor*seed(series, s)) @single notitle, \
         for [k in thin] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column(along)):(100*column("train_accuracy.mean")) @thinner notitle, \
         for [k in list] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column(along)):(factor*column(series.".mean")) @curve title arm_title[N(k)]
  }
}
eval(place(0.86, 0.985, foot, top))
set format x "%g"
fewer = 2  # the panel is narrow
set xlabel "final training loss" offset 0,0.5
set title "all methods, every seed" font ",9" offset 0,-0.6
final = "final_train_loss"; sorted = 1; factor = 1
load "figures/finals.gp"
unset multiplot
