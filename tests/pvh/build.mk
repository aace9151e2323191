# SPDX-License-Identifier: MIT
# Guests that are tests: an ELF image with a PVH entry from tests/pvh and one more source.
PVH_SRC   := tests/pvh/start.S tests/pvh/pvh.c
PVH_BUILD  = $(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-pie -no-pie -mno-red-zone -mgeneral-regs-only \
    -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -nostdlib -static -Itests/pvh -D__XEN_INTERFACE_VERSION__=0x00040e00 \
    -Wl,-Ttext=0x200000,-e,start,--build-id=none,-z,noexecstack,-z,max-page-size=4096,--no-warn-rwx-segments -o $@ $(filter %.S %.c,$^)

$(B)/hlt-pair.elf: $(PVH_SRC) tests/system/hlt-pair/guest.c tests/pvh/pvh.h
	@mkdir -p $(@D)
	$(PVH_BUILD)
$(B)/cost.elf: $(PVH_SRC) tests/bench/cost/guest.c tests/pvh/pvh.h
	@mkdir -p $(@D)
	$(PVH_BUILD)
