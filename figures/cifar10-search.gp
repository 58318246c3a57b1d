# SPDX-License-Identifier: Apache-2.0
# Table 2's search.
linear = 1; columns = 4
load "figures/search.gp"
