# SPDX-License-Identifier: Apache-2.0
# §5.2: time of one clip against its rank, a panel a size: truncated, from a warm start, full SVD and the exact clip of this suite.
load table.".vars"
columns = n_size < 4 ? n_size : 4
rows = (n_size + columns - 1) / columns
width = 9.6; height = 2.3*rows + 1.0
load "figures/style.gp"
low = 1e300; high = 0; ranks = 1
do for [k=1:n_size] { do for [c in "truncated svd exact"] {
  stats table index b(size[k]) using (column("rank")):(column(c)) nooutput
  if (STATS_records > 0) {
    if (STATS_min_y < low) { low = STATS_min_y }
    if (STATS_max_y > high) { high = STATS_max_y }
    if (STATS_max_x > ranks) { ranks = STATS_max_x }
  }
} }
set multiplot layout rows, columns margins 0.085, 0.985, 0.98/height, 1 - 0.3/height spacing 0.025, 0.62/height
set logscale xy
set xrange [0.8 : ranks*1.25]; set yrange [low/1.5 : high*1.5]
set format x "%g"
set tics font ",8"
seconds = '("10 µs" 1e-5, "100 µs" 1e-4, "1 ms" 1e-3, "10 ms" 1e-2, "100 ms" 1e-1, "1 s" 1, "10 s" 10)'
blank = '("" 1e-5, "" 1e-4, "" 1e-3, "" 1e-2, "" 1e-1, "" 1, "" 10)'
unset key
do for [k=1:n_size] {
  eval("set ytics ".((k - 1) % columns == 0 ? seconds : blank))
  set xlabel (k > n_size - columns ? "rank r" : "") offset 0,0.5
  set ylabel ((k - 1) % columns == 0 ? "median time" : "") offset 1
  set title size[k] noenhanced font ",9" offset 0,-0.7
  if (k > 1) { unset label 99 }
  plot table index b(size[k]) using (column("rank")):(column("order")) with lines lc rgb "#909090" dt 3 lw 1.1, \
       table index b(size[k]) using (column("rank")):(column("svd")) with lines lc rgb grey lw 1.6 dt 2, \
       table index b(size[k]) using (column("rank")):(column("exact")) with lines lc rgb red lw 1.6 dt 5, \
       table index b(size[k]) using (column("rank")):(column("truncated")) with linespoints lc rgb blue lw 1.7 pt 7 ps 0.5, \
       table index b(size[k]) using (column("rank")):(column("warm")) with linespoints lc rgb orange lw 1.4 dt 4 pt 9 ps 0.5
}
eval legend_strip
plot [0:1] [0:1] 2 with lines lc rgb grey lw 1.6 dt 2 title "full SVD, reassembled", 2 with lines lc rgb red lw 1.6 dt 5 title "exact clip of this suite", \
     2 with linespoints lc rgb blue lw 1.7 pt 7 ps 0.5 title "Algorithm 2 at rank r", 2 with linespoints lc rgb orange lw 1.4 dt 4 pt 9 ps 0.5 title "from a warm start", 2 with lines lc rgb "#909090" dt 3 lw 1.1 title "O(m n r)"
unset multiplot
