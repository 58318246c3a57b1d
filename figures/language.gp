# SPDX-License-Identifier: Apache-2.0
# Losses of language models. Set before: unit, lower (title of the lower left panel), figure_of(group).
load table.".vars"
width = 9.6; height = 6.7
load "figures/style.gp"
array low[n_group]; array high[n_group]
steps = 0
do for [g=1:n_group] {
  low[g] = 1e9; high[g] = 0
  do for [k in members(g)] {
    stats table index b(arm[N(k)]) using (column("step")):(column("val_loss.mean")) nooutput
    if (STATS_min_y < low[g]) { low[g] = STATS_min_y }
    # The first losses are far above all that the arms differ in: a panel ends at what all are below after a tenth.
    if (STATS_max_x > steps) { steps = STATS_max_x }
    span = STATS_max_x
    stats table index b(arm[N(k)]) using (column("step") >= 0.1*span ? column("val_loss.mean") : NaN) nooutput
    if (STATS_records > 0 && STATS_max > high[g]) { high[g] = STATS_max }
    stats table index b(arm[N(k)]) using (column("step") >= 0.5*span ? column("train_loss.mean") : NaN) nooutput
    if (STATS_records > 0 && STATS_min < low[g]) { low[g] = STATS_min }
  }
}
set multiplot
set key top right font ",8"
# Four lines more would be too many.
thin_of(list) = words(list) > 3 || few ? "" : list
name(q) = q eq "val_loss" ? "validation" : "training"
# A mean over seeds ends where one of them diverges; the legend says so, since such a curve is short or not there.
array ending[n_arm]
do for [k=1:n_arm] {
  stats table index b(arm[k]) using (column("step")) nooutput
  last = STATS_max
  stats table index b(arm[k]) using (column("step") == 0 || column("val_loss.mean") < 1e6 ? column("step") : NaN) nooutput
  ending[k] = STATS_max == last ? "" : " (runs diverged)"
}
shown = n_group > 3 ? 3 : n_group
left = 0.07; gap = 0.06; right = 0.975
w = (right - left - (shown - 1)*gap) / shown
do for [g=1:shown] {
  eval(place(left + (g - 1)*(w + gap), left + (g - 1)*(w + gap) + w, 0.585, 0.945))
  list = members(g); thins = thin_of(list)
  margin = 0.08 * (high[g] - low[g])
  # The legend has the upper right corner for itself.
  top = high[g] + 4*margin
  set yrange [low[g] - margin : top]
  set xrange [0:steps]
  set xlabel "training step" offset 0,0.4
  set ylabel (g == 1 ? "loss (".unit.")" : "") offset 1.2
  set title figure_of(group[g]) noenhanced font ",9.5" offset 0,-0.6
  if (g > 1) { unset label 99 }
  dotted = ""
  do for [k in list] { if (has("authors:".arm[N(k)])) { dotted = dotted." ".k } }
  plot for [k in banded(list)] table index b(arm[N(k)]) using (column("step")):(column(main.".mean") > top ? NaN : column(main.".low")):(column(main.".high")) @band notitle, \
       for [k in list] for [s in lone] table index b(arm[N(k)]) using (column("step")):(seed(main, s)) @single notitle, \
       for [k in thins] table index b(arm[N(k)]) using (column("step")):(column(thin.".mean")) @thinner notitle, \
       for [k in list] table index b(arm[N(k)]) using (column("step")):(column(main.".mean")) @curve title arm_title[N(k)].ending[N(k)], \
       1/0 with lines lc rgb black lw 1.6 title name(main)." loss (thick)", \
       1/0 with lines lc rgb black lw 0.7 title (strlen(thins) > 0 ? name(thin)." loss (thin)" : ""), \
       for [k in dotted] table index b("authors:".arm[N(k)]) using (column("step")):(column("loss")) @theirs notitle, \
       1/0 with linespoints lc rgb black lw 1.4 dt '.' pt 6 ps 0.55 title (strlen(dotted) > 0 ? "authors, training loss (marks open)" : "")
}
# By the clock: SGDM, or the first optimizer there is.
first = 1
do for [g=1:n_group] { if (group[g] eq "SGDM") { first = g } }
list = members(first)
end = 0
set xrange [*:*]; set yrange [*:*]
do for [k in list] {
  stats table index b(arm[N(k)]) using (column("seconds")) nooutput
  if (STATS_max > end) { end = STATS_max }
}
eval(place(left, 0.50, foot, 0.46))
set xlabel "seconds of training (evaluation and records not counted)" offset 0,0.4
set ylabel "validation loss (".unit.")" offset 1.2
margin = 0.08 * (high[first] - low[first])
top = high[first] + margin
set yrange [low[first] - margin : top]
dotted = ""
do for [k in list] { if (has("authors:clock:".arm[N(k)])) { dotted = dotted." ".k } }
do for [k in dotted] {
  stats table index b("authors:clock:".arm[N(k)]) using (column("seconds")) nooutput
  if (STATS_max > end) { end = STATS_max }
}
set xrange [0:1.02*end]
set title (group[first] eq "SGDM" ? lower : group[first]." by the clock") noenhanced font ",9.5" offset 0,-0.6
plot for [k in banded(list)] table index b(arm[N(k)]) using (column("seconds")):(column("val_loss.mean") > top ? NaN : column("val_loss.low")):(column("val_loss.high")) @band notitle, \
     for [k in list] for [s in lone] table index b(arm[N(k)]) using (column("seconds")):(seed("val_loss", s)) @single notitle, \
     for [k in list] table index b(arm[N(k)]) using (column("seconds")):(column("val_loss.mean")) @curve title arm_title[N(k)].ending[N(k)], \
     for [k in dotted] table index b("authors:clock:".arm[N(k)]) using (column("seconds")):(column("loss")) @theirs title "authors, one A100: ".arm_title[N(k)]
eval(place(0.74, 0.985, foot, 0.46))
set xrange [*:*]
set xlabel "final validation loss" offset 0,0.4
set title "all arms, every seed" font ",9.5" offset 0,-0.6
final = "final_val_loss"; sorted = 1; factor = 1
load "figures/finals.gp"
unset multiplot
