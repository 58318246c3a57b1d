# SPDX-License-Identifier: Apache-2.0
# The autoencoder of 2404.08624: loss on training and on test images by epoch; right, final test losses of all methods.
load table.".vars"
width = 10.2; height = 5.4
load "figures/style.gp"
set multiplot
x1 = 0.70; gap = 0.03; left = 0.075
w = (x1 - left - (n_group - 1)*gap) / n_group
top = 1 - 0.3/height; vgap = 0.34/height
h = (top - foot - vgap) / 2
do for [r=0:1] {
  series = r == 0 ? "train_set_loss" : "val_loss"
  # One range for a row, from the first whole epoch on; a run before it is far above.
  low = 1e300; high = 0; epochs = 1
  do for [k=1:n_arm] {
    do for [q in drawn_of(series)] {
      stats table index b(arm[k]) using (column("epoch")):(column("epoch") < 1 ? NaN : column(q)) nooutput
      if (STATS_records > 0) {
        if (STATS_min_y < low) { low = STATS_min_y }
        if (STATS_max_y > high) { high = STATS_max_y }
        if (STATS_max_x > epochs) { epochs = STATS_max_x }
      }
    }
  }
  if (high <= low) { low = low < 1e299 ? low/1.1 : 1; high = 1.2*low }
  # What is beyond twice the least, as an arm that diverges, leaves the panel.
  if (high > 2*low) { high = 2*low }
  # The legend has the upper part for itself.
  set yrange [low - 0.06*(high - low) : high + (r == 0 ? 0.75 : 0.08)*(high - low)]
  every_y = step(high - low); set ytics every_y
  set xrange [0 : epochs]
  set xtics auto
  do for [g=1:n_group] {
    c = g - 1
    eval(place(left + c*(w + gap), left + c*(w + gap) + w, top - r*(h + vgap) - h, top - r*(h + vgap)))
    set xlabel (r == 1 ? "epoch" : "") offset 0,0.4
    set ylabel (c == 0 ? (r == 0 ? "loss on the training images" : "loss on the test images") : "") offset 0.2
    set format y (c == 0 ? "%g" : "")
    set format x (r == 1 ? "%g" : "")
    set title (r == 0 ? group[g] : "") noenhanced font ",9" offset 0,-0.6
    if (r == 0) { set key top right font ",7.5" spacing 0.95 width -1 } else { unset key }
    if (g > 1 || r > 0) { unset label 99 }
    list = members(g)
    plot for [k in banded(list)] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column("epoch")):(column(series.".low")):(column(series.".high")) @band notitle, \
         for [k in list] for [s in lone] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column("epoch")):(seed(series, s)) @single notitle, \
         for [k in list] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column("epoch")):(column(series.".mean")) @curve title arm_title[N(k)]
  }
}
eval(place(0.845, 0.985, foot, top))
set format x "%g"
set xlabel "final loss on the test images" offset 0,0.4
set title "all methods, every seed" font ",9" offset 0,-0.6
final = "final_val_loss"; sorted = 1; factor = 1
load "figures/finals.gp"
unset multiplot
