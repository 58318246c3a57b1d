# §5.2: time of one clip against its work, exact and truncated.
load table.".vars"
width = 6.6; height = 3.6
load "figures/style.gp"
stats table using 1 nooutput
blocks = STATS_blocks
set yrange [5e-5:2]
set logscale xy
set format x "10^{%T}"
set ytics ("10 µs" 1e-5, "100 µs" 1e-4, "1 ms" 1e-3, "10 ms" 1e-2, "100 ms" 1e-1, "1 s" 1, "10 s" 10)
set xlabel "work: m n r (truncated), m n min(m, n) (full)"
set ylabel "time of one clip, median" offset 0.6
set key at screen 0.995, screen 0.93 right top vertical Left reverse width -2 font ",8"
set rmargin 27
# The guide O(mnr) through the slowest truncated point.
stats table index (blocks-1) using 1:2 nooutput
guide(x) = STATS_max_y * x / STATS_max_x
plot table index 0 using 1:2 with points ls 7 pt 5 ps 0.8 title "full SVD and reassembly", \
     table index 1 using 1:2 with points ls 2 pt 7 ps 0.9 title "exact clip, this suite", \
     for [i=2:blocks-1] table index i using 1:2 with linespoints lc rgb word("#009e73 #cc79a7 #e69f00 #56b4e9 #b59f00 #0072b2 #000000 #8c564b", (i-2) % 8 + 1) lw 1.3 pt (i+2) ps 0.6 title columnheader(1), \
     guide(x) with lines lc rgb "#404040" dt (2,3) lw 1 title "guide: O(m n r)"
