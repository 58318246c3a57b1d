# SPDX-License-Identifier: Apache-2.0
# Figs 6a, 6b and 2c: loss of nanoGPT by step, an optimizer a panel, and by the clock (SGDM); final losses.
unit = "nats a character"; lower = "Fig 2c: SGDM by the clock"
figure_of(g) = g eq "SGDM" ? "Fig 6a: SGDM" : g eq "Muon" ? "Fig 6b: Muon" : g
load "figures/language.gp"
