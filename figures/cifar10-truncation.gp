# Fig 5b: spectral clipping with all singular values and with the r largest ones: accuracy, loss, error and time.
load table.".vars"
width = 9.6; height = 6.6
load "figures/style.gp"
# One network: the first.
list = members(1)
epochs = 1
do for [k in list] {
  stats table index b(arm[N(k)]) using (column("epoch")) nooutput
  if (STATS_max > epochs) { epochs = STATS_max }
}
set multiplot
every = epochs > 10 ? 2 : 1
array x0[4] = [0.075, 0.56, 0.075, 0.66]; array x1[4] = [0.50, 0.985, 0.50, 0.965]
array y0[4] = [0.61, 0.61, foot, foot]; array y1[4] = [0.945, 0.945, 0.44, 0.44]
array quantity[3] = ["val_accuracy", "val_loss", "clip_error"]
array titles[3] = ["accuracy on the test images", "loss on the test images (nats an image)", "relative distance from the exact clip"]
do for [panel=1:3] {
  q = quantity[panel]
  factor = panel == 1 ? 100 : 1
  eval(place(x0[panel], x1[panel], y0[panel], y1[panel]))
  set xrange [(panel == 3 ? 0 : 0.7) : epochs + 0.3]
  set xtics every
  set xlabel "epoch" offset 0,0.4
  set title titles[panel] font ",9.5" offset 0,-0.6
  set yrange [*:*]
  if (panel == 3) { set logscale y }
  set format y (panel == 1 ? "%g %%" : panel == 3 ? "10^{%T}" : "%g")
  if (panel == 1) {
    set key at screen 0.53, screen 0.515 center center horizontal maxrows 1 width 1 font ",8.5"
  } else { unset key }
  if (panel > 1) { unset label 99 }
  if (panel == 3) { set label 1 "the first point is step 1" at graph 0.04, graph 0.96 font ",7.5" tc rgb grey }
  # A distance of zero is not drawn, nor is the arm that has no other. Bands are of the first two panels.
  from = panel == 3 ? 0 : 1
  ok(c) = column("epoch") < from || (panel == 3 && column(q.".".c) <= 0) ? NaN : factor*column(q.".".c)
  plot for [k in (panel < 3 ? banded(list) : "")] table index b(arm[N(k)]) using (column("epoch")):(ok("low")):(ok("high")) @band notitle, \
       for [k in (panel < 3 ? list : "")] for [s in lone] table index b(arm[N(k)]) using (column("epoch")):(column("epoch") < 1 ? NaN : factor*seed(q, s)) @single notitle, \
       for [k in list] table index b(arm[N(k)]) using (column("epoch")):(ok("mean")) @curve title arm_title[N(k)]
}
unset label 1
eval(place(x0[4], x1[4], y0[4], y1[4]))
set title "time of the clip in a step" font ",9.5" offset 0,-0.6
unset logscale y
set yrange [n_arm + 0.6 : 0.4]
set xrange [0:*]
set xlabel "ms in an undisturbed step" offset 0,0.4
set format x "%g"; set format y "%s"
set xtics autofreq
set ytics 1 font ",8" scale 0 noenhanced
set grid xtics lc rgb "#e0e0e0" lw 0.6 dt 1
set style fill solid 0.6 noborder
plot table index b("final") using (column("clip_ms")/2):(column("number")):(column("clip_ms")/2):(0.3) with boxxyerror lc rgb blue notitle, \
     "" index b("final") using (column("clip_ms")):(column("number")):ytic(stringcolumn("title")) with points pt 0 lc rgb blue notitle
unset multiplot
