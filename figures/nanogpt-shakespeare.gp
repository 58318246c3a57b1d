# Figs 6a, 6b and 2c: validation loss of nanoGPT by iteration (SGDM, Muon) and by the clock (SGDM); final losses.
load table.".vars"
width = 9.6; height = 6.6
load "figures/style.gp"
set style fill transparent solid 0.13 noborder
arms = "sgdm-norm sgdm-spectral sgdm-norm-fair sgdm-norm-micro sgdm-spectral-micro muon-norm muon-spectral muon-norm-fair"
colour(m) = m[strlen(m)-4:] eq "-norm" ? blue : m[strlen(m)-8:] eq "-spectral" ? red : \
  m[strlen(m)-4:] eq "-fair" ? sky : m eq "sgdm-norm-micro" ? green : orange
title(m) = m[strlen(m)-4:] eq "-norm" ? "norm clip, all parameters" : m[strlen(m)-8:] eq "-spectral" ? "spectral clip" : \
  m[strlen(m)-4:] eq "-fair" ? "norm clip, matrices only" : m eq "sgdm-norm-micro" ? "norm clip of micro-batches" : \
  "spectral clip of micro-batches"
index_of(m) = (at = -1, sum [k=1:words(methods)] (word(methods, k) eq m ? (at = k - 1, 0) : 0), at)
there = ""; sgdm = ""; muon = ""
do for [m in arms] { if (index_of(m) >= 0) { there = there." ".m
  if (m[1:4] eq "sgdm") { sgdm = sgdm." ".m } else { muon = muon." ".m } } }
val = 5 + n_seeds; seconds = 8 + 2 * n_seeds
# The paper plots the training loss; at its own size so do we, the authors' curves dotted beside ours.
is_paper = profile eq "paper"
main = is_paper ? 2 : val
thin = is_paper ? val : 2
what = is_paper ? "training" : "validation"
# Panels show what lies within 0.6 above their lowest curve; the losses at the start are far beyond.
array low[2] = [1e9, 1e9]
do for [m in there] {
  stats table index index_of(m) using val nooutput
  k = m[1:4] eq "sgdm" ? 1 : 2
  if (STATS_min < low[k]) { low[k] = STATS_min }
}
stats table index words(methods) using 2 nooutput
best = STATS_min; worst = STATS_max
set multiplot
set xrange [0:*]
set ytics 0.1
set key top right Left reverse samplen 1.6 spacing 1.1 font ",8"
array x0[4] = [0.07, 0.55, 0.07, 0.72]; array x1[4] = [0.50, 0.985, 0.50, 0.985]
array y0[4] = [0.585, 0.585, 0.105, 0.105]; array y1[4] = [0.945, 0.945, 0.46, 0.46]
do for [panel=1:2] {
  set lmargin at screen x0[panel]; set rmargin at screen x1[panel]
  set bmargin at screen y0[panel]; set tmargin at screen y1[panel]
  list = panel == 1 ? sgdm : muon
  set yrange [low[panel] - 0.06 : low[panel] + 0.6]
  set xlabel "training step" offset 0,0.4
  set ylabel (panel == 1 ? what." loss (nats a character)" : "") offset 1.2
  set title (panel == 1 ? "Fig 6a: SGDM" : "Fig 6b: Muon").(is_paper ? " (authors dotted)" : "") font ",9.5" offset 0,-0.6
  if (panel > 1) { unset label 99 }
  ours = 'for [m in list] table index index_of(m) using 1:(column(main+1)):(column(main+2)) with filledcurves fc rgb colour(m) notitle, '. \
    'for [m in list] table index index_of(m) using 1:(column(thin)) with lines lc rgb colour(m) lw 0.7 dt (3,2) notitle, '. \
    'for [m in list] table index index_of(m) using 1:(column(main)) with lines lc rgb colour(m) lw 1.7 title title(m)'
  stem = "< tr ',' '\t' < figures/reference/nanogpt_".(panel == 1 ? "trainloss_sgd_" : "trainloss_muon_")
  theirs = 'for [a in "norm spectral"] stem.a.".csv" skip 1 using 1:2 with lines lc rgb (a eq "norm" ? blue : red) lw 1.2 dt "." notitle'
  if (strlen(list) > 0) { eval("plot ".ours.(is_paper ? ", ".theirs : "")) }
}
set lmargin at screen x0[3]; set rmargin at screen x1[3]; set bmargin at screen y0[3]; set tmargin at screen y1[3]
set xlabel "seconds of training (evaluation and records not counted)" offset 0,0.4
set ylabel "validation loss (nats a character)" offset 1.2
set yrange [low[1] - 0.06 : low[1] + 0.6]
set title "Fig 2c: SGDM by the clock" font ",9.5" offset 0,-0.6
pair = ""
do for [m in "sgdm-norm sgdm-spectral sgdm-norm-fair"] { if (index_of(m) >= 0) { pair = pair." ".m } }
ours = 'for [m in pair] table index index_of(m) using seconds:(column(val+1)):(column(val+2)) with filledcurves fc rgb colour(m) notitle, '. \
  'for [m in pair] table index index_of(m) using seconds:(column(val)) with lines lc rgb colour(m) lw 1.7 title title(m)'
theirs = 'for [a in "norm spectral"] "< tr , \"\\t\" < figures/reference/nanogpt_sgd_testloss_hours_".a.".csv" skip 1 '. \
  'using (3600*$1):2 with lines lc rgb (a eq "norm" ? blue : red) lw 1.2 dt "." title "authors, one A100"'
eval("plot ".ours.(is_paper ? ", ".theirs : ""))
# Final losses, best at the top.
unset key
n = words(methods)
set lmargin at screen x0[4]; set rmargin at screen x1[4]; set bmargin at screen y0[4]; set tmargin at screen y1[4]
unset ylabel
set yrange [n + 0.6 : 0.4]
set xrange [best - 0.05 : worst + 0.1]
set xlabel "final validation loss" offset 0,0.4
set title "all arms, every seed" font ",9.5" offset 0,-0.6
set grid xtics lc rgb "#e0e0e0" lw 0.6 dt 1
set format y "%s"
set ytics 1 font ",8" scale 0
set xtics autofreq
plot table index n using ($2):1:($3):($4):ytic(stringcolumn(5+n_seeds)) with xerrorbars pt 7 ps 0.5 lw 1.2 lc rgb red, \
     for [s=1:n_seeds] table index n using (column(4+s)):1 with points pt 6 ps 0.4 lw 0.8 lc rgb "#404040"
unset multiplot
