# SPDX-License-Identifier: Apache-2.0
# Fig 5b: spectral clipping with all singular values and with the r largest ones, a row a network; below, what the arms ended with and the
# time of their clips.
load table.".vars"
networks = n_group > 2 ? 2 : n_group
lower = 0.85 + 0.21*n_arm
width = 9.6; height = 2.65*networks + lower + 1.0
load "figures/style.gp"
set multiplot
array x0[3] = [0.07, 0.395, 0.725]; array x1[3] = [0.335, 0.66, 0.99]
array quantity[3] = ["val_accuracy", "val_loss", "clip_error"]
array titles[3] = ["accuracy on the test images", "loss on the test images (nats an image)", "relative distance from the exact clip"]
do for [g=1:networks] {
  list = members(g)
  epochs = 1
  do for [k in list] {
    stats table index b(arm[N(k)]) using (column("epoch")) nooutput
    if (STATS_max > epochs) { epochs = STATS_max }
  }
  every = epochs > 10 ? 2 : 1
  over = 1 - (0.36 + 2.65*(g - 1))/height; under = over - 1.95/height
  do for [panel=1:3] {
    q = quantity[panel]
    factor = panel == 1 ? 100 : 1
    eval(place(x0[panel], x1[panel], under, over))
    set xrange [(panel == 3 ? 0 : 0.7) : epochs + 0.3]
    set xtics every
    set xlabel "epoch" offset 0,0.4
    set title group[g].", ".titles[panel] noenhanced font ",8.5" offset 0,-0.6
    set yrange [*:*]
    if (panel == 3) { set logscale y } else { unset logscale y }
    set format y (panel == 1 ? "%g %%" : panel == 3 ? "10^{%T}" : "%g")
    if (panel == 1) { set key bottom right font ",8" } else { unset key }
    if (panel + g > 2) { unset label 99 }
    if (panel == 3) { set label 1 "the first point is step 1" at graph 0.04, graph 0.96 font ",7.5" tc rgb grey } else { unset label 1 }
    # A distance of zero is not drawn, nor is the arm that has no other. Bands are of the first two panels.
    from = panel == 3 ? 0 : 1
    ok(c) = column("epoch") < from || (panel == 3 && column(q.".".c) <= 0) ? NaN : factor*column(q.".".c)
    plot for [k in (panel < 3 ? banded(list) : "")] table index b(arm[N(k)]) using (column("epoch")):(ok("low")):(ok("high")) @band notitle, \
         for [k in (panel < 3 ? list : "")] for [s in lone] table index b(arm[N(k)]) using (column("epoch")):(column("epoch") < 1 ? NaN : factor*seed(q, s)) @single notitle, \
         for [k in list] table index b(arm[N(k)]) using (column("epoch")):(ok("mean")) @curve title arm_title[N(k)]
  }
}
unset label 1; unset logscale y
top = foot + (lower - 0.3)/height
eval(place(0.24, 0.575, foot, top))
set title "accuracy at the end: ".(n_seeds > 1 ? "mean, 95 % interval, every seed" : "one seed") font ",9" offset 0,-0.6
set xlabel "accuracy on the test images" offset 0,0.4
set format x "%g %%"
final = "final_val_accuracy"; sorted = 0; factor = 100
load "figures/finals.gp"
eval(place(0.64, 0.985, foot, top))
set title "time of the clip in a step" font ",9" offset 0,-0.6
set yrange [n_arm + 0.6 : 0.4]
set xrange [0:*]
set xlabel "ms in an undisturbed step" offset 0,0.4
set format x "%g"
set xtics autofreq
unset ytics
set style fill solid 0.6 noborder
plot table index b("final") using (column("clip_ms")/2):(column("number")):(column("clip_ms")/2):(0.3) with boxxyerror lc rgb blue notitle
unset multiplot
