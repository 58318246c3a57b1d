# Table 1's search.
load "figures/search.gp"
