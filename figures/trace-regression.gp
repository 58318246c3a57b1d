# Fig 5a: running mean of the squared bias of the clipped gradient in trace regression.
# Left as the authors draw it (10 sampled gradients an iterate); right the exact expectation.
load table.".vars"
width = 7.2; height = 3.9
load "figures/style.gp"
name(method) = method eq "ema" ? "EMA, θ = 0.9" : method eq "quantile" ? "quantile, q = 0.85, w = 100" : \
  method[1:9] eq "constant-" ? "τ = ".method[10:*] : method
columns = 4 + n_seeds                      # mean, std, min, max, then one a seed
first(quantity) = 2 + quantity * columns   # quantities in the order of the table
set logscale xy
set format x "10^{%T}"
set format y "10^{%T}"
set xrange [1:*]
set xlabel "iteration"
set multiplot layout 1,2 margins 0.095,0.99,0.30,0.90 spacing 0.085
set key at screen 0.54, screen 0.155 center center horizontal maxrows 2 width -1 font ",9"
floor(y) = y < 1e-14 ? 1e-14 : y
set yrange [1e-4:20]
set ylabel "running mean of Δ_k^2" offset 1.2
set title "10 sampled gradients, as in the paper" font ",10" offset 0,-0.5
q = 0
plot for [i=1:words(methods)] table index i-1 using ($1+1):(floor(column(first(q)+2))):(floor(column(first(q)+3))) \
       with filledcurves ls i notitle, \
     for [i=1:words(methods)] table index i-1 using ($1+1):(floor(column(first(q)))) with lines ls i \
       title name(word(methods, i))
unset ylabel
set title "exact expectation over all N terms" font ",10" offset 0,-0.5
q = 1
unset key
unset label 99
plot for [i=1:words(methods)] table index i-1 using ($1+1):(floor(column(first(q)+2))):(floor(column(first(q)+3))) \
       with filledcurves ls i notitle, \
     for [i=1:words(methods)] table index i-1 using ($1+1):(floor(column(first(q)))) with lines ls i notitle
unset multiplot
