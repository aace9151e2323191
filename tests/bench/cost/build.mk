# SPDX-License-Identifier: MIT
# A bundle with the guest of cost.py and the two services that a boot needs.
COST_CFGS := tests/bench/cost/cost.cfg ctl-dom/bundle/store.cfg ctl-dom/bundle/pciback.cfg
$(B)/cost.itb: ctl-dom/bundle/mkbundle $(B)/cost.elf $(B)/store.elf $(B)/pciback.elf $(COST_CFGS)
	ctl-dom/bundle/mkbundle $@ store=$(B)/store.elf pciback=$(B)/pciback.elf cost=$(B)/cost.elf $(foreach c,$(COST_CFGS),$(notdir $(c))=$(c))
COMPONENTS += $(B)/cost.itb
