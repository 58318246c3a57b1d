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

# Okabe and Ito's colors, told apart by every common kind of color vision; dashes and labels repeat them.
blue = "#0072b2"; orange = "#e69f00"; green = "#009e73"; red = "#d55e00"
purple = "#cc79a7"; sky = "#56b4e9"; yellow = "#b59f00"; grey = "#6f6f6f"; black = "#000000"
set style fill transparent solid 0.14 noborder
# Dashes that are told apart at column width: 1 solid, 2 long, 3 dotted, 4 long and short, 5 short.
set dashtype 2 (14,5); set dashtype 3 (3,4); set dashtype 4 (14,4,3,4); set dashtype 5 (7,4)

set border 3 lc rgb "#404040"
set tics nomirror out scale 0.6
set grid ytics lc rgb "#dcdcdc" lw 0.7 dt 1
set key noenhanced Left reverse samplen 2.4 spacing 1.05
# The stamp has the lowest strip for itself: 0.13 inches.
set label 99 stamp at screen 0.995, screen 0.075/height right font ",6.5" tc rgb "#707070" noenhanced
foot = 0.62/height   # where the lowest panels may begin: tick labels, axis label, stamp
set bmargin at screen foot

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
