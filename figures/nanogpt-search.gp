# SPDX-License-Identifier: Apache-2.0
# Table 3's search.
linear = 1; columns = 3
load "figures/search.gp"
