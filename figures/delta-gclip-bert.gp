# SPDX-License-Identifier: Apache-2.0
# BERT on Emotion after 2404.08624: training loss and test accuracy by epoch, the authors' own runs; below, final accuracies.
load table.".vars"
width = 9.6; height = 5.6
load "figures/style.gp"
set multiplot
left = 0.075; gap = 0.07; right = 0.985; top = 1 - 0.3/height
w = (right - left - 2*gap) / 3; h = 0.42
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
do for [panel=0:1] {
  series = panel == 0 ? "train_loss" : "val_accuracy"
  factor = panel == 0 ? 1 : 100
  eval(place(left + panel*(w + gap), left + panel*(w + gap) + w, top - h, top))
  low = 1e300; high = -1e300
  set yrange [*:*]
  do for [k=1:n_arm] {
    do for [c in drawn_of(series)] {
      stats table index b(arm[k]) using (@e):(column("epoch") < 1 ? NaN : factor*column(c)) nooutput
      if (STATS_records > 0 && STATS_min_y < low) { low = STATS_min_y }
      if (STATS_records > 0 && STATS_max_y > high) { high = STATS_max_y }
    }
  }
  if (high <= low) { low = low < 1e299 ? 0.9*low : 0; high = 1.1*low + 1 }
  # The legend has a part of the height of the first panel for itself.
  span = high - low
  set yrange [low - 0.12*span : high + (panel == 0 ? 0.7 : 0.12)*span]
  set key top right font ",7.5" spacing 0.95
  every_y = step((panel == 0 ? 1.7 : 1.2)*span); set ytics every_y
  set format y (panel == 0 ? "%g" : "%g %%")
  set title (panel == 0 ? "training loss" : "accuracy on the test texts") noenhanced font ",9" offset 0,-0.6
  if (panel > 0) { unset label 99 }
  plot for [k in banded(every_arm(n_arm))] table index b(arm[N(k)]) using (@e):(factor*column(series.".low")):(factor*column(series.".high")) @band notitle, \
       for [k=1:n_arm] for [s in lone] table index b(arm[k]) using (@e):(factor*seed(series, s)) @single notitle, \
       for [k=1:n_arm] table index b(arm[k]) using (@e):(factor*column(series.".mean")) @curve title (panel == 1 ? "" : arm_title[k])
}
# The authors' curves, at their size.
x0 = left + 2*(w + gap)
eval(place(x0, right, top - h, top))
drawn = ""
do for [k=1:n_arm] { if (has("authors:".arm[k])) { drawn = drawn." ".k } }
set title "the authors' DistilBERT, all texts" noenhanced font ",9" offset 0,-0.6
set xrange [1:15]; set yrange [93.5:96]; set ytics 0.5; set xtics 2
set format y "%g %%"
set key bottom right font ",7.5" spacing 0.95
plot for [k in drawn] table index b("authors:".arm[N(k)]) using (column("epoch")):(100*column("val_accuracy")) @curve title arm_title[N(k)], \
     1/0 notitle
# Final accuracies.
eval(place(0.19, right, foot, 0.40))
set title "final accuracy on the test texts: mean, 95 % interval, every seed" font ",9" offset 0,-0.6
unset xlabel
set format x "%g %%"
set xrange [*:*]; set xtics autofreq
final = "final_val_accuracy"; sorted = 0; factor = 100
load "figures/finals.gp"
unset multiplot
