# Fig 4: final loss over step size and threshold, norm against spectral clipping; below, what it comes to.
load table.".vars"
width = 9.6; height = 6.2
load "figures/style.gp"
unset grid
set style fill solid 1.0 noborder
# Cells are rectangles on the logarithmic grid; a run that diverged stays white.
stats table index 0 using 1 nooutput
rates = STATS_min < STATS_max ? STATS_max - STATS_min : 1
cells = STATS_records
stats table index 0 using 2 nooutput
levels = STATS_max > STATS_min ? STATS_max - STATS_min : 1
# Rows of equal first coordinate: the number of thresholds.
first_rate = NaN; thresholds = 0
stats table index 0 using (first_rate = (first_rate == first_rate ? first_rate : $1), \
  thresholds = thresholds + ($1 == first_rate ? 1 : 0), $1) nooutput
step_sizes = cells / thresholds
dx = 0.5 * rates / (step_sizes > 1 ? step_sizes - 1 : 1)
dy = 0.5 * levels / (thresholds > 1 ? thresholds - 1 : 1)
loss_palette = "0 '#fde725', 0.25 '#5ec962', 0.5 '#21918c', 0.75 '#3b528b', 1 '#440154'"
top = 0.935; middle = 0.60; bottom = 0.115; lower = 0.455
set multiplot
set border 15 lc rgb "#404040"
set xrange [-4-dx:-1+dx]
set xtics ("10^{-4}" -4, "10^{-3}" -3, "10^{-2}" -2, "10^{-1}" -1) out nomirror
set yrange [-2-dy:1+dy]
set ytics ("10^{-2}" -2, "10^{-1}" -1, "1" 0, "10" 1) out nomirror
set xlabel "step size" offset 0,0.4
set ylabel "threshold" offset 0.6
set bmargin at screen middle; set tmargin at screen top
unset key
set logscale cb; set cbrange [1e-3:1]; set format cb "10^{%T}"
eval "set palette defined (".loss_palette.")"
unset colorbox
set lmargin at screen 0.07; set rmargin at screen 0.275
set title "norm clipping" font ",9" offset 0,-0.7
plot table index 0 using 1:2:(dx):(dy):3 with boxxyerror lc palette
unset label 99
set ytics ("" -2, "" -1, "" 0, "" 1)
unset ylabel
set lmargin at screen 0.315; set rmargin at screen 0.52
set colorbox user origin 0.53, middle size 0.012, top - middle
set title "spectral clipping" font ",9" offset 0,-0.7
plot table index 1 using 1:2:(dx):(dy):3 with boxxyerror lc palette
set lmargin at screen 0.68; set rmargin at screen 0.885
unset logscale cb; set cbrange [-1.5:1.5]; set format cb "%g"
set palette defined (-1 "#2166ac", -0.5 "#92c5de", 0 "#f7f7f7", 0.5 "#f4a582", 1 "#b2182b")
set colorbox user origin 0.895, middle size 0.012, top - middle
set title "gap: log_{10} (norm / spectral)" font ",9" offset 0,-0.7
plot table index 3 using 1:2:(dx):(dy):3 with boxxyerror lc palette
# Lower row.
set bmargin at screen bottom; set tmargin at screen lower
set logscale cb; set cbrange [1e-3:1]
eval "set palette defined (".loss_palette.")"
unset colorbox
set lmargin at screen 0.07; set rmargin at screen 0.275
set ylabel "quantile level q" offset 0.6
set title "quantile rule (beyond the paper)" font ",9" offset 0,-0.7
set yrange [0.46:1.03]; unset ytics; set ytics 0.5, 0.1, 1 out nomirror
# A profile may leave the quantile rule out; its block is then one line of NaN.
if (strstrt(methods, "quantile") > 0) {
  first_rate = NaN; count_q = 0
  stats table index 2 using (first_rate = (first_rate == first_rate ? first_rate : $1), \
    count_q = count_q + ($1 == first_rate ? 1 : 0), $2) nooutput
  dq = 0.5 * (STATS_max - STATS_min) / (count_q > 1 ? count_q - 1 : 1)
  plot table index 2 using 1:2:(dx):(dq):3 with boxxyerror lc palette
} else {
  set label 1 "not run at this profile;\nsee profile quick" at graph 0.5, 0.55 center font ",8" tc rgb grey
  plot [-4:-1] [0.5:1] 2 notitle
  unset label 1
}
set border 3; set grid lc rgb "#e0e0e0" lw 0.6 dt 1
set lmargin at screen 0.365; set rmargin at screen 0.57
unset xtics; unset ytics
set xrange [1e-3:1.5]; set yrange [0:1]
set logscale x; set format x "10^{%T}"; set format y "%g"
set xtics 10 nomirror; set ytics 0.2 nomirror
set xlabel "loss level"; set ylabel "share of cells below it" offset 0.8
set title "size of the good region" font ",9" offset 0,-0.7
set key at graph 0.04, graph 0.97 left top Left reverse samplen 1.4 font ",8"
plot table index 4 using 1:2 with lines lc rgb blue lw 1.8 title "norm", \
     table index 4 using 1:3 with lines lc rgb red lw 1.8 title "spectral", \
     table index 4 using 1:4 with lines lc rgb green lw 1.6 dt "-" title "quantile"
set lmargin at screen 0.68; set rmargin at screen 0.96
set yrange [1e-3:2]; set xrange [1e-5:1]
set logscale y; set format y "10^{%T}"
set ytics 10 nomirror
set xlabel "median norm of an update"; set ylabel "final loss" offset 0.8
set title "at equal update norm" font ",9" offset 0,-0.7
set key at graph 0.03, graph 0.03 left bottom Left reverse samplen 1.2 font ",8"
plot table index 0 using 4:3 with points pt 7 ps 0.25 lc rgb "#a8c9e0" title "norm, cells", \
     table index 1 using 4:3 with points pt 7 ps 0.25 lc rgb "#efb59a" title "spectral, cells", \
     table index 5 using 1:2 with linespoints lc rgb blue lw 1.5 pt 7 ps 0.4 title "norm, best", \
     table index 5 using 1:3 with linespoints lc rgb red lw 1.5 pt 7 ps 0.4 title "spectral, best"
unset multiplot
