# SPDX-License-Identifier: Apache-2.0
# The one look of all figures. Each script is called with gnuplot variables
#   out     path of the picture without its suffix
#   format  svg, pdf or png
#   table   the TSV it draws; table.vars beside it says stamp, profile, seeds, blocks, and what the table says of itself
# A block is found by name, `index b("norm")`, a column by its header, `column("val_loss.mean")`.
if (!exists("width")) width = 4.6    # inches
if (!exists("height")) height = 3.4
if (format eq "svg") set terminal svg size 96*width, 96*height font "DejaVu Sans,11" background "#ffffff" butt dashlength 1.0
if (format eq "pdf") set terminal pdfcairo size width, height font "DejaVu Sans,8" butt dashlength 1.0
if (format eq "png") set terminal pngcairo size 220*width, 220*height font "DejaVu Sans,9" fontscale 2.0 linewidth 2.2 pointscale 2.2 dashlength 0.9 butt
set output out.".".format
set encoding utf8
set datafile separator "\t"
set datafile missing "NaN"
set datafile columnheaders

# Okabe and Ito's colors, told apart by every common kind of color vision; dashes, marks and labels repeat them.
blue = "#0072b2"; orange = "#e69f00"; green = "#009e73"; red = "#d55e00"
purple = "#cc79a7"; sky = "#56b4e9"; yellow = "#b59f00"; grey = "#6f6f6f"; black = "#000000"
set style fill transparent solid 0.14 noborder
# Dashes that are told apart at column width: 1 solid, 2 long, 3 dotted, 4 long and short, 5 middle, 6 long and two short, 7 middle
# and short, 8 long and middle. Which arm has which color, dash and mark: Sources/Lab/ArmStyle.swift.
set dashtype 2 (14,5); set dashtype 3 (3,4); set dashtype 4 (14,4,3,4); set dashtype 5 (7,4)
set dashtype 6 (14,4,3,4,3,4); set dashtype 7 (7,3,2,3); set dashtype 8 (14,4,6,4)

set border 3 lc rgb "#404040"
set tics nomirror out scale 0.6
set grid ytics lc rgb "#dcdcdc" lw 0.7 dt 1
set key noenhanced Left reverse samplen 2.4 spacing 1.05
# The stamp has the lowest strip for itself: 0.13 inches.
set label 99 stamp at screen 0.995, screen 0.075/height right font ",6.5" tc rgb "#707070" noenhanced
foot = 0.62/height   # where the lowest panels may begin: tick labels, axis label, stamp
set bmargin at screen foot

# --- An arm N(k), after `using …`: its mean, a thinner line of the same arm (training beside validation), one of its seeds, the
# interval over its seeds, and the authors' curve with the arm's mark left open.
curve = "with linespoints lc rgb arm_color[N(k)] lw 1.6 dt arm_dash[N(k)] pt arm_mark[N(k)] ps 0.5 pn 8"
thinner = "with lines lc rgb arm_color[N(k)] lw 0.7 dt arm_dash[N(k)]"
single = "with lines lc rgb arm_color[N(k)] lw 0.6 dt arm_dash[N(k)]"
band = "with filledcurves fc rgb arm_color[N(k)]"
theirs = "with linespoints lc rgb arm_color[N(k)] lw 1.4 dt '.' pt open(arm_mark[N(k)]) ps 0.55 pn 6"
open(mark) = mark > 4 ? mark - 1 : mark
# Intervals of two to four seeds cover a panel and say little: then every seed is drawn as a line (`for [s in lone]`, column
# `seed(quantity, s)`) and nothing as a band (`banded(list)`).
few = exists("n_seeds") && n_seeds > 1 && n_seeds <= 4
lone = few ? seeds : ""
banded(list) = few ? "" : list
seed(q, s) = strlen(s) > 0 ? column(q.".seed".s) : NaN  # gnuplot tries an empty list once
# What is drawn of a quantity: columns from which a range follows.
drawn_of(q) = few ? (names = "", (sum [i=1:words(seeds)] (names = names." ".q.".seed".word(seeds, i), 0)), names) : q.".mean"
every_arm(n) = (names = "", (n > 0 ? (sum [k=1:n] (names = names." ".k, 0)) : 0), names)

# --- Words for the scripts
b(name) = "[".name."]"
has(name) = strstrt(" ".blocks." ", " [".name."] ") > 0
# The arms of a panel, as a list of numbers; N makes one of them a number again (1 where gnuplot tries an empty list).
N(k) = strlen("".k) > 0 ? k + 0 : 1
members(g) = (list = "", (n_arm > 0 ? (sum [k=1:n_arm] (arm_group[k] == g ? (list = list." ".k, 0) : 0)) : 0), list)
# A strip above the stamp for a legend of all panels; then `plot [0:1] [0:1] 2 with … title …`.
legend_strip = "set lmargin at screen 0.05; set rmargin at screen 0.95; set bmargin at screen 0.2/height; set tmargin at screen 0.34/height; unset border; unset tics; unset grid; unset xlabel; unset ylabel; unset title; unset logscale; unset label; set key center center horizontal maxrows 1 width 2 font ',8'"
# A step between tick labels that leaves about four of them.
step(span) = (p = 10**floor(log10(span/4.0)), m = span/4.0/p, (m < 1.5 ? 1 : m < 3.5 ? 2 : m < 7.5 ? 5 : 10) * p)
place(x0, x1, y0, y1) = sprintf("set lmargin at screen %f; set rmargin at screen %f; set bmargin at screen %f; set tmargin at screen %f", x0, x1, y0, y1)
