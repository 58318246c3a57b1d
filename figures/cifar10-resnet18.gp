# Fig 2a: validation accuracy by epoch for CifarNet and ResNet-18, and the final accuracies of all arms.
load table.".vars"
width = 9.6; height = 6.8
load "figures/style.gp"
set style fill transparent solid 0.13 noborder
arms = "none norm spectral ema quantile muon delta"
names = "'no clip' 'norm clip' 'spectral clip' 'spectral EMA' 'spectral quantile' 'Muon' 'δ-GClip'"
colours = "#6f6f6f #0072b2 #d55e00 #e69f00 #b59f00 #cc79a7 #56b4e9"
number_of(a) = (at = 0, sum [k=1:words(arms)] (word(arms, k) eq a ? (at = k, 0) : 0), at)
arm(m) = m[strstrt(m, "-")+1:]
colour(m) = word(colours, number_of(arm(m)))
title(m) = word(names, number_of(arm(m)))
dashes(m) = number_of(arm(m)) <= 3 ? 1 : 2
index_of(m) = (at = -1, sum [k=1:words(methods)] (word(methods, k) eq m ? (at = k - 1, 0) : 0), at)
array list[2] = ["", ""]
do for [m in methods] {
  k = m[1:8] eq "cifarnet" ? 1 : 2
  if (number_of(arm(m)) > 0) { list[k] = list[k]." ".m }
}
# Columns: epoch, then mean, low, high and seeds of each quantity.
val = 2
n = words(methods)
stats table index 0 using 1 nooutput
epochs = STATS_max
last = 2 + 3 + n_seeds
stats table index n using (100*column(last)) nooutput
low = STATS_min; high = STATS_max
if (n_seeds > 1) {
  stats table index n using (100*column(last+1)) nooutput
  low = STATS_min < low ? STATS_min : low
  stats table index n using (100*column(last+2)) nooutput
  high = STATS_max > high ? STATS_max : high
}
margin = 0.1 * (high - low) + 0.5
low = low - margin < 0 ? 0 : low - margin
high = high + margin > 100 ? 100 : high + margin
set multiplot
set xrange [0.7 : epochs + 0.3]
set xtics 1
if (epochs > 10) { set xtics 2 }
set format y "%g %%"
# A network without records has no panel, the other one the whole width.
alone = strlen(list[1]) == 0 ? 2 : strlen(list[2]) == 0 ? 1 : 0
array x0[2] = [0.075, alone ? 0.075 : 0.56]; array x1[2] = [alone ? 0.985 : 0.515, 0.985]
do for [panel=(alone ? alone : 1):(alone ? alone : 2)] {
  set lmargin at screen x0[panel]; set rmargin at screen x1[panel]
  set bmargin at screen 0.54; set tmargin at screen 0.945
  set xlabel "epoch" offset 0,0.4
  set ylabel (panel == 1 || alone ? "validation accuracy" : "") offset 1.4
  set title (panel == 1 ? "CifarNet (the authors' code; their curves dotted)" : "ResNet-18 (the paper's text)") font ",9.5" offset 0,-0.6
  # One legend for both panels, by the panel that has more arms.
  if (words(list[panel]) > words(list[3-panel]) || (panel == 1 && words(list[1]) == words(list[2]))) {
    set key at screen 0.53, screen 0.458 center center horizontal maxrows 2 Left reverse samplen 1.5 width 0 font ",8"
  } else { unset key }
  set yrange [0:100]
  set ytics 20
  if (panel > 1 && !alone) { unset label 99 }
  bands = n_seeds < 2 ? "" : 'for [m in list[panel]] table index index_of(m) using ($1 < 1 ? NaN : $1):(100*column(val+1)):(100*column(val+2)) with filledcurves fc rgb colour(m) notitle, '
  ours = bands.'for [m in list[panel]] table index index_of(m) using ($1 < 1 ? NaN : $1):(100*column(val)) with linespoints pt 7 ps 0.35 lc rgb colour(m) lw 1.7 dt dashes(m) title title(m)'
  theirs = 'for [k=1:3] "< tr , \"\\t\" < figures/reference/cifar10_val_acc.csv" skip 2 using ($1+1):(100*column(k+1)) with lines lc rgb word(colours, k) lw 1.3 dt "." notitle'
  eval("plot ".ours.(panel == 1 ? ", ".theirs : ""))
}
# Final accuracies over six views, in the order of the arms.
unset key
set lmargin at screen 0.30; set rmargin at screen 0.965; set bmargin at screen 0.105; set tmargin at screen 0.385
unset ylabel
set title "final accuracy over six views of each test image: ".(n_seeds > 1 ? "mean, 95 % interval, every seed" : "one seed") font ",9.5" offset 0,-0.6
set yrange [n + 0.6 : 0.4]
set xrange [low : high]
set xlabel "final validation accuracy" offset 0,0.4
set format x "%g %%"; set format y "%s"
set xtics autofreq
set ytics 1 font ",8" scale 0
set grid xtics lc rgb "#e0e0e0" lw 0.6 dt 1
means = 'table index n using (100*column(last)):1:'.(n_seeds > 1 ? '(100*column(last+1)):(100*column(last+2)):' : '').'ytic(stringcolumn(last+3+n_seeds+2)) with '. \
  (n_seeds > 1 ? 'xerrorbars pt 7 ps 0.5' : 'points pt 7 ps 0.8').' lw 1.2 lc rgb red'
seeds = n_seeds < 2 ? "" : ', for [s=1:n_seeds] table index n using (100*column(last+2+s)):1 with points pt 6 ps 0.4 lw 0.8 lc rgb "#404040"'
eval("plot ".means.seeds)
unset multiplot
