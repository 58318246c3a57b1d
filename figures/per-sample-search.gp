# SPDX-License-Identifier: Apache-2.0
# The search for the arms of per-sample-clipping.
linear = 1; columns = 3
load "figures/search.gp"
