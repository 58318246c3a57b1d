# The one look of all figures. Each script is called with gnuplot variables
#   out     path of the picture without its suffix
#   format  svg, pdf or png
#   table   the TSV it draws (with table.vars beside it: stamp, methods, profile, n_seeds)
# Colours: Okabe and Ito's, told apart by every common kind of colour vision; dashes and labels repeat them.
if (!exists("width")) width = 4.6    # inches
if (!exists("height")) height = 3.4
if (format eq "svg") set terminal svg size 96*width, 96*height font "DejaVu Sans,11" background "#ffffff" rounded
if (format eq "pdf") set terminal pdfcairo size width, height font "DejaVu Sans,8" rounded
if (format eq "png") set terminal pngcairo size 220*width, 220*height font "DejaVu Sans,9" fontscale 2.0 linewidth 2.2 rounded
set output out.".".format
set encoding utf8
set datafile separator "\t"
set datafile missing "NaN"

blue = "#0072b2"; orange = "#e69f00"; green = "#009e73"; red = "#d55e00"
purple = "#cc79a7"; sky = "#56b4e9"; yellow = "#b59f00"; grey = "#6f6f6f"
set style line 1 lc rgb blue lw 1.8 dt 1
set style line 2 lc rgb red lw 1.8 dt 1
set style line 3 lc rgb green lw 1.6 dt 1
set style line 4 lc rgb purple lw 1.6 dt (8,3)
set style line 5 lc rgb orange lw 1.6 dt (8,3)
set style line 6 lc rgb sky lw 1.6 dt (3,2)
set style line 7 lc rgb grey lw 1.6 dt (3,2)
set style line 8 lc rgb yellow lw 1.6 dt (1,2)
set style fill transparent solid 0.18 noborder

set border 3 lc rgb "#404040"
set tics nomirror out scale 0.6
set grid ytics lc rgb "#e0e0e0" lw 0.6 dt 1
set key samplen 2.2 spacing 1.05
set label 99 stamp at screen 0.995, screen 0.03 right font ",6.5" tc rgb "#808080"
set bmargin 4.6
