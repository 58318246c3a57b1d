# Theorems 3.3 and 3.4 against measurement, the rate over alpha, the bias over tau.
load table.".vars"
width = 12.6; height = 6.4
load "figures/style.gp"
stats table using 1 nooutput
blocks = int(STATS_blocks)
alphas = (blocks - 5) / 3
shade(i) = word("#0072b2 #56b4e9 #009e73 #e69f00 #d55e00 #cc79a7", i % 6 + 1)
# The table lists the moment orders in its block of slopes.
alpha_list = ""
stats table index (2+alphas) using (alpha_list = alpha_list.sprintf(" %g", $1), $1) nooutput
set multiplot layout 2,3 margins 0.055,0.985,0.1,0.945 spacing 0.068,0.14
set logscale xy
set format x "10^{%T}"; set format y "10^{%T}"
set title "Theorem 3.3: terms of the bound over τ (α = 1.5)" font ",9" offset 0,-0.6
set xlabel "threshold τ" offset 0,0.3; set ylabel "mean squared gradient norm" offset 1
set key at graph 0.98, graph 0.03 right bottom Left reverse samplen 1.6 font ",8"
set xrange [0.08:25]; set yrange [1e-3:*]
plot table index 0 using 1:($3+$4+$5) with lines lc rgb "#000000" lw 1.8 title "bound", \
     table index 0 using 1:3 with lines lc rgb blue lw 1.2 dt "-" title "optimisation error", \
     table index 0 using 1:4 with lines lc rgb orange lw 1.2 dt "-" title "noise", \
     table index 0 using 1:5 with lines lc rgb green lw 1.2 dt "-" title "squared bias (measured)", \
     table index 0 using 1:2 with linespoints lc rgb red lw 1.6 pt 7 ps 0.5 title "measured"
unset label 99
set title "Theorem 3.4: potential over K, bounds dashed" font ",9" offset 0,-0.6
set xlabel "steps K" offset 0,0.3; set ylabel "mean of min(‖∇f‖, ‖∇f‖²)" offset 1
set key at graph 0.02, graph 0.03 left bottom Left reverse samplen 1.6 font ",8"
set xrange [*:*]; set yrange [*:*]
plot for [i=0:alphas-1] table index (2+i) using 1:2 with lines lc rgb shade(i) lw 1 dt "-" notitle, \
     for [i=0:alphas-1] table index (2+i) using 1:3 with linespoints lc rgb shade(i) lw 1.6 pt 7 ps 0.45 \
       title "α = ".word(alpha_list, i+1), \
     for [i=0:alphas-1] table index (2+i) using 1:4 with points lc rgb shade(i) pt 4 ps 0.7 notitle
set title "1905.11881: iterations on cosh, bounds dashed" font ",9" offset 0,-0.6
set xlabel "start x_1" offset 0,0.3; set ylabel "iterations to ‖∇f‖ = 0.1" offset 1
set format x "%g"; set xrange [0.9:9]; set xtics (1, 2, 4, 8)
set key at graph 0.02, graph 0.98 left top Left reverse samplen 1.6 font ",8"
acc = 3 + 2*alphas + 1
plot table index acc using 1:2 with linespoints lc rgb red lw 1.6 pt 7 ps 0.5 title "clipped", \
     table index acc using 1:3 with linespoints lc rgb orange lw 1.3 pt 5 ps 0.4 title "normalised", \
     table index acc using 1:4 with linespoints lc rgb blue lw 1.6 pt 7 ps 0.5 title "fixed step", \
     table index acc using 1:5 with lines lc rgb red lw 1 dt "-" notitle, \
     table index acc using 1:6 with lines lc rgb blue lw 1 dt "-" notitle, \
     table index acc using 1:7 with lines lc rgb grey lw 1 dt "." title "minimax lower bound (class)"
unset xtics; set xtics nomirror
set title "rate: slope of the potential over K" font ",9" offset 0,-0.6
unset logscale
set format x "%g"; set format y "%g"
set xlabel "moment order α" offset 0,0.3; set ylabel "exponent of K" offset 1
set key at graph 0.98, graph 0.97 right top Left reverse samplen 1.6 font ",8"
set xrange [1.05:2.05]; set yrange [*:0.05]
rate(a) = (2 - 2*a) / (3*a - 2)
plot rate(x) with lines lc rgb "#000000" lw 1.6 title "Theorem 3.4 (upper bound)", \
     table index (2+alphas) using 1:2:3:4 with yerrorbars lc rgb red pt 7 ps 0.6 lw 1.3 title "measured, 95 %"
set title "bias of the clipped gradient, bounds dashed" font ",9" offset 0,-0.6
set logscale xy
set format x "10^{%T}"; set format y "10^{%T}"
set xlabel "threshold τ" offset 0,0.3; set ylabel "‖∇f - E C_τ(G)‖" offset 1
set key at graph 0.02, graph 0.03 left bottom Left reverse samplen 1.6 font ",8"
set xrange [1:100]; set yrange [1e-4:*]
set key at graph 0.98, graph 0.5 right top Left reverse samplen 1.6 font ",8"
plot for [i=0:alphas-1] table index (3+alphas+i) using 1:3 with lines lc rgb shade(i) lw 1 dt "-" notitle, \
     for [i=0:alphas-1] table index (3+alphas+i) using 1:($2 > 0 ? $2 : NaN) with lines lc rgb shade(i) lw 1.6 \
       title "α = ".word(alpha_list, i+1)
set title "2605.02701: error of per-sample clipping, bounds dashed" font ",9" offset 0,-0.6
set xlabel "samples n" offset 0,0.3; set ylabel "mean squared error" offset 1
set xrange [1:1024]; set yrange [*:*]
set key at graph 0.02, graph 0.03 left bottom Left reverse samplen 1.6 font ",8"
plot for [i=0:alphas-1] table index (5+2*alphas+i) using 1:3 with lines lc rgb shade(i) lw 1 dt "-" notitle, \
     for [i=0:alphas-1] table index (5+2*alphas+i) using 1:2 with lines lc rgb shade(i) lw 1.6 \
       title "p = ".word(alpha_list, i+1)
unset multiplot
