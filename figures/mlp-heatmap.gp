# Fig 4: final loss over step size and threshold, norm against spectral clipping; below, what it comes to.
load table.".vars"
width = 9.6; height = 6.2
load "figures/style.gp"
unset grid
decades = "('10^{-4}' -4, '10^{-3}' -3, '10^{-2}' -2, '10^{-1}' -1)"
set macros
set multiplot
# Cells as rectangles on the logarithmic grid; a run that diverged stays white.
set logscale cb
set cbrange [1e-3:1]
set format cb "10^{%T}"
set palette defined (0 "#fde725", 0.25 "#5ec962", 0.5 "#21918c", 0.75 "#3b528b", 1 "#440154")
set xtics @decades
set xlabel "step size" offset 0,0.4
set ylabel "threshold" offset 1
set ytics ('10^{-2}' -2, '10^{-1}' -1, '1' 0, '10' 1)
set border 15 lc rgb "#404040"
top = 0.935; middle = 0.60
panel(i) = 0.07 + 0.245 * i
set bmargin at screen middle; set tmargin at screen top
unset colorbox; unset key
set lmargin at screen panel(0); set rmargin at screen panel(0) + 0.195
set title "norm clipping" font ",9" offset 0,-0.7
plot table index 0 using 1:2:3 with image pixels
unset label 99
unset ylabel; set format y ""
set lmargin at screen panel(1) - 0.02; set rmargin at screen panel(1) + 0.175
set title "spectral clipping" font ",9" offset 0,-0.7
set colorbox user origin panel(1) + 0.185, middle size 0.012, top - middle
plot table index 1 using 1:2:3 with image pixels
set lmargin at screen panel(2) + 0.055; set rmargin at screen panel(2) + 0.25
unset logscale cb
set cbrange [-1.5:1.5]
set format cb "%g"
set palette defined (-1 "#2166ac", -0.5 "#92c5de", 0 "#f7f7f7", 0.5 "#f4a582", 1 "#b2182b")
set colorbox user origin panel(2) + 0.26, middle size 0.012, top - middle
set title "gap: log_{10} (norm / spectral)" font ",9" offset 0,-0.7
plot table index 3 using 1:2:3 with image pixels
# Lower row.
bottom = 0.115; lower = 0.455
set bmargin at screen bottom; set tmargin at screen lower
set logscale cb
set cbrange [1e-3:1]
set format cb "10^{%T}"
set palette defined (0 "#fde725", 0.25 "#5ec962", 0.5 "#21918c", 0.75 "#3b528b", 1 "#440154")
unset colorbox
set lmargin at screen panel(0); set rmargin at screen panel(0) + 0.195
set ylabel "quantile level q" offset 1
set format y "%.1f"
set ytics auto; set ytics 0.5, 0.1
set title "quantile rule (beyond the paper)" font ",9" offset 0,-0.7
plot table index 2 using 1:2:3 with image pixels
set border 3; set grid lc rgb "#e0e0e0" lw 0.6 dt 1
set xtics auto; set ytics auto
set lmargin at screen panel(1) + 0.035; set rmargin at screen panel(1) + 0.235
set logscale x; set format x "10^{%T}"; set format y "%g"
set xrange [1e-3:1.5]; set yrange [0:1]; set xtics 10; set ytics 0.2
set xlabel "loss level"; set ylabel "share of cells below it" offset 1.6
set title "size of the good region" font ",9" offset 0,-0.7
set key at graph 0.04, graph 0.97 left top Left reverse samplen 1.4 font ",8"
plot table index 4 using 1:2 with lines lc rgb blue lw 1.8 title "norm", \
     table index 4 using 1:3 with lines lc rgb red lw 1.8 title "spectral", \
     table index 4 using 1:4 with lines lc rgb green lw 1.6 dt (8,3) title "quantile"
set lmargin at screen panel(2) + 0.095; set rmargin at screen panel(2) + 0.25
set logscale y; set format y "10^{%T}"; set yrange [1e-3:2]; set xrange [*:*]; set ytics 10
set xlabel "median update norm"; set ylabel "final loss" offset 1.4
set title "at equal update norm" font ",9" offset 0,-0.7
set key at screen 0.995, screen 0.4 right top Left reverse samplen 0.8 font ",8"
unset key
plot table index 0 using 4:3 with points pt 7 ps 0.22 lc rgb "#a8c9e0" notitle, \
     table index 1 using 4:3 with points pt 7 ps 0.22 lc rgb "#efb59a" notitle, \
     table index 5 using 1:2 with linespoints lc rgb blue lw 1.6 pt 7 ps 0.4 title "norm, best", \
     table index 5 using 1:3 with linespoints lc rgb red lw 1.6 pt 7 ps 0.4 title "spectral, best"
unset multiplot
