# Table 1's search.
xlow = 7e-5; xhigh = 1.5; ylow = 5e-3; yhigh = 4
load "figures/search.gp"
