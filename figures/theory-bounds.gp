# SPDX-License-Identifier: Apache-2.0
# Theorems 3.3 and 3.4 against measurement, the rate over alpha, the bias over tau; the neighbours' theorems on the right.
# Where a panel has an order of moments a color, three of them are drawn: measured solid, bounds dashed with open marks.
load table.".vars"
width = 12.6; height = 6.6
load "figures/style.gp"
shade(i) = word(blue." ".green." ".red, i)
# Without color an order is told by its mark, on what is measured and on its bound.
form(i) = i == 1 ? 5 : i == 2 ? 9 : 7
solid = "with linespoints lc rgb shade(i) lw 1.6 pt form(i) ps 0.5 pn 8"
dashed = "with linespoints lc rgb shade(i) lw 1.2 dt 2 pt open(form(i)) ps 0.5 pn 5"
set multiplot
array x0[3] = [0.055, 0.39, 0.725]; array x1[3] = [0.32, 0.655, 0.99]
# The legend has a strip of its own above the curves: the range's upper end lies that much higher.
panel(i) = "set xrange [*:*]; set yrange [*:*]; ".place(x0[(i-1)%3+1], x1[(i-1)%3+1], i < 4 ? 0.575 : foot, i < 4 ? 0.945 : 0.445)
range(name, columns) = "low = 1e300; high = 0; do for [c in '".columns."'] { stats table index b('".name."') using (column(c)) nooutput; if (STATS_records > 0) { if (STATS_min < low && STATS_min > 0) { low = STATS_min }; if (STATS_max > high) { high = STATS_max } } }"
set logscale xy
set format x "10^{%T}"; set format y "10^{%T}"
set key font ",8"

eval panel(1)
name33 = "theorem33:".theorem33_alpha
set title "Theorem 3.3: terms of the bound over τ (α = ".theorem33_alpha.")" font ",9" offset 0,-0.6
set xlabel "threshold τ" offset 0,0.3; set ylabel "mean squared gradient norm" offset 1
# The squared bias falls to nothing: the range ends below all that does not.
low = 1e300; high = 0
do for [c in "measured optimization noise bound"] {
  stats table index b(name33) using (column(c)) nooutput
  if (STATS_min < low) { low = STATS_min }
  if (STATS_max > high) { high = STATS_max }
}
stats table index b(name33) using (column("tau")) nooutput
set xrange [STATS_min : STATS_max]
set yrange [low/20 : high*300]
set key top left
plot table index b(name33) using (column("tau")):(column("bound")) with lines lc rgb black lw 1.8 title "bound, the sum of", \
     table index b(name33) using (column("tau")):(column("optimization")) with lines lc rgb blue lw 1.4 dt 2 title "  optimization error", \
     table index b(name33) using (column("tau")):(column("noise")) with lines lc rgb orange lw 1.4 dt 3 title "  noise", \
     table index b(name33) using (column("tau")):(column("bias") > 0 ? column("bias") : NaN) with lines lc rgb green lw 1.4 dt 4 title "  squared bias (measured)", \
     table index b(name33) using (column("tau")):(column("measured")) with linespoints lc rgb red lw 1.6 pt 7 ps 0.5 title "measured"
unset label 99
eval panel(2)
set title "Theorem 3.4: potential over K" font ",9" offset 0,-0.6
set xlabel "steps K" offset 0,0.3; set ylabel "mean of min(‖∇f‖, ‖∇f‖²)" offset 1
low = 1e300; high = 0
do for [i=1:n_alpha34] { do for [c in "bound spectral none"] {
  stats table index b("theorem34:".alpha34[i]) using (column(c) > 0 ? column(c) : NaN) nooutput
  if (STATS_records > 0 && STATS_min < low) { low = STATS_min }
  if (STATS_records > 0 && c ne "none" && STATS_max > high) { high = STATS_max }
} }
set yrange [low/2 : high*100]
set key top right maxrows 3 width -1
plot for [i=1:n_alpha34] table index b("theorem34:".alpha34[i]) using (column("steps")):(column("spectral")) @solid title "α = ".alpha34[i], \
     1/0 with lines lc rgb grey lw 1.2 dt 2 title "bound", \
     1/0 with points pt 6 ps 1.3 lc rgb grey title "without clipping", \
     for [i=1:n_alpha34] table index b("theorem34:".alpha34[i]) using (column("steps")):(column("bound")) @dashed notitle, \
     for [i=1:n_alpha34] table index b("theorem34:".alpha34[i]) using (column("steps")):(column("none")) with points lc rgb shade(i) pt 6 ps 1.3 notitle

eval panel(3)
set title "1905.11881: iterations on cosh" font ",9" offset 0,-0.6
set xlabel "start x_1" offset 0,0.3; set ylabel "iterations to ‖∇f‖ = 0.1" offset 0.6
set format x "%g"; set xtics (1, 2, 4, 8, 16)
eval range("iterations:cosh", "clipped normalised fixed clipped_bound fixed_bound")
stats table index b("iterations:cosh") using (column("start")) nooutput
set xrange [0.9*STATS_min : 1.1*STATS_max]
set yrange [low/2 : high*3e4]
set key top left maxrows 5
plot table index b("iterations:cosh") using (column("start")):(column("fixed")) with linespoints lc rgb blue lw 1.6 pt 5 ps 0.5 title "fixed step", \
     table index b("iterations:cosh") using (column("start")):(column("normalised")) with linespoints lc rgb orange lw 1.3 pt 9 ps 0.5 title "normalized", \
     table index b("iterations:cosh") using (column("start")):(column("clipped")) with linespoints lc rgb red lw 1.6 pt 7 ps 0.5 title "clipped", \
     table index b("iterations:cosh") using (column("start")):(column("minimax_lower_bound")) with lines lc rgb grey lw 1.4 dt '.' title "minimax lower bound of the class", \
     1/0 with lines lc rgb grey lw 1.2 dt 2 title "upper bounds", \
     table index b("iterations:cosh") using (column("start")):(column("clipped_bound")) with linespoints lc rgb red lw 1.2 dt 2 pt 6 ps 0.5 notitle, \
     table index b("iterations:cosh") using (column("start")):(column("fixed_bound")) with linespoints lc rgb blue lw 1.2 dt 2 pt 4 ps 0.5 notitle
unset xtics; set xtics nomirror

eval panel(4)
set title "rate: slope of the potential over K" font ",9" offset 0,-0.6
unset logscale
set format x "%g"; set format y "%g"
set xlabel "moment order α" offset 0,0.3; set ylabel "exponent of K" offset 1
set key top right maxrows 8
stats table index b("rate") using (column("alpha")):(column("rate")) nooutput
set xrange [STATS_min_x:STATS_max_x]; set yrange [STATS_min_y - 0.05 : 0.1]
plot table index b("rate") using (column("alpha")):(column("rate")) with lines lc rgb black lw 1.6 title "Theorem 3.4 (upper bound)", \
     table index b("slopes") using (column("alpha")):(column("slope")):(column("low")):(column("high")) with yerrorbars lc rgb red pt 7 ps 0.6 lw 1.3 title "measured, 95 %"
set logscale xy
set format x "10^{%T}"; set format y "10^{%T}"

eval panel(5)
set title "bias of the clipped gradient" font ",9" offset 0,-0.6
set xlabel "threshold τ" offset 0,0.3; set ylabel "‖∇f − E C_τ(G)‖" offset 1 noenhanced
low = 1e300; high = 0
do for [i=1:n_alpha_bias] {
  stats table index b("bias:".alpha_bias[i]) using (column("tau")):(column("bound")) nooutput
  if (STATS_max_y > high) { high = STATS_max_y }
  if (STATS_min_y < low) { low = STATS_min_y }
  xa = STATS_min_x; xb = STATS_max_x
}
set xrange [xa:xb]
set yrange [low/1000 : high*10]
set key top right maxrows 2
plot for [i=1:n_alpha_bias] table index b("bias:".alpha_bias[i]) using (column("tau")):(column("bias")) @solid title "α = ".alpha_bias[i], \
     1/0 with lines lc rgb grey lw 1.2 dt 2 title "bound", \
     for [i=1:n_alpha_bias] table index b("bias:".alpha_bias[i]) using (column("tau")):(column("bound")) @dashed notitle

eval panel(6)
set title "2605.02701: error of per-sample clipping" font ",9" offset 0,-0.6
set xlabel "samples n" offset 0,0.3; set ylabel "mean squared error" offset 1
low = 1e300; high = 0
do for [i=1:n_moment] { do for [c in "error bound"] {
  stats table index b("samples:".moment[i]) using (column("samples")):(column(c)) nooutput
  if (STATS_max_y > high) { high = STATS_max_y }
  if (STATS_min_y < low) { low = STATS_min_y }
  xa = STATS_min_x; xb = STATS_max_x
}
set xrange [xa:xb] }
set yrange [low/2 : high*10]
set key top right maxrows 2
plot for [i=1:n_moment] table index b("samples:".moment[i]) using (column("samples")):(column("error")) @solid title "p = ".moment[i], \
     1/0 with lines lc rgb grey lw 1.2 dt 2 title "bound", \
     for [i=1:n_moment] table index b("samples:".moment[i]) using (column("samples")):(column("bound")) @dashed notitle
unset multiplot
