# SPDX-License-Identifier: Apache-2.0
# Losses of the LSTM by step, a rate a panel, and by the clock; final losses.
unit = "nats a word"; lower = "by the clock"
figure_of(g) = g
load "figures/language.gp"
