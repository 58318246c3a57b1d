# SPDX-License-Identifier: Apache-2.0
# Fig 2a: accuracy by epoch for CifarNet and ResNet-18, and the final accuracies of all arms.
load table.".vars"
shown = n_group > 4 ? 4 : n_group
width = shown > 3 ? 11.6 : 9.6; height = 6.4 + 0.1*n_arm
load "figures/style.gp"
set multiplot
# All panels have one range of accuracies, from the means and intervals of the data.
low = 1e9; high = -1e9; epochs = 1
do for [k=1:n_arm] {
  do for [c in drawn_of("val_accuracy")] {
    stats table index b(arm[k]) using (column("epoch")):(column("epoch") < 1 ? NaN : 100*column(c)) nooutput
    if (STATS_records > 0 && STATS_min_y < low) { low = STATS_min_y }
    if (STATS_records > 0 && STATS_max_y > high) { high = STATS_max_y }
    if (STATS_records > 0 && STATS_max_x > epochs) { epochs = STATS_max_x }
  }
  if (n_seeds > 1 && !few) {
    stats table index b(arm[k]) using (column("epoch") < 1 ? NaN : 100*column("val_accuracy.high")) nooutput
    if (STATS_records > 0 && STATS_max > high) { high = STATS_max }
  }
  if (has("authors:".arm[k])) {
    stats table index b("authors:".arm[k]) using (100*column("val_accuracy")) nooutput
    if (STATS_max > high) { high = STATS_max }
  }
}
low = low > 5 ? low - 5 : 0
high = high < 98 ? high + 2 : 100
every = epochs > 10 ? 2 : 1
left = 0.08; gap = 0.035; right = 0.985
w = (right - left - (shown - 1)*gap) / shown
do for [g=1:shown] {
  eval(place(left + (g - 1)*(w + gap), left + (g - 1)*(w + gap) + w, 0.56, 0.945))
  list = members(g)
  set xrange [0.7 : epochs + 0.3]
  set xtics every
  set yrange [low:high]
  set format y (g == 1 ? "%g %%" : "")
  set xlabel "epoch" offset 0,0.4
  set ylabel (g == 1 ? "accuracy on the test images" : "") offset 0.6
  set title group[g] noenhanced font ",9" offset 0,-0.6
  set key bottom right font ",8"
  if (g > 1) { unset label 99 }
  dotted = ""
  do for [k in list] { if (has("authors:".arm[N(k)])) { dotted = dotted." ".k } }
  plot for [k in banded(list)] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column("epoch")):(100*column("val_accuracy.low")):(100*column("val_accuracy.high")) @band notitle, \
       for [k in list] for [s in lone] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column("epoch")):(100*seed("val_accuracy", s)) @single notitle, \
       for [k in dotted] table index b("authors:".arm[N(k)]) using (column("epoch")):(100*column("val_accuracy")) @theirs notitle, \
       for [k in list] table index b(arm[N(k)]) using (column("epoch") < 1 ? NaN : column("epoch")):(100*column("val_accuracy.mean")) @curve title arm_title[N(k)], \
       1/0 with linespoints lc rgb grey lw 1.4 dt '.' pt 6 ps 0.55 title (strlen(dotted) > 0 ? "authors, full width (marks open)" : "")
}
# Final accuracies over six views, in the order of the arms.
eval(place(0.30, 0.965, foot, 0.43))
set title "final accuracy over six views of each test image: ".(n_seeds > 1 ? "mean, 95 % interval, every seed" : "one seed") font ",9.5" offset 0,-0.6
set xrange [*:*]
set xlabel "final accuracy on the test images" offset 0,0.4
set format x "%g %%"
set xtics autofreq
final = "final_augmented_accuracy"; sorted = 0; factor = 100
load "figures/finals.gp"
unset multiplot
