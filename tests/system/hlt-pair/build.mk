# SPDX-License-Identifier: MIT
# The guest of tests/system/hltpair.py, and a bundle with it, another small guest, and the two services that a boot needs.
HLT_PAIR := tests/system/hlt-pair
$(B)/hlt-pair.elf: $(HLT_PAIR)/start.S $(HLT_PAIR)/guest.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-pie -no-pie -mno-red-zone -mgeneral-regs-only \
	    -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -nostdlib -static \
	    -Wl,-Ttext=0x200000,-e,start,--build-id=none,-z,noexecstack,-z,max-page-size=4096,--no-warn-rwx-segments -o $@ $^
HLT_CFGS := $(wildcard $(HLT_PAIR)/*.cfg) ctl-dom/bundle/store.cfg ctl-dom/bundle/pciback.cfg
$(B)/hlt-pair.itb: ctl-dom/bundle/mkbundle $(B)/hlt-pair.elf $(B)/abicalls.elf $(B)/store.elf $(B)/pciback.elf $(HLT_CFGS)
	ctl-dom/bundle/mkbundle $@ store=$(B)/store.elf pciback=$(B)/pciback.elf hlt-pair=$(B)/hlt-pair.elf abicalls=$(B)/abicalls.elf \
	    $(foreach c,$(HLT_CFGS),$(notdir $(c))=$(c))
COMPONENTS += $(B)/hlt-pair.itb
