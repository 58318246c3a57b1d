# SPDX-License-Identifier: Apache-2.0
# Fig 5a: running mean of the squared bias of the clipped gradient in trace regression.
# Left as the authors draw it (10 sampled gradients an iterate); right the exact expectation.
load table.".vars"
width = 7.8; height = 3.6
load "figures/style.gp"
set logscale xy
set format x "10^{%T}"
set format y "10^{%T}"
set xtics 10; set ytics 10
# Both panels have one range, from the means: a band may begin below it, and a mean at zero has no place on the axis.
low = 1e300; high = 0
array quantity[2] = ["bias_sq_monte_carlo_mean", "bias_sq_exact_mean"]
do for [k=1:n_arm] { do for [q=1:2] {
  stats table index b(arm[k]) using (column(quantity[q].".mean") > 0 ? log10(column(quantity[q].".mean")) : NaN) nooutput
  if (STATS_records > 0) {
    # The deepest means are those of large thresholds, zero to rounding; two decades of them are enough.
    stats table index b(arm[k]) using (column(quantity[1].".mean")) nooutput
    if (STATS_min < low) { low = STATS_min }
    if (STATS_max > high) { high = STATS_max }
  }
} }
low = 10**(floor(log10(low)) - 2); high = 10**ceil(log10(high))
set yrange [low : high]
visible(y) = y > low ? y : low/10
set xlabel "iteration k" offset 0,0.5
set multiplot
do for [q=1:2] {
  eval(q == 1 ? place(0.10, 0.43, foot, 0.90) : place(0.475, 0.805, foot, 0.90))
  if (q == 1) {
    set ylabel "running mean of Δ²" offset 1.0
    set title "from 10 sampled gradients, as in the paper" font ",9" offset 0,-0.6
    unset key
  } else {
    set key at screen 0.995, screen 0.88 right top vertical width -2 font ",8.5"
    set title "exact expectation over all N terms" font ",9" offset 0,-0.6
    unset ylabel; set format y ""; unset label 99
  }
  plot for [k in banded(every_arm(n_arm))] table index b(arm[N(k)]) using (column("iteration")):(visible(column(quantity[q].".low"))):(visible(column(quantity[q].".high"))) @band notitle, \
       for [k=1:n_arm] for [s in lone] table index b(arm[k]) using (column("iteration")):(visible(seed(quantity[q], s))) @single notitle, \
       for [k=1:n_arm] table index b(arm[k]) using (column("iteration")):(visible(column(quantity[q].".mean"))) @curve title arm_title[k]
}
unset multiplot
