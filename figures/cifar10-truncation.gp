# Fig 5b: spectral clipping with all singular values and with the r largest ones: accuracy, loss, error and time.
load table.".vars"
width = 9.6; height = 6.4
load "figures/style.gp"
set style fill transparent solid 0.13 noborder
arms = "exact rank1 rank5 rank10 rank20"
names = "'exact' 'rank 1' 'rank 5' 'rank 10' 'rank 20'"
colours = "#000000 #56b4e9 #009e73 #d55e00 #cc79a7"
number_of(a) = (at = 0, sum [k=1:words(arms)] (word(arms, k) eq a ? (at = k, 0) : 0), at)
arm(m) = m[strstrt(m, "-")+1:]
network(m) = m[1:8] eq "cifarnet" ? "CifarNet" : "ResNet-18"
colour(m) = word(colours, number_of(arm(m)))
networks = ""
do for [m in methods] { if (strstrt(networks, network(m)) == 0) { networks = networks." ".network(m) } }
title(m) = word(names, number_of(arm(m))).(words(networks) > 1 ? ", ".network(m) : "")
dashes(m) = network(m) eq word(networks, 1) ? 1 : 2
index_of(m) = (at = -1, sum [k=1:words(methods)] (word(methods, k) eq m ? (at = k - 1, 0) : 0), at)
n = words(methods)
step = 3 + n_seeds
accuracy = 2; loss = 2 + 2*step; error = 2 + 3*step; clip = 2 + 2*step
stats table index 0 using 1 nooutput
epochs = STATS_max
set multiplot
array x0[4] = [0.075, 0.56, 0.075, 0.66]; array x1[4] = [0.50, 0.985, 0.50, 0.965]
array y0[4] = [0.61, 0.61, 0.105, 0.105]; array y1[4] = [0.945, 0.945, 0.44, 0.44]
array column_of[3] = [accuracy, loss, error]
array titles[3] = ["validation accuracy", "validation loss (nats an image)", "relative distance from the exact clip"]
do for [panel=1:3] {
  q = column_of[panel]
  factor = panel == 1 ? 100 : 1
  set lmargin at screen x0[panel]; set rmargin at screen x1[panel]
  set bmargin at screen y0[panel]; set tmargin at screen y1[panel]
  set xrange [(panel == 3 ? 0 : 0.7) : epochs + 0.3]
  set xtics 1
  set xlabel "epoch" offset 0,0.4
  unset ylabel
  set title titles[panel] font ",9.5" offset 0,-0.6
  # Bands may end where no accuracy and no loss can be.
  if (panel == 1) { set yrange [0<*:*<100] } else { set yrange [0<*:*] }
  if (panel == 3) { set yrange [*:*]; set logscale y }
  set format y (panel == 1 ? "%g %%" : "%g")
  if (panel == 1) {
    set key at screen 0.53, screen 0.515 center center horizontal maxrows 1 Left reverse samplen 1.5 font ",8.5"
  } else { unset key }
  if (panel > 1) { unset label 99 }
  bands = 'for [m in methods] table index index_of(m) using ($1 < 1 ? NaN : $1):(factor*column(q+1)):(factor*column(q+2)) with filledcurves fc rgb colour(m) notitle, '
  # A distance of zero is not drawn, nor is the arm that has no other.
  means = 'for [m in drawn] table index index_of(m) using ($1 < (panel == 3 ? 0 : 1) || (panel == 3 && column(q) <= 0) ? NaN : $1):(factor*column(q)) with linespoints pt 7 ps 0.35 lc rgb colour(m) lw 1.6 dt dashes(m) title title(m)'
  drawn = methods
  if (panel == 3) {
    drawn = ""
    do for [m in methods] { if (arm(m) ne "exact") { drawn = drawn." ".m } }
  }
  eval("plot ".(panel == 3 ? "" : bands).means)
}
set lmargin at screen x0[4]; set rmargin at screen x1[4]; set bmargin at screen y0[4]; set tmargin at screen y1[4]
set title "time of the clip in a step" font ",9.5" offset 0,-0.6
unset logscale y
set yrange [n + 0.6 : 0.4]
set xrange [0:*]
set xlabel "ms, least disturbed seed" offset 0,0.4
set format x "%g"; set format y "%s"
set xtics autofreq
set ytics 1 font ",8" scale 0
set grid xtics lc rgb "#e0e0e0" lw 0.6 dt 1
set boxwidth 0.6
set style fill solid 0.6 noborder
plot table index n using (column(clip)/2):1:(column(clip)/2):(0.3):ytic(stringcolumn(clip+2)) with boxxyerror lc rgb blue
unset multiplot
