# SPDX-License-Identifier: Apache-2.0
# Fig 2b: training loss of the MLP under heavy-tailed gradient noise; right, final losses of all methods.
load table.".vars"
rows = (n_group + 1) / 2
columns = n_group > 1 ? 2 : 1
width = 10.6; height = 1.2 + 3.0 * (rows > 1 ? rows : 1.2)
load "figures/style.gp"
set multiplot
set logscale y
set format y "10^{%T}"
low = 1e300; high = 0; steps = 0
do for [k=1:n_arm] {
  stats table index b(arm[k]) using (column("step")):(column("train_loss.mean")) nooutput
  if (STATS_min_y < low) { low = STATS_min_y }
  if (STATS_max_y > high) { high = STATS_max_y }
  if (STATS_max_x > steps) { steps = STATS_max_x }
  if (has("authors:".arm[k])) {
    stats table index b("authors:".arm[k]) using (column("train_loss")) nooutput
    if (STATS_min < low) { low = STATS_min }
  }
}
thousands = steps >= 5000 ? 1000.0 : 1.0
set xrange [0 : steps/thousands]
# The legend has the upper third for itself.
set yrange [low/1.6 : high*(high/low)**0.5]
x1 = 0.645; gap = 0.055; left = 0.07
w = (x1 - left - (columns - 1)*gap) / columns
top = 1 - 0.3/height; vgap = 0.62/height
h = (top - foot - (rows - 1)*vgap) / rows
set key top right font ",7.5" spacing 0.95 width -1
do for [g=1:n_group] {
  c = (g - 1) % columns; r = (g - 1) / columns
  eval(place(left + c*(w + gap), left + c*(w + gap) + w, top - r*(h + vgap) - h, top - r*(h + vgap)))
  set xlabel (r == rows - 1 || g == n_group ? (thousands > 1 ? "training step (thousands)" : "training step") : "") offset 0,0.4
  set ylabel (c == 0 ? "training loss" : "") offset 1.4
  set format y (c == 0 ? "10^{%T}" : "")
  set title group[g] noenhanced font ",9" offset 0,-0.6
  if (g > 1) { unset label 99 }
  list = members(g)
  dotted = ""
  do for [k in list] { if (has("authors:".arm[N(k)])) { dotted = dotted." ".k } }
  plot for [k in list] table index b(arm[N(k)]) using (column("step")/thousands):(column("train_loss.low")):(column("train_loss.high")) @band notitle, \
       for [k in dotted] table index b("authors:".arm[N(k)]) using (column("step")/thousands):(column("train_loss")) @theirs notitle, \
       for [k in list] table index b(arm[N(k)]) using (column("step")/thousands):(column("train_loss.mean")) @curve title arm_title[N(k)], \
       1/0 with linespoints lc rgb grey lw 1.4 dt '.' pt 6 ps 0.55 title (strlen(dotted) > 0 ? "authors' curve (marks open)" : "")
}
unset logscale y
eval(place(0.85, 0.985, foot, top))
set xrange [*:*]; set yrange [*:*]
# What diverged stands at the right edge, three times as far as the worst of the others.
limit = 0
do for [s in seeds] {
  stats table index b("final") using (column("final_train_loss.seed".s) < loss_limit ? column("final_train_loss.seed".s) : NaN) nooutput
  if (STATS_records > 0 && 3*STATS_max > limit) { limit = 3*STATS_max }
}
set logscale x
set xrange [*:*]
set xtics auto
set format x "10^{%T}"
set xlabel "final training loss" offset 0,0.4
set title "all methods, every seed" font ",9" offset 0,-0.6
final = "final_train_loss"; sorted = 1; factor = 1
load "figures/finals.gp"
unset multiplot
