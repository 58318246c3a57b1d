# Table 2's search.
xlow = 7e-3; xhigh = 1.2; ylow = 0; yhigh = 1; linear = 1; columns = 4; panel = 2.2
load "figures/search.gp"
