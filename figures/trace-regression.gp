# Fig 5a: running mean of the squared bias of the clipped gradient in trace regression.
# Left as the authors draw it (10 sampled gradients an iterate); right the exact expectation.
load table.".vars"
width = 7.4; height = 3.3
load "figures/style.gp"
set style fill transparent solid 0.10 noborder
name(method) = method eq "ema" ? "EMA, θ = 0.9" : method eq "quantile" ? "quantile, q = 0.85" : \
  method[1:9] eq "constant-" ? "τ = ".method[10:*] : method
columns = 4 + n_seeds                      # mean, std, min, max, then one a seed
first(quantity) = 2 + quantity * columns   # quantities in the order of the table
set logscale xy
set format x "10^{%T}"
set format y "10^{%T}"
set xrange [1:*]
set xtics 10
set yrange [1e-6:30]
visible(y) = y < 1e-7 ? 1e-7 : y           # zero has no place on a logarithmic axis
set xlabel "iteration k"
set multiplot layout 1,2 margins 0.085,0.815,0.165,0.90 spacing 0.065
set ylabel "running mean of {/:Italic Δ}^2" offset 1.4
set title "from 10 sampled gradients, as in the paper" font ",9" offset 0,-0.6
unset key
do for [q=0:1] {
  if (q == 1) {
    set key at screen 0.995, screen 0.88 right top vertical Left reverse width -2 font ",8.5"
    set title "exact expectation over all N terms" font ",9" offset 0,-0.6
    unset ylabel
    set format y ""
    unset label 99
  }
  plot for [i=1:words(methods)] table index i-1 \
         using ($1+1):(visible(column(first(q)+2))):(visible(column(first(q)+3))) with filledcurves ls i notitle, \
       for [i=1:words(methods)] table index i-1 using ($1+1):(visible(column(first(q)))) with lines ls i \
         title name(word(methods, i))
}
unset multiplot
