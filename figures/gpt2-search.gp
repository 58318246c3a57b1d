# SPDX-License-Identifier: Apache-2.0
# Table 4's search.
linear = 1; columns = 3
load "figures/search.gp"
