# The search behind a table of hyper-parameters: loss of every trial against its step size, one small panel a method.
load table.".vars"
n = words(methods)
columns = n < 7 ? n : 7
rows = (n + columns - 1) / columns
width = 1.5 * columns + 0.5; height = 1.35 * rows + 0.6
load "figures/style.gp"
set multiplot layout rows, columns margins 0.07, 0.99, 0.72 / (1.35 * rows + 0.6), 1 - 0.22 / (1.35 * rows + 0.6) spacing 0.012, 0.075
set logscale x
if (!exists("linear")) { set logscale y }
# Set by the caller: xlow, xhigh, ylow, yhigh (losses above yhigh are drawn at the top).
set xrange [xlow:xhigh]; set yrange [ylow:yhigh * 1.2]
set format x ""
set format y ""
set xtics 10; if (exists("linear")) { set ytics 1 } else { set ytics 10 }
set tics font ",7"
unset key
do for [i=1:n] {
  set format y ((i - 1) % columns > 0 ? "" : exists("linear") ? "%g" : "10^{%T}")
  set format x (i > n - columns ? "10^{%T}" : "")
  set xlabel (i > n - columns ? "step size" : "") font ",7.5" offset 0,0.5
  set ylabel ((i - 1) % columns == 0 ? "loss" : "") font ",7.5" offset 2.2
  set title word(methods, i) font ",7" offset 0,-0.9
  if (i > 1) { unset label 99 }
  stats table index i using 0 nooutput
  last = int(STATS_columns)
  plot table index i using 1:(column(last) > yhigh ? yhigh : column(last)) with points pt 7 ps 0.3 lc rgb blue
}
unset multiplot
