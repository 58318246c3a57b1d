# SPDX-License-Identifier: Apache-2.0
# Fig 1 (largest singular values against the number of bad tokens) with what lies beneath it; then Fig 7, the
# same for more matrices and mini-batch sizes, as <out>-layers.
load table.".vars"
boxes(l, s) = b(sprintf("boxes:%d:%d", l, s))
width = 9.6; height = 7.0
load "figures/style.gp"
set multiplot
set label 98 model at screen 0.5, screen 1 - 0.16/height center noenhanced font ",10"
array x0[4] = [0.08, 0.585, 0.08, 0.605]; array x1[4] = [0.475, 0.985, 0.455, 0.985]
array y0[4] = [0.585, 0.585, foot, foot]; array y1[4] = [0.905, 0.905, 0.46, 0.46]
spot(p) = place(x0[p], x1[p], y0[p], y1[p])

eval spot(1)
set title "Fig 1: ".layer[shown].", B = ".sprintf("%d", detail) noenhanced font ",9.5" offset 0,-0.6
set xrange [-0.7:detail+0.7]; set xtics 1
set logscale y; set format y "10^{%T}"
set xlabel "bad tokens in the mini-batch (b)" offset 0,0.4
set ylabel "largest singular values" offset 1.2
set key bottom right samplen 1.6 spacing 1.1 font ",8"
set boxwidth 0.5
at = boxes(shown, detail)
plot table index at using (column("bad")):(column("q25")):(column("q5")):(column("q95")):(column("q75")) with candlesticks fc rgb sky fs solid 0.35 border lc rgb blue lw 1.1 title "top values: 5, 25, 50, 75, 95 %" whiskerbars 0.5, \
     table index at using (column("bad")):(column("q50")):(column("q50")):(column("q50")):(column("q50")) with candlesticks lc rgb blue lw 1.8 notitle, \
     table index at using (column("bad")):(column("largest")) with linespoints lc rgb red lw 1.4 pt 7 ps 0.5 title "median of the largest"

unset label 99; unset label 98
eval spot(2)
set title "its whole spectrum with b bad tokens, B = ".sprintf("%d", detail) noenhanced font ",9.5" offset 0,-0.6
at = b(sprintf("spectrum:%d", shown))
low = 1e300; high = 0; last = 1
set xrange [*:*]; set yrange [*:*]
do for [k=1:n_count] {
  stats table index at using (column("index")):(column(sprintf("b%d", count[k])) > 0 ? column(sprintf("b%d", count[k])) : NaN) nooutput
  if (STATS_min_y < low) { low = STATS_min_y }
  if (STATS_max_y > high) { high = STATS_max_y }
  if (STATS_max_x > last) { last = STATS_max_x }
}
# Five decades are enough: what lies below is rounding.
low = low < high*1e-5 ? high*1e-5 : low
set xrange [1:last]; set xtics autofreq
set xlabel "index of the singular value" offset 0,0.4
set ylabel "singular value (geometric mean)" offset 0.9
set key bottom left
set yrange [low/1.5 : high*1.5]
plot for [k=1:n_count] table index at using (column("index")):(column(sprintf("b%d", count[k]))) with lines lw 1.8 lc rgb word(green." ".blue." ".orange." ".red, (k-1)%4+1) dt k title sprintf("b = %d", count[k])
set yrange [*:*]
unset logscale y; set format y "%g"

eval spot(3)
set title "who makes the largest singular value (medians)" font ",9.5" offset 0,-0.6
set xrange [-0.3:detail+0.3]; set xtics 1; set yrange [0:1.05]; set ytics 0.2
set xlabel "bad tokens in the mini-batch (b)" offset 0,0.4
set ylabel "bad samples' share of σ_1; cosine" offset 0.6
set y2label "effective rank" offset -0.6
set y2range [0:*]; set y2tics nomirror; set border 11
set key enhanced bottom right maxrows 5 spacing 0.95
array mark[4] = [6, 7, 5, 9]
# Curves that lie on each other: markers of other sizes and forms, the earlier ones larger.
plot for [m=1:n_definition] table index b(sprintf("definition:%d", m)) using (column("bad")):(column("bad_fraction")) with linespoints lc rgb word(red." ".blue." ".green." ".orange, (m-1)%4+1) lw (3.2-0.8*m) pt mark[(m-1)%4+1] ps (1.2-0.25*m) title "share; bad: ".definition[m] noenhanced, \
     table index b("definition:1") using (column("bad")):(column("left_alignment")) with lines lc rgb grey lw 1.3 dt 2 title "cosine of u_1 and G_{bad} v_1 (first)", \
     table index b("definition:1") using (column("bad")):(column("effective_rank")) axes x1y2 with lines lc rgb purple lw 1.6 dt 5 title "effective rank (first, right axis)"
unset y2tics; unset y2label; set border 3
set key noenhanced

eval spot(4)
set title "one bad token of ".sprintf("%d", detail).": what clipping removes, a point a matrix" font ",9.5" offset 0,-0.6
set xrange [-2:102]; set yrange [-2:102]; set xtics 20; set ytics 20
set format x "%g %%"; set format y "%g %%"
set xlabel "of the good samples' gradient removed" offset 0,0.4
set ylabel "of the bad sample's gradient removed" offset 1.4
set key bottom right maxrows 4
plot x with lines lc rgb "#b0b0b0" lw 1 dt 3 notitle, \
     table index b("removed") using (100*column("norm.rest")):(100*column("norm.bad")) with points pt 6 ps 0.8 lw 1.3 lc rgb blue title "norm clip", \
     table index b("removed") using (100*column("quantile.rest")):(100*column("quantile.bad")) with points pt 7 ps 0.7 lc rgb red title "spectral, quantile of good batches (9)", \
     table index b("removed") using (100*column("spectral.rest")):(100*column("spectral.bad")) with points pt 9 ps 0.8 lc rgb orange title "spectral, largest σ₁ of good batches"
unset multiplot

# Fig 7: one matrix of each kind, from the first block to the last, by mini-batch size; a row has one range.
reset
out = out."-layers"
width = 9.6; height = 1.9 * n_kind + 0.9
load "figures/style.gp"
set multiplot layout n_kind, n_size margins 0.07, 0.985, 0.8/height, 1 - 0.55/height spacing 0.02, 0.36/height
set label 98 "Fig 7: ".model at screen 0.5, screen 1 - 0.16/height center noenhanced font ",10"
set logscale y
set grid ytics lc rgb "#e0e0e0" lw 0.6 dt 1
set boxwidth 0.6 relative
set tics font ",7.5"
unset key
do for [k=1:n_kind] {
  l = int(kind[k])
  low = 1e300; high = 0
  set xrange [*:*]; set yrange [*:*]
  do for [s=1:n_size] {
    stats table index boxes(l, size[s]) using (column("q5")):(column("q95")) nooutput
    if (STATS_min_x < low) { low = STATS_min_x }
    if (STATS_max_y > high) { high = STATS_max_y }
  }
  set yrange [low/1.5 : high*1.5]
  do for [s=1:n_size] {
    of = int(size[s])
    at = boxes(l, of)
    set title layer[l].sprintf(", B = %d", of) noenhanced font ",8" offset 0,-0.8
    set xrange [-0.02*of-0.7 : of*1.02+0.7]
    set xtics 0, (of > 8 ? of/4 : of > 4 ? 2 : 1)
    set format y (s == 1 ? "10^{%T}" : "")
    set format x (k == n_kind ? "%g" : "")
    set xlabel (k == n_kind ? "bad tokens" : "") font ",8" offset 0,0.6
    set ylabel (s == 1 ? "top singular values" : "") font ",8" offset 1.4
    plot table index at using (column("bad")):(column("q25")):(column("q5")):(column("q95")):(column("q75")) with candlesticks fc rgb sky fs solid 0.35 border lc rgb blue lw 0.8 whiskerbars 0.4, \
         table index at using (column("bad")):(column("q50")):(column("q50")):(column("q50")):(column("q50")) with candlesticks lc rgb blue lw 1.4, \
         table index at using (column("bad")):(column("largest")) with lines lc rgb red lw 1.3
    unset label 99; unset label 98
  }
}
unset logscale
eval legend_strip
plot [0:1] [0:1] 1/0 with boxes fc rgb sky fs solid 0.35 border lc rgb blue lw 0.8 title "top values: 5, 25, 50, 75, 95 %", 2 with lines lc rgb red lw 1.3 title "median of the largest"
unset multiplot
