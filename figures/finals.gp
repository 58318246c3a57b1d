# SPDX-License-Identifier: Apache-2.0
# A panel that lists what every arm ended with: mean and interval above, every seed as a ring below.
# Set before: final (quantity), sorted (1: by rank), factor; fewer (times the usual distance of ticks) where it is narrow.
unset key
fin(c) = factor*column(final.".".c)
# An empty list of seeds is tried once, too.
ring(s) = strlen(s) > 0 ? fin("seed".s) : NaN
row(x) = sorted ? column(final.".rank") : column("number")
unset ylabel
set yrange [n_arm + 0.6 : 0.4]
set grid xtics lc rgb "#e0e0e0" lw 0.6 dt 1
set format y "%s"
set ytics 1 font ",8" scale 0 noenhanced
# Intervals beyond a limit that was set end at it: a run that diverged stands at the right edge.
# On a linear axis the range and the labels are those of the data; what lies beyond twice the median, as runs do that diverged,
# stands at the right edge as an arrowhead.
far = 0
if (!exists("limit")) {
  set xrange [*:*]; set yrange [*:*]
  stats table index b("final") using (fin("mean")) nooutput
  # Without a valid point stats sets nothing.
  found = exists("STATS_records") && STATS_records > 0
  edge = !found ? 1 : STATS_median > 0 ? 2*STATS_median : STATS_max
  far = 0
  ends = n_seeds > 1 ? "mean low high" : "mean"
  # Every seed is drawn, also one beyond the interval.
  if (n_seeds > 1) { do for [s in seeds] { ends = ends." seed".s } }
  left_end = found ? STATS_min : 0; right_end = left_end
  do for [c in ends] {
    # An interval may end far away; a value that does has its arrowhead.
    if (c ne "low" && c ne "high") {
      stats table index b("final") using (fin(c)) nooutput
      if (exists("STATS_records") && STATS_records > 0 && STATS_max > edge) { far = 1 }
    }
    stats table index b("final") using (fin(c) <= edge ? fin(c) : NaN) nooutput
    found = exists("STATS_records") && STATS_records > 0
    if (found && STATS_min < left_end) { left_end = STATS_min }
    if (found && STATS_max > right_end) { right_end = STATS_max }
  }
  span = right_end > left_end ? right_end - left_end : (right_end > 0 ? 0.1*right_end : 1)
  set xrange [left_end - 0.08*span : right_end + (far ? 0.3 : 0.08)*span]
  if (far) { limit = right_end + 0.2*span }
  every_x = step((exists("fewer") ? fewer : 1)*(far ? 1.38 : 1)*span); set xtics every_x
  set yrange [n_arm + 0.6 : 0.4]
}
rings = n_seeds > 1 ? seeds : ""
beyond(x) = far && x > limit
head(x) = beyond(x) ? limit : NaN
capped(x) = exists("limit") && x > limit ? (far ? NaN : limit) : x
plot table index b("final") using (capped(fin("mean"))):(row(0)):(capped(fin("low"))):(capped(fin("high"))) with xerrorbars pt 7 ps 0.5 lw 1.3 lc rgb red notitle, \
     table index b("final") using (capped(fin("mean"))):(row(0)):ytic(stringcolumn("title")) with points pt 7 ps 0.5 lc rgb red notitle, \
     for [s in rings] table index b("final") using (capped(ring(s))):(row(0)+0.28) with points pt 6 ps 0.4 lw 0.8 lc rgb "#303030" notitle, \
     table index b("final") using (head(fin("mean"))):(row(0)):("▶") with labels font ",9" tc rgb red notitle, \
     for [s in rings] table index b("final") using (head(ring(s))):(row(0)+0.28):("▷") with labels font ",7" tc rgb "#303030" notitle
if (far) { undefine limit }
