# Table 4's search.
xlow = 2e-5; xhigh = 0.15; ylow = 3.8; yhigh = 7.2; linear = 1; columns = 3; panel = 2.4
load "figures/search.gp"
