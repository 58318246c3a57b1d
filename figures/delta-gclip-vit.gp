# SPDX-License-Identifier: Apache-2.0
# The vision transformer of 2404.08624: training loss and test accuracy by epoch, the ablation of δ; below, final accuracies and the authors'
# own curves.
load table.".vars"
width = 9.6; height = 7.0
load "figures/style.gp"
set multiplot
left = 0.075; gap = 0.055; right = 0.985; top = 1 - 0.3/height
w = (right - left - 2*gap) / 3; h = 0.37
# Whole epochs; the point before the first one is left out.
e = '(column("epoch") < 1 ? NaN : column("epoch"))'
epochs = 1
do for [k=1:n_arm] {
  stats table index b(arm[k]) using (column("epoch")) nooutput
  if (STATS_max > epochs) { epochs = STATS_max }
}
set xrange [1 : epochs > 1 ? epochs : 2]
set xlabel "epoch" offset 0,0.4
do for [panel=0:2] {
  g = panel < 1 ? 1 : panel
  series = panel == 0 ? "train_loss" : "val_accuracy"
  factor = panel == 0 ? 1 : 100
  eval(place(left + panel*(w + gap), left + panel*(w + gap) + w, top - h, top))
  low = 1e300; high = -1e300
  set yrange [*:*]
  do for [k=1:n_arm] { if (arm_group[k] == g || panel > 0) {
    do for [c in drawn_of(series)] {
      stats table index b(arm[k]) using (@e):(column("epoch") < 1 ? NaN : factor*column(c)) nooutput
      if (STATS_records > 0 && STATS_min_y < low) { low = STATS_min_y }
      if (STATS_records > 0 && STATS_max_y > high) { high = STATS_max_y }
    }
  } }
  if (high <= low) { low = low < 1e299 ? 0.9*low : 0; high = 1.1*low + 1 }
  # The legend has a part of the height for itself.
  span = high - low
  if (panel == 0) { set yrange [low - 0.06*span : high + 0.75*span]; set key top right font ",7.5" spacing 0.95 }
  if (panel > 0) { set yrange [low - 0.65*span : high + 0.12*span]; set key bottom right font ",7.5" spacing 0.95 }
  every_y = step(1.6*span); set ytics every_y
  set format y (panel == 0 ? "%g" : "%g %%")
  set title (panel == 0 ? "training loss" : panel == 1 ? "accuracy on the test images" : "accuracy: ".group[2]) noenhanced font ",9" offset 0,-0.6
  if (panel > 0) { unset label 99 }
  list = g <= n_group ? members(g) : ""
  plot for [k in banded(list)] table index b(arm[N(k)]) using (@e):(factor*column(series.".low")):(factor*column(series.".high")) @band notitle, \
       for [k in list] for [s in lone] table index b(arm[N(k)]) using (@e):(factor*seed(series, s)) @single notitle, \
       for [k in list] table index b(arm[N(k)]) using (@e):(factor*column(series.".mean")) @curve title (panel == 1 ? "" : arm_title[N(k)])
}
# The authors' curves, at their size.
x0 = left + 2*(w + gap)
eval(place(x0, right, foot, 0.45))
drawn = ""
do for [k=1:n_arm] { if (has("authors:".arm[k])) { drawn = drawn." ".k } }
set title "the authors' ViT-tiny, all images" noenhanced font ",9" offset 0,-0.6
set xrange [1:100]; set yrange [*:*]; set ytics autofreq; set xtics autofreq
set format y "%g %%"
set key bottom right font ",7.5" spacing 0.95
# Arms of both groups: dashes and marks by their order here.
plot for [j=1:words(drawn)] table index b("authors:".arm[N(word(drawn, j))]) using (column("epoch")):(100*column("val_accuracy")) with linespoints lc rgb arm_color[N(word(drawn, j))] lw 1.4 dt j pt 2*j + 3 ps 0.5 pn 8 title arm_title[N(word(drawn, j))], \
     1/0 notitle
# Final accuracies.
eval(place(0.19, x0 - gap - 0.01, foot, 0.45))
set title "final accuracy on the test images: mean, 95 % interval, every seed" font ",9" offset 0,-0.6
unset xlabel
set format x "%g %%"
set xrange [*:*]; set xtics autofreq
final = "final_val_accuracy"; sorted = 0; factor = 100
load "figures/finals.gp"
unset multiplot
