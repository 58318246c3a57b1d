# Table 4's search.
xlow = 2e-5; xhigh = 0.15; ylow = 4; yhigh = 8; linear = 1
load "figures/search.gp"
