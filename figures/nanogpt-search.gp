# Table 3's search.
xlow = 7e-5; xhigh = 0.15; ylow = 1.8; yhigh = 5; linear = 1
load "figures/search.gp"
