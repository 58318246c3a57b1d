# SPDX-License-Identifier: Apache-2.0
# The search for the arms of delta-gclip-vit.
linear = 1; columns = 2
load "figures/search.gp"
