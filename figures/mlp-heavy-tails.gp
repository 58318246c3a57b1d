# Fig 2b: training loss of the MLP under heavy-tailed gradient noise; right, final losses of all methods.
load table.".vars"
width = 9.6; height = 4.6
load "figures/style.gp"
set style fill transparent solid 0.13 noborder
paper = "adam-none adam-norm sgdm-norm sgdm-spectral-const sgdm-spectral-ema sgdm-spectral-quantile sgdm-none muon clipped-scion"
title(m) = m eq "adam-none" ? "Adam" : m eq "adam-norm" ? "Adam, norm clip" : m eq "sgdm-norm" ? "SGDM, norm clip" : \
  m eq "sgdm-spectral-const" ? "SGDM, spectral const" : m eq "sgdm-spectral-ema" ? "SGDM, spectral EMA" : \
  m eq "sgdm-spectral-quantile" ? "SGDM, spectral quantile" : m eq "sgdm-none" ? "SGDM, no clip" : \
  m eq "muon" ? "Muon" : "Clipped Scion"
colour(m) = m eq "adam-none" ? grey : m eq "adam-norm" ? "#404040" : m eq "sgdm-norm" ? blue : \
  m eq "sgdm-spectral-const" ? red : m eq "sgdm-spectral-ema" ? orange : m eq "sgdm-spectral-quantile" ? green : \
  m eq "sgdm-none" ? "#b0b0b0" : m eq "muon" ? purple : sky
index_of(m) = (at = -1, sum [k=1:words(methods)] (word(methods, k) eq m ? (at = k - 1, 0) : 0), at)
# Only methods that have records.
there = ""
do for [m in paper] { if (index_of(m) >= 0) { there = there." ".m } }
authors = "spectral_const spectral_quantile muon clippedscion"
author_colour(a) = a eq "spectral_const" ? red : a eq "spectral_quantile" ? green : a eq "muon" ? purple : sky
set multiplot
set lmargin at screen 0.075; set rmargin at screen 0.435; set bmargin at screen 0.145; set tmargin at screen 0.9
set logscale y
set format y "10^{%T}"
set xlabel "training step (thousands)"
set ylabel "training loss" offset 1.2
set title "curves: ours solid, the authors' dotted" font ",9" offset 0,-0.6
set key at screen 0.445, screen 0.88 left top vertical Left reverse samplen 1.6 spacing 1.15 font ",8"
set yrange [4e-4:3]
plot for [m in there] table index index_of(m) using ($1/1000):3:4 with filledcurves fc rgb colour(m) notitle, \
     for [a in authors] "< tr ',' '\t' < figures/reference/mlp_trainloss_".a.".csv" skip 1 using \
       (column(1) < 0 ? NaN : column(1)/1000):2 with lines lc rgb author_colour(a) lw 1.3 dt '.' notitle, \
     for [m in there] table index index_of(m) using ($1/1000):2 with lines lc rgb colour(m) lw 1.5 title title(m)
unset label 99
unset key
# Final losses, best at the top.
n = words(methods)
set lmargin at screen 0.775; set rmargin at screen 0.985
unset ylabel; unset logscale y
set yrange [n + 0.6 : 0.4]
set logscale x
set xrange [*:3]
set format x "10^{%T}"
set xlabel "final training loss"
set title "all methods, every seed" font ",9" offset 0,-0.6
set grid xtics lc rgb "#e0e0e0" lw 0.6 dt 1
set format y "%s"
set ytics font ",8" scale 0
visible(x) = x > 2.5 ? 2.5 : x
plot table index n using (visible($2)):1:(visible($3)):(visible($4)):ytic(stringcolumn(5+n_seeds)) with xerrorbars pt 7 ps 0.5 lw 1.2 lc rgb red, \
     for [s=1:n_seeds] table index n using (visible(column(4+s))):1 with points pt 6 ps 0.4 lw 0.8 lc rgb "#404040"
unset multiplot
