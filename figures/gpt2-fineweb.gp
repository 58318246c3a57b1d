# Figs 3 and 6c: validation loss of GPT-2 by step for SGDM, Adam and Muon, by the clock for SGDM; final losses.
load table.".vars"
width = 9.6; height = 6.6
load "figures/style.gp"
set style fill transparent solid 0.13 noborder
colour(m) = m[strlen(m)-4:] eq "-norm" ? blue : m[strlen(m)-8:] eq "-spectral" ? red : sky
title(m) = m[strlen(m)-4:] eq "-norm" ? "norm clip, all" : m[strlen(m)-8:] eq "-spectral" ? "spectral clip" : "norm clip, same set"
index_of(m) = (at = -1, sum [k=1:words(methods)] (word(methods, k) eq m ? (at = k - 1, 0) : 0), at)
arms(o) = (list = "", sum [k=1:words(methods)] (word(methods, k)[1:strlen("gpt2-".o)] eq "gpt2-".o ? (list = list." ".word(methods, k), 0) : 0), list)
val = 5 + n_seeds; seconds = 8 + 2 * n_seeds
low = 1e9; high = 0
do for [m in methods] { stats table index index_of(m) using val nooutput
  if (STATS_min < low) { low = STATS_min }
  if (STATS_max > high) { high = STATS_max } }
stats table index words(methods) using 2 nooutput
best = STATS_min; worst = STATS_max
set multiplot
set yrange [low - 0.08 : high]
set xrange [0:*]
set key top right Left reverse samplen 1.6 spacing 1.1 font ",8"
array x0[5] = [0.065, 0.39, 0.715, 0.065, 0.72]; array x1[5] = [0.335, 0.66, 0.985, 0.50, 0.985]
array y0[5] = [0.585, 0.585, 0.585, 0.105, 0.105]; array y1[5] = [0.945, 0.945, 0.945, 0.46, 0.46]
do for [panel=1:3] {
  set lmargin at screen x0[panel]; set rmargin at screen x1[panel]
  set bmargin at screen y0[panel]; set tmargin at screen y1[panel]
  list = arms(word("sgdm adam muon", panel))
  set xlabel "training step" offset 0,0.4
  set ylabel (panel == 1 ? "validation loss (nats a token)" : "") offset 1.2
  set title "Fig 3: ".word("SGDM Adam Muon", panel) font ",9.5" offset 0,-0.6
  if (panel > 1) { unset label 99 }
  if (strlen(list) > 0) {
    plot for [m in list] table index index_of(m) using 1:(column(val+1)):(column(val+2)) with filledcurves fc rgb colour(m) notitle, \
         for [m in list] table index index_of(m) using 1:2 with lines lc rgb colour(m) lw 0.7 dt (3,2) notitle, \
         for [m in list] table index index_of(m) using 1:(column(val)) with lines lc rgb colour(m) lw 1.7 title title(m)
  }
}
set lmargin at screen x0[4]; set rmargin at screen x1[4]; set bmargin at screen y0[4]; set tmargin at screen y1[4]
set xlabel "seconds of training (evaluation and records not counted)" offset 0,0.4
set ylabel "validation loss (nats a token)" offset 1.2
set title "Fig 6c: SGDM by the clock" font ",9.5" offset 0,-0.6
list = arms("sgdm")
plot for [m in list] table index index_of(m) using seconds:(column(val+1)):(column(val+2)) with filledcurves fc rgb colour(m) notitle, \
     for [m in list] table index index_of(m) using seconds:(column(val)) with lines lc rgb colour(m) lw 1.7 title title(m)
# Final losses, best at the top.
unset key
n = words(methods)
set lmargin at screen x0[5]; set rmargin at screen x1[5]; set bmargin at screen y0[5]; set tmargin at screen y1[5]
unset ylabel
set yrange [n + 0.6 : 0.4]
set xrange [best - 0.05 : worst + 0.1]
set xlabel "final validation loss" offset 0,0.4
set title "all arms, every seed" font ",9.5" offset 0,-0.6
set grid xtics lc rgb "#e0e0e0" lw 0.6 dt 1
set format y "%s"
set ytics 1 font ",8" scale 0
plot table index n using 2:1:3:4:ytic(stringcolumn(5+n_seeds)) with xerrorbars pt 7 ps 0.5 lw 1.2 lc rgb red, \
     for [s=1:n_seeds] table index n using (column(4+s)):1 with points pt 6 ps 0.4 lw 0.8 lc rgb "#404040"
unset multiplot
