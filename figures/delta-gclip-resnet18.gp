# SPDX-License-Identifier: Apache-2.0
# ResNet-18 of 2404.08624: training loss and test accuracy by epoch, of few seeds every one, of more the interval of the mean; at the
# right, final accuracies.
load table.".vars"
width = 9.6; height = 3.9
load "figures/style.gp"
set style fill transparent solid 0.10 noborder
set multiplot
left = 0.06; gap = 0.06; top = 1 - 0.3/height
w = 0.262
list = every_arm(n_arm)
# Whole epochs; the point before the first one is left out.
e = '(column("epoch") < 1 ? NaN : column("epoch"))'
epochs = 1
do for [k=1:n_arm] {
  stats table index b(arm[k]) using (column("epoch")) nooutput
  if (STATS_max > epochs) { epochs = STATS_max }
}
set xrange [1 : epochs > 1 ? epochs : 2]
set xtics 1
if (epochs > 8) { set xtics autofreq }
set xlabel "epoch" offset 0,0.4
do for [c=0:1] {
  series = c == 0 ? "train_loss" : "val_accuracy"
  factor = c == 0 ? 1 : 100
  eval(place(left + c*(w + gap), left + c*(w + gap) + w, foot, top))
  low = 1e300; high = -1e300
  set yrange [*:*]
  do for [k=1:n_arm] { do for [name in drawn_of(series)] {
    stats table index b(arm[k]) using (@e):(column("epoch") < 1 ? NaN : factor*column(name)) nooutput
    if (STATS_records > 0 && STATS_min_y < low) { low = STATS_min_y }
    if (STATS_records > 0 && STATS_max_y > high) { high = STATS_max_y }
  } }
  if (high <= low) { low = low < 1e299 ? 0.9*low : 0; high = 1.1*low + 1 }
  # The legend has a part of the height of the first panel for itself.
  span = high - low
  set yrange [low - 0.1*span : high + (c == 0 ? 0.6 : 0.1)*span]
  set key top right font ",7.5" spacing 0.95
  every_y = step((c == 0 ? 1.7 : 1.2)*span); set ytics every_y
  set format y (c == 0 ? "%g" : "%g %%")
  set title (c == 0 ? "training loss" : "accuracy on the test images") noenhanced font ",9" offset 0,-0.6
  if (c > 0) { unset label 99 }
  # GClip lies under δ-GClip, whose runs are the same where δ never acts.
  plot for [k in banded(list)] table index b(arm[N(k)]) using (@e):(factor*column(series.".low")):(factor*column(series.".high")) @band notitle, \
       for [k in list] for [s in lone] table index b(arm[N(k)]) using (@e):(factor*seed(series, s)) @single notitle, \
       for [k in list] table index b(arm[N(k)]) using (@e):(factor*column(series.".mean")) @curve title (c == 1 ? "" : arm_title[N(k)])
}
# Final accuracies.
eval(place(left + 2*(w + gap) + 0.115, 0.985, foot, top))
set title "final accuracy, 95 %" font ",9" offset 0,-0.6
unset xlabel
set format x "%g %%"
set xrange [*:*]; set xtics autofreq
final = "final_val_accuracy"; sorted = 0; factor = 100; fewer = 1.6
load "figures/finals.gp"
unset multiplot
