# SPDX-License-Identifier: Apache-2.0
# Seconds over size, a panel an axis; the fitted slope of its upper half beside the operations' exponent, which the dotted line has.
load table.".vars"
columns = 4; rows = (n_axis + columns - 1) / columns
width = 9.6; height = 2.3*rows + 0.5
load "figures/style.gp"
set multiplot layout rows, columns margins 0.07, 0.985, 0.62/height, 1 - 0.3/height spacing 0.05, 0.72/height
set logscale xy
set format x "%g"
set tics font ",8"
seconds = '("1 µs" 1e-6, "10 µs" 1e-5, "100 µs" 1e-4, "1 ms" 1e-3, "10 ms" 1e-2, "100 ms" 1e-1, "1 s" 1, "10 s" 10)'
eval("set ytics ".seconds)
unset key
do for [k=1:n_axis] {
  set xrange [*:*]; set yrange [*:*]
  stats table index b(axis[k]) using (column("size")):(column("seconds")) nooutput
  set xrange [STATS_min_x/1.4 : STATS_max_x*1.4]; set yrange [STATS_min_y/3 : STATS_max_y*3]
  set xtics STATS_min_x, STATS_max_x/STATS_min_x > 100 ? 8 : 2, STATS_max_x
  set xlabel title_of[k] offset 0,0.9
  set title sprintf("slope %.2f, operations %d", slope[k], power[k]) font ",9" offset 0,-0.7
  if (k > 1) { unset label 99 }
  last = power[k] > 0 ? STATS_max_y / STATS_max_x**power[k] : STATS_max_y / STATS_min_x**power[k]
  plot last * x**power[k] with lines lc rgb "#909090" dt 3 lw 1.1, \
       table index b(axis[k]) using (column("size")):(column("seconds")) with linespoints lc rgb blue lw 1.7 pt 7 ps 0.6
}
unset multiplot
