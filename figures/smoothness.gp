# SPDX-License-Identifier: Apache-2.0
# Gradient norm against local smoothness, a panel a workload, colored by the step; the fitted line L0 + L1 · norm dashed.
load table.".vars"
columns = n_workload < 3 ? n_workload : 3
rows = (n_workload + columns - 1) / columns
width = 9.6; height = 2.7*rows + 0.75
load "figures/style.gp"
set style fill solid 1.0 noborder
set palette defined (0 "#440154", 0.25 "#3b528b", 0.5 "#21918c", 0.75 "#5ec962", 1 "#fde725")
set cbrange [0:1]
set colorbox user origin 0.925, 0.72/height size 0.014, 1 - 1.04/height
set cbtics ("start" 0, "end" 1) font ",8"
set multiplot layout rows, columns margins 0.075, 0.9, 0.72/height, 1 - 0.32/height spacing 0.075, 0.75/height
set logscale xy
set format x "10^{%T}"; set format y "10^{%T}"
set tics font ",8"
unset key
do for [k=1:n_workload] {
  set xlabel (k > n_workload - columns ? "gradient norm" : "") offset 0,0.4
  set ylabel ((k - 1) % columns == 0 ? "local smoothness" : "") offset 1
  set title workload_title[k]."  (".workload_note[k].")" noenhanced font ",9" offset 0,-0.6
  if (k > 1) { unset label 99; unset colorbox }
  fit = "fit:".workload[k]
  if (has(fit)) {
    plot table index b(workload[k]) using (column("grad_norm")):(column("smoothness_max")):(column("progress")) with points pt 7 ps 0.35 lc palette, \
         table index b(fit) using (column("grad_norm")):(column("smoothness")) with lines lc rgb black lw 1.8 dt 2
  } else {
    plot table index b(workload[k]) using (column("grad_norm")):(column("smoothness_max")):(column("progress")) with points pt 7 ps 0.35 lc palette
  }
}
unset multiplot
