# SPDX-License-Identifier: Apache-2.0
# Fig 4: final loss over step size and threshold, norm against spectral clipping; below, what it comes to.
load table.".vars"
width = 9.6; height = 6.4
load "figures/style.gp"
unset grid
set style fill solid 1.0 noborder
low = 1e300; high = 0
do for [name in "norm spectral quantile"] { if (has(name)) {
  stats table index b(name) using (column("loss")) nooutput
  if (STATS_records > 0) {
    if (STATS_min < low) { low = STATS_min }
    if (STATS_max > high) { high = STATS_max }
  }
} }
# Losses above 1 are those of a network that has learned nothing.
high = high > 1 ? 1 : high
# Blue: norm clipping ends lower; red: spectral clipping does.
widest = 1
if (has("gap")) {
  stats table index b("gap") using (abs(column("gap"))) nooutput
  if (STATS_records > 0) { widest = ceil(2*STATS_up_quartile) < 1 ? 1 : ceil(2*STATS_up_quartile) }
}
top = 0.935; middle = 0.60; lower = 0.455
losses = "set logscale cb; set cbrange [low:high]; set format cb '10^{%T}'; set cblabel 'final training loss' offset 0.3 font ',8'; set palette defined (0 '#fde725', 0.25 '#5ec962', 0.5 '#21918c', 0.75 '#3b528b', 1 '#440154')"
ratios = "unset logscale cb; set cbrange [-widest:widest]; set format cb '%g'; set cblabel '← norm lower (dots)    spectral lower →' offset 0.3 font ',8'; set palette defined (-1 '#2166ac', -0.5 '#92c5de', 0 '#f7f7f7', 0.5 '#f4a582', 1 '#b2182b')"
# Cells are the rectangles of the table; a run that diverged is grey.
cells(name) = sprintf("plot table index b('%s') using (column('rate')):(column('threshold')):(column('rate.low')):(column('rate.high')):(column('threshold.low')):(column('threshold.high')) with boxxyerror lc rgb '#d0d0d0' notitle, '' index b('%s') using (column('rate')):(column('threshold')):(column('rate.low')):(column('rate.high')):(column('threshold.low')):(column('threshold.high')):(column('%s')) with boxxyerror lc palette notitle", name, name, name eq "gap" ? "gap" : "loss")
range(name) = sprintf("set xrange [*:*]; set yrange [*:*]; stats table index b('%s') using (column('rate.low')):(column('threshold.low')) nooutput; xa = STATS_min_x; ya = STATS_min_y; stats table index b('%s') using (column('rate.high')):(column('threshold.high')) nooutput; set xrange [xa:STATS_max_x]; set yrange [ya:STATS_max_y]", name, name)
set multiplot
set border 15 lc rgb "#404040"
set logscale xy; set format x "10^{%T}"; set format y "10^{%T}"
set xtics 10 out nomirror; set ytics 10 out nomirror
set xlabel "step size" offset 0,0.4
unset key; unset colorbox
array x0[3] = [0.075, 0.315, 0.68]; array x1[3] = [0.275, 0.515, 0.88]
array shown[3] = ["norm", "spectral", "gap"]
array titles[3] = ["norm clipping", "spectral clipping", "gap: log_{10}(loss of norm / loss of spectral)"]
do for [p=1:3] { if (has(shown[p])) {
  unset logscale xy
  eval range(shown[p])
  set logscale xy
  eval place(x0[p], x1[p], middle, top)
  eval(p < 3 ? losses : ratios)
  if (p == 1) { set ylabel "threshold" offset 0.6 } else { unset ylabel; set format y "" }
  if (p > 1) {
    set colorbox user origin x1[p] + 0.01, middle size 0.012, top - middle
    unset label 99
  }
  set title titles[p] font ",9" offset 0,-0.7
  # In gray the two ends of the gap look alike: cells where norm clipping ends lower have a dot.
  dots = p == 3 ? ", '' index b('gap') using (column('gap') < 0 ? column('rate') : NaN):(column('threshold')) with points pt 7 ps 0.18 lc rgb black notitle" : ""
  eval cells(shown[p]).dots
} }
# Lower row.
unset colorbox
if (has("quantile")) {
  unset logscale xy
  eval range("quantile")
  set logscale x
  eval place(x0[1], x1[1], foot, lower)
  eval losses
  set format y "%g"; set ytics autofreq out nomirror
  set ylabel "quantile level q" offset 0.6
  set title "quantile rule (beyond the paper)" font ",9" offset 0,-0.7
  eval cells("quantile")
  unset label 99
}
set border 3; set grid lc rgb "#e0e0e0" lw 0.6 dt 1
set logscale x; set format x "10^{%T}"; set format y "%g %%"
set xtics 10 nomirror; set ytics 20 nomirror
if (has("quantile")) { eval place(x0[2] + 0.055, x1[2] + 0.055, foot, lower) } else { eval place(x0[1], x1[2], foot, lower) }
set xrange [*:*]; set yrange [*:*]
stats table index b("share") using (column("loss")) nooutput
set xrange [STATS_min:STATS_max]; set yrange [0:100]
set xlabel "loss" offset 0,0.4; set ylabel "cells below it" offset 0.8
set title "size of the good region" font ",9" offset 0,-0.7
set key top left font ",8"
set arrow 1 from good_loss, graph 0 to good_loss, graph 1 nohead lc rgb "#909090" dt 3
plot for [k=1:n_arm] table index b("share") using (column("loss")):(100*column(arm[k])) @curve title arm_title[k]
unset arrow 1; unset label 99
if (has("norm") && has("spectral")) {
  eval place(x0[3], 0.96, foot, lower)
  unset logscale
  ya = 1e300; xa = 1e300; xb = 0
  set xrange [*:*]; set yrange [*:*]
  do for [name in "norm spectral"] {
    stats table index b(name) using (column("update_norm")):(column("loss")) nooutput
    if (STATS_min_x < xa) { xa = STATS_min_x }
    if (STATS_max_x > xb) { xb = STATS_max_x }
    if (STATS_min_y < ya) { ya = STATS_min_y }
  }
  set logscale xy; set format y "10^{%T}"
  set xrange [xa/1.3:xb*1.3]; set yrange [ya/3:2]
  set ytics 10 nomirror
  set xlabel "median norm of an update" offset 0,0.4; set ylabel "final loss" offset 0.8
  set title "at equal update norm" font ",9" offset 0,-0.7
  set key bottom left font ",8"
  plot table index b("norm") using (column("update_norm")):(column("loss")) with points pt 4 ps 0.3 lw 0.6 lc rgb "#7fb2d4" title "norm, cells", \
       table index b("spectral") using (column("update_norm")):(column("loss")) with points pt 7 ps 0.22 lc rgb "#efa585" title "spectral, cells", \
       table index b("best") using (column("update_norm")):(column("norm")) with linespoints lc rgb blue lw 1.5 dt 2 pt 5 ps 0.5 title "norm, best of a bin", \
       table index b("best") using (column("update_norm")):(column("spectral")) with linespoints lc rgb red lw 1.5 pt 7 ps 0.5 title "spectral, best of a bin"
}
unset multiplot
