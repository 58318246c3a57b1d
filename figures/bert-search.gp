# SPDX-License-Identifier: Apache-2.0
# The search for the arms of delta-gclip-bert.
linear = 1; columns = 3
load "figures/search.gp"
