# The search behind a table of hyper-parameters: loss of every trial against its step size, one small panel a method.
load table.".vars"
n = words(methods)
if (!exists("columns")) { columns = n < 7 ? n : 7 }
rows = (n + columns - 1) / columns
if (!exists("panel")) { panel = 1.5 }  # inches
width = panel * columns + 0.5; height = 0.9 * panel * rows + 0.6
load "figures/style.gp"
set multiplot layout rows, columns margins 0.5 / width, 0.99, 0.72 / height, 1 - 0.22 / height spacing 0.12 / width, 0.26 / height
set logscale x
if (!exists("linear")) { set logscale y }
# Set by the caller: xlow, xhigh, ylow, yhigh (losses above yhigh are drawn at the top).
set format x ""
set format y ""
set xtics 10; if (exists("linear")) { set ytics autofreq } else { set ytics 10 }
set tics font ",7"
unset key
do for [i=1:n] {
  set format y ((i - 1) % columns > 0 ? "" : exists("linear") ? "%g" : "10^{%T}")
  set format x (i > n - columns ? "10^{%T}" : "")
  set xlabel (i > n - columns ? "step size" : "") font ",7.5" offset 0,0.5
  set ylabel ((i - 1) % columns == 0 ? "loss" : "") font ",7.5" offset (exists("linear") ? 1.2 : 2.2)
  set title word(methods, i) font ",7" offset 0,-0.9
  if (i > 1) { unset label 99 }
  # Statistics look at what the ranges let through.
  set xrange [*:*]; set yrange [*:*]
  stats table index i using 0 nooutput
  last = int(STATS_columns)
  best = NaN
  stats table index i using last nooutput
  best = STATS_min
  set xrange [xlow:xhigh]; set yrange [ylow : (exists("linear") ? yhigh : 1.2 * yhigh)]
  plot table index i using 1:(column(last) > yhigh ? yhigh : column(last)) with points pt 7 ps 0.35 lc rgb blue, \
       table index i using (column(last) == best ? $1 : NaN):last with points pt 6 ps 0.9 lw 1.2 lc rgb red
}
unset multiplot
