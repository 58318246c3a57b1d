# SPDX-License-Identifier: Apache-2.0
# The search for the arms of delta-gclip-vae.
linear = 1; columns = 2
load "figures/search.gp"
