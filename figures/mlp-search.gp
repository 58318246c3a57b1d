# SPDX-License-Identifier: Apache-2.0
# Table 1's search.
load "figures/search.gp"
