# SPDX-License-Identifier: Apache-2.0
# The search behind a table of hyper-parameters: what every trial ended with against its step size, a panel a method, larger
# dots for longer trials. The winner is circled; where one of its hyper-parameters lies within a tenth of an end of its range,
# the panel says so. Dotted: the ends of the range; dashed: where it has grown to.
# Set before: linear where the axis of the objective is to be linear, columns.
load table.".vars"
if (!exists("columns")) { columns = n_arm < 6 ? n_arm : 6 }
rows = (n_arm + columns - 1) / columns
panel = columns > 4 ? 1.9 : 2.5  # inches
width = panel * columns + 0.74; height = 0.86 * panel * rows + 0.65
load "figures/style.gp"
# One range for all: trials beyond ten times the worst of the best are all the same failure and are drawn at the top.
xlow = 1e300; xhigh = 0; low = 1e300; worst = 0; start = 0
do for [k=1:n_arm] {
  stats table index b(arm[k]) using (column("learningRate")):(column("loss")) nooutput
  if (STATS_min_x < xlow) { xlow = STATS_min_x }
  if (STATS_max_x > xhigh) { xhigh = STATS_max_x }
  if (arm_low[k] < xlow) { xlow = arm_low[k] }
  if (arm_high[k] > xhigh) { xhigh = arm_high[k] }
  if (STATS_min_y < low) { low = STATS_min_y }
  if (STATS_min_y > worst) { worst = STATS_min_y }
  if (STATS_up_quartile_y > start) { start = STATS_up_quartile_y }
}
top = exists("linear") ? (start > worst ? start : worst) + 0.05*(start - low) : 2*(start > worst ? start : worst)
bottom = exists("linear") ? low - 0.06*(top - low) : low/2
set multiplot layout rows, columns margins 0.66 / width, 0.99, 0.75 / height, 1 - 0.24 / height spacing 0.12 / width, 0.27 / height
set logscale x
if (!exists("linear")) { set logscale y }
set xtics 10; if (!exists("linear")) { set ytics 10 }
set tics font ",7"
set xrange [xlow/1.5 : xhigh*1.5]
set yrange [bottom : top + (exists("linear") ? 0.04*(top - low) : 0.15*top)]
unset key
set style fill solid 1 noborder
do for [k=1:n_arm] {
  set format y ((k - 1) % columns > 0 ? "" : exists("linear") ? "%g" : "10^{%T}")
  set format x (k > n_arm - columns ? "10^{%T}" : "")
  set xlabel (k > n_arm - columns ? "step size" : "") font ",7.5" offset 0,0.5
  set ylabel ((k - 1) % columns == 0 ? objective : "") noenhanced font ",7.5" offset (exists("linear") ? 1.2 : 1.6)
  set title arm_title[k] noenhanced font ",7" offset 0,-0.9
  if (k > 1) { unset label 99 }
  set label 1 (arm_edge[k] eq "" ? "" : "↔ ".arm_edge[k]) at graph 0.02, graph 0.05 left noenhanced font ",6" tc rgb red
  best = arm_best[k]
  do for [e=1:4] { unset arrow e }
  set arrow 1 from first arm_first[k], graph 0 to first arm_first[k], graph 1 nohead dt 3 lc rgb "#a0a0a0"
  set arrow 2 from first arm_last[k], graph 0 to first arm_last[k], graph 1 nohead dt 3 lc rgb "#a0a0a0"
  if (arm_low[k] < 0.999*arm_first[k]) { set arrow 3 from first arm_low[k], graph 0 to first arm_low[k], graph 1 nohead dt 2 lc rgb "#a0a0a0" }
  if (arm_high[k] > 1.001*arm_last[k]) { set arrow 4 from first arm_high[k], graph 0 to first arm_high[k], graph 1 nohead dt 2 lc rgb "#a0a0a0" }
  plot table index b(arm[k]) using (column("learningRate")):(column("loss") > top ? NaN : column("loss")):(0.2 + 0.25*column("length")) with points pt 7 ps variable lc rgb blue, \
       table index b(arm[k]) using (column("learningRate")):(column("loss") > top || column("loss") != column("loss") ? top : NaN) with points pt 9 ps 0.4 lc rgb "#b0b0b0", \
       table index b(arm[k]) using (column("loss") == best && column("learningRate") == arm_rate[k] ? column("learningRate") : NaN):(column("loss")) with points pt 6 ps 0.9 lw 1.3 lc rgb red
}
unset multiplot
