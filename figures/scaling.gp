# SPDX-License-Identifier: Apache-2.0
# Hours of an arm of Fig 3 over ranks of one core, a line a speed of the network; the ideal dashed.
load table.".vars"
width = 5.2; height = 3.4
load "figures/style.gp"
set lmargin at screen 0.16; set rmargin at screen 0.97; set tmargin at screen 0.97
set logscale xy 2
set logscale y 10; set yrange [50:*]
set xlabel "ranks, a core each" offset 0,0.4
set ylabel "hours of an arm" offset 0.5
set xrange [1:64]
set key top right
stats table index b("100") using (column("hours")) every ::0::0 nooutput name "alone"
plot alone_max / x with lines lc rgb grey dt 5 lw 1 title "ideal", \
     table index b("0.1") using (column("ranks")):(column("hours")) with linespoints pt 5 ps 0.6 lc rgb red dt 3 title "0.1 Gbit/s", \
     table index b("1") using (column("ranks")):(column("hours")) with linespoints pt 9 ps 0.7 lc rgb orange dt 2 title "1 Gbit/s", \
     table index b("10") using (column("ranks")):(column("hours")) with linespoints pt 7 ps 0.6 lc rgb blue dt 4 title "10 Gbit/s", \
     table index b("100") using (column("ranks")):(column("hours")) with linespoints pt 13 ps 0.7 lc rgb green dt 1 title "100 Gbit/s"
