# SPDX-License-Identifier: Apache-2.0
# Every clipping rule (columns) on every workload (rows): what it ended at over the best of its row, with the interval.
load table.".vars"
line_height = 0.40
width = 10.2; height = 0.95 + line_height*n_rows
load "figures/style.gp"
unset key; unset grid; unset border
set bmargin at screen 0.24/height; set tmargin at screen 1 - 0.44/height
set lmargin at screen 0.235; set rmargin at screen 0.985
set xrange [0.5 : n_rules + 0.5]; set yrange [n_rows + 0.5 : 0.5]
unset xtics; unset ytics
broken(s) = (cut = strstrt(s, ", "), cut > 0 ? s[1:cut]."\n".s[cut+2:strlen(s)] : s)
do for [k=1:n_rules] { set label 100+k broken(rules[k]) at first k, screen 1 - 0.20/height center font ",8.5" noenhanced }
do for [k=1:n_rows] {
  set label 200+k rows[k] at screen 0.228, first k offset 0,0.32 right font ",9" noenhanced
  set label 300+k notes[k] at screen 0.228, first k offset 0,-0.5 right font ",7" tc rgb "#606060" noenhanced
}
# White at the best; the color is full where the loss (or the error) is half as much again. Intervals that hold 1 are framed.
share(r) = (x = log(r)/log(1.5), x < 0 ? 0 : x > 1 ? 1 : x)
shade(r) = (s = sqrt(share(r)), int(255 - s*(255 - 230))*65536 + int(255 - s*(255 - 159))*256 + int(255 - s*(255 - 40)))
level(low, high) = low <= 1 && high >= 1
plot table index b("cells") using (column("column")):(column("row")):(column("column") - 0.48):(column("column") + 0.48):(column("row") - 0.45):(column("row") + 0.45):(shade(column("ratio"))) \
       with boxxyerror fs solid 1 noborder fc rgb variable notitle, \
     table index b("cells") using (column("column")):(column("row")):(level(column("low"), column("high")) ? column("column") - 0.47 : NaN):(column("column") + 0.47):(column("row") - 0.43):(column("row") + 0.43) \
       with boxxyerror lw 1.0 lc rgb blue fs empty notitle, \
     table index b("cells") using (column("best") == 1 ? column("column") : NaN):(column("row")):(column("column") - 0.47):(column("column") + 0.47):(column("row") - 0.43):(column("row") + 0.43) \
       with boxxyerror lw 2.6 lc rgb blue fs empty notitle, \
     table index b("cells") using (column("column")):(column("row")):(stringcolumn("first")) with labels font ",9" offset 0,0.35 noenhanced notitle, \
     table index b("cells") using (column("column")):(column("row")):(stringcolumn("second")) with labels font ",7" offset 0,-0.55 tc rgb "#404040" noenhanced notitle
