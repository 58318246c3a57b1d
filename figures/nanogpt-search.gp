# Table 3's search.
xlow = 7e-5; xhigh = 0.15; ylow = 2; yhigh = 3.2; linear = 1; columns = 3; panel = 2.4
load "figures/search.gp"
