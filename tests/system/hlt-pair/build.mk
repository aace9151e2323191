# SPDX-License-Identifier: MIT
# A bundle with the guest of tests/lib/hltpair.py, another small guest, and the two services that a boot needs.
HLT_PAIR := tests/system/hlt-pair
HLT_CFGS := $(wildcard $(HLT_PAIR)/*.cfg) ctl-dom/bundle/store.cfg ctl-dom/bundle/pciback.cfg
$(B)/hlt-pair.itb: tools/mkbundle $(B)/hlt-pair.elf $(B)/abicalls.elf $(B)/store.elf $(B)/pciback.elf $(HLT_CFGS)
	tools/mkbundle $@ store=$(B)/store.elf pciback=$(B)/pciback.elf hlt-pair=$(B)/hlt-pair.elf abicalls=$(B)/abicalls.elf \
	    $(foreach c,$(HLT_CFGS),$(notdir $(c))=$(c))
COMPONENTS += $(B)/hlt-pair.itb
