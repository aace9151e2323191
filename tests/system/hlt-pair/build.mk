# SPDX-License-Identifier: MIT
# The guest of tests/system/hltpair.py, and a bundle with it and the two services that a boot needs.
HLT_PAIR := tests/system/hlt-pair
$(B)/hlt-pair.elf: $(HLT_PAIR)/start.S $(HLT_PAIR)/guest.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-pie -no-pie -mno-red-zone -mgeneral-regs-only \
	    -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -nostdlib -static \
	    -Wl,-Ttext=0x200000,-e,start,--build-id=none,-z,noexecstack,-z,max-page-size=4096,--no-warn-rwx-segments -o $@ $^
$(B)/hlt-pair.itb: ctl-dom/bundle/mkbundle $(B)/hlt-pair.elf $(B)/store.elf $(B)/pciback.elf $(HLT_PAIR)/hlt-pair.cfg ctl-dom/bundle/store.cfg ctl-dom/bundle/pciback.cfg
	ctl-dom/bundle/mkbundle $@ store=$(B)/store.elf pciback=$(B)/pciback.elf hlt-pair=$(B)/hlt-pair.elf \
	    store.cfg=ctl-dom/bundle/store.cfg pciback.cfg=ctl-dom/bundle/pciback.cfg hlt-pair.cfg=$(HLT_PAIR)/hlt-pair.cfg
COMPONENTS += $(B)/hlt-pair.itb
