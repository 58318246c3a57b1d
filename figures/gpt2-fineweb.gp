# SPDX-License-Identifier: Apache-2.0
# Figs 3 and 6c: loss of GPT-2 by step, an optimizer a panel, and by the clock (SGDM); final losses.
unit = "nats a token"; lower = "Fig 6c: SGDM by the clock"
figure_of(g) = "Fig 3: ".g
load "figures/language.gp"
