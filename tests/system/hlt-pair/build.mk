# SPDX-License-Identifier: MIT
# A bundle with the guest of tests/lib/hltpair.py, another small guest, and the two services that a boot needs.
HLT_PAIR := tests/system/hlt-pair
HLT_CFGS := $(wildcard $(HLT_PAIR)/*.cfg) ctl-dom/bundle/store.cfg ctl-dom/bundle/pciback.cfg
$(eval $(call bundle,$(B)/hlt-pair.itb,$(foreach i,store pciback hlt-pair abicalls,$(i)=$(B)/$(i).elf),$(HLT_CFGS)))
COMPONENTS += $(B)/hlt-pair.itb
