# Fig 1 (largest singular values against the number of bad tokens) with what lies beneath it; then Fig 7, the
# same for more matrices and mini-batch sizes, as <out>-layers.
load table.".vars"
head(key) = system("grep '^# ".key."' ".table." | head -n 1 | cut -f 2")
layers = head("layers"); sizes = head("sizes"); counts = head("counts"); detail = int(head("detail"))
n_layers = words(layers); n_sizes = words(sizes); n_counts = words(counts)
short(l) = system("echo ".l." | sed 's/transformer.//; s/^h\\.\\([0-9]*\\)\\./block \\1 /; s/\\.weight//'")
# Blocks: boxes of matrix l (from 1) and size s (from 1), then spectra, then one a definition, then the rules.
boxes(l, s) = (l - 1) * n_sizes + s - 1
spectra(l) = n_layers * n_sizes + l - 1
shares(m) = n_layers * (n_sizes + 1) + m - 1
rules = n_layers * (n_sizes + 1) + words(methods)
detail_place = 1
do for [s=1:n_sizes] { if (int(word(sizes, s)) == detail) { detail_place = s } }
# Fig 1 shows an MLP matrix from the middle of the model.
shown = 1
do for [l=1:n_layers] { if (strstrt(word(layers, l), "mlp.c_fc") && l <= n_layers/2 + 3) { shown = l } }

width = 9.6; height = 6.8
load "figures/style.gp"
set multiplot title head("model") font ",10" offset 0,0.4
array x0[4] = [0.075, 0.56, 0.075, 0.56]; array x1[4] = [0.475, 0.985, 0.475, 0.985]
array y0[4] = [0.57, 0.57, 0.115, 0.115]; array y1[4] = [0.90, 0.90, 0.445, 0.445]
place(p) = sprintf("set lmargin at screen %f; set rmargin at screen %f; set bmargin at screen %f; set tmargin at screen %f", x0[p], x1[p], y0[p], y1[p])

eval(place(1))
set title "Fig 1: ".short(word(layers, shown)).", B = ".detail noenhanced font ",9.5" offset 0,-0.6
set xrange [-0.7:detail+0.7]; set xtics 1
set logscale y; set format y "10^{%T}"
set xlabel "bad tokens in the mini-batch" offset 0,0.4
set ylabel "largest singular values" offset 1.2
set key bottom right samplen 1.6 spacing 1.1 font ",8"
set boxwidth 0.5
plot table index boxes(shown, detail_place) using 1:3:2:6:5 with candlesticks fc rgb sky fs solid 0.35 border lc rgb blue lw 1.1 title "top values: 5, 25, 50, 75, 95 %" whiskerbars 0.5, \
     "" index boxes(shown, detail_place) using 1:4:4:4:4 with candlesticks lc rgb blue lw 1.8 notitle, \
     "" index boxes(shown, detail_place) using 1:7 with linespoints lc rgb red lw 1.4 pt 7 ps 0.5 title "median of the largest"

unset label 99
unset logscale y
stats table index spectra(shown) using (column(1+n_counts)) nooutput
set logscale y
eval(place(2))
set title enhanced "its whole spectrum, B = ".detail font ",9.5" offset 0,-0.6
set xrange [1:STATS_records]; set xtics autofreq
set xlabel "index of the singular value" offset 0,0.4
set ylabel "singular value (geometric mean)" offset 1.2
set key top right
set yrange [STATS_max * 1e-5 : STATS_max * 2]
plot for [k=1:n_counts] table index spectra(shown) using 1:(column(1+k)) with lines lw 1.8 lc rgb word(green." ".blue." ".orange." ".red, k) dt 1 \
  title "b = ".word(counts, k)
set yrange [*:*]
unset logscale y; set format y "%g"

eval(place(3))
set title "who makes the largest singular value (medians)" font ",9.5" offset 0,-0.6
set xrange [-0.3:detail+0.3]; set xtics 1; set yrange [0:1.05]; set ytics 0.2
set xlabel "bad tokens in the mini-batch" offset 0,0.4
set ylabel "bad samples' share, cosine" offset 1.2
set y2label "effective rank" offset -1
set y2range [0:*]; set y2tics nomirror; set border 11
set key bottom right maxrows 5 spacing 0.95
title_of(m) = system("grep '^# definition' ".table." | sed -n ".m."p | cut -f 2 | sed 's/.*bad: //'")
plot for [m=1:words(methods)] table index shares(m) using 1:2 with linespoints lc rgb word(red." ".blue." ".green." ".orange, m) lw 1.6 pt 7 ps 0.5 title "share of σ_1; bad: ".title_of(m), \
     table index shares(1) using 1:3 with lines lc rgb grey lw 1.3 dt (8,3) title "cosine of u_1 and G_{bad} v_1 (first)", \
     table index shares(1) using 1:5 axes x1y2 with lines lc rgb purple lw 1.6 dt (3,2) title "effective rank (first, right axis)"
unset y2tics; unset y2label; set border 3

eval(place(4))
set title "one bad token of ".detail.": what clipping removes, a point a matrix" font ",9.5" offset 0,-0.6
set xrange [-0.02:1.02]; set yrange [-0.02:1.02]; set xtics 0.2; set ytics 0.2
set xlabel "share of the good samples' gradient removed" offset 0,0.4
set ylabel "share of the bad sample's gradient removed" offset 1.2
set key bottom right maxrows 4
plot x with lines lc rgb "#b0b0b0" lw 1 dt (4,3) notitle, \
     table index rules using 3:2 with points pt 6 ps 0.8 lw 1.3 lc rgb blue title "norm clip", \
     "" index rules using 7:6 with points pt 7 ps 0.7 lc rgb red title "spectral, quantile of good batches (9)", \
     "" index rules using 5:4 with points pt 9 ps 0.8 lc rgb orange title "spectral, largest good σ_1"
unset multiplot

# Fig 7: one matrix of each kind, from the first block to the last, by mini-batch size.
reset
kinds = strstrt(layers, "c_attn") > 0 ? "attn.c_attn attn.c_proj mlp.c_fc mlp.c_proj" : "attn.to_q attn.to_v attn.c_proj mlp.c_fc mlp.c_proj"
n_kinds = words(kinds)
# The k-th row takes the k-th quarter of the layers of its kind.
pick(k) = (found = "", n = 0, sum [l=1:n_layers] (strstrt(word(layers, l), word(kinds, k)) ? (found = found." ".l, n = n + 1, 0) : 0), \
  int(word(found, n < 2 ? 1 : 1 + int((k - 1) * (n - 1.0) / (n_kinds - 1) + 0.5))))
out = out."-layers"
width = 9.6; height = 1.9 * n_kinds + 0.5
load "figures/style.gp"
set multiplot layout n_kinds, n_sizes margins 0.07, 0.985, 0.09, 0.93 spacing 0.035, 0.055 title "Fig 7: ".head("model") font ",10" offset 0,0.3
set logscale y; set format y "10^{%T}"
set grid ytics lc rgb "#e0e0e0" lw 0.6 dt 1
unset key
set boxwidth 0.6 relative
set tics font ",7.5"
do for [k=1:n_kinds] {
  l = pick(k)
  do for [s=1:n_sizes] {
    size = int(word(sizes, s))
    set title short(word(layers, l)).", B = ".size noenhanced font ",8" offset 0,-0.8
    set xrange [-0.02*size-0.7 : size*1.02+0.7]
    set xtics 0, (size > 8 ? size/4 : size > 4 ? 2 : 1)
    set xlabel (k == n_kinds ? "bad tokens" : "") font ",8" offset 0,0.6
    set ylabel (s == 1 ? "top singular values" : "") font ",8" offset 1.4
    plot table index boxes(l, s) using 1:3:2:6:5 with candlesticks fc rgb sky fs solid 0.35 border lc rgb blue lw 0.8 notitle whiskerbars 0.4, \
         "" index boxes(l, s) using 1:4:4:4:4 with candlesticks lc rgb blue lw 1.4 notitle, \
         "" index boxes(l, s) using 1:7 with lines lc rgb red lw 1.2 notitle
    unset label 99
  }
}
unset multiplot
