# SPDX-License-Identifier: MIT
# The core: every hv/**/*.c and *.S, and common/*.c, becomes one static ELF linked by hv/hv.lds; and the GRUB image around it.
HV_SRC   := $(sort $(shell find hv common -name '*.c'))
HV_ASM   := $(sort $(shell find hv -name '*.S'))
HV_OBJ   := $(HV_SRC:%.c=$(B)/%.o) $(HV_ASM:%.S=$(B)/%.S.o)
HV_INC   := -Ihv -Ihv/abi/public -I. -D__XEN_INTERFACE_VERSION__=0x00040e00
HV_FLAGS := $(FREE) $(WARN) $(HV_INC) -O2 -m64 -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
            -fno-omit-frame-pointer -fno-strict-aliasing -fcf-protection=none -fno-jump-tables \
            -mindirect-branch=thunk-extern -mindirect-branch-register
# These folders are clean under -Wconversion.
HV_CONV  := $(B)/common/% $(B)/hv/base/% $(B)/hv/platform/% $(B)/hv/arch/% $(B)/hv/time/% $(B)/hv/boot/%
VERSION  := $(shell git describe --always --dirty 2>/dev/null || echo unknown)

COMPONENTS += $(B)/bulkhead.elf

$(filter $(HV_CONV),$(HV_OBJ)): HV_EXTRA := -Wconversion -Wno-sign-conversion
$(B)/hv/boot/main.o $(B)/hv/abi/control_info.o: HV_EXTRA += -DBH_VERSION='"$(VERSION)"'

$(HV_OBJ): hv/build.mk # another flag for one object is a hole in the whole

$(HV_SRC:%.c=$(B)/%.o): $(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC  $<'
	@$(CC) $(HV_FLAGS) $(HV_EXTRA) -c -o $@ $<

$(B)/hv/%.S.o: hv/%.S
	@mkdir -p $(@D)
	@echo '  AS  $<'
	@$(CC) $(HV_FLAGS) -D__ASSEMBLY__ -c -o $@ $<

$(B)/bulkhead.elf: $(HV_OBJ) hv/hv.lds
	@echo '  LD  $@'
	@$(LD) -nostdlib -static --no-dynamic-linker -z max-page-size=0x1000 -z noexecstack -z norelro --build-id=none \
	    --no-warn-rwx-segments -T hv/hv.lds -o $@.dbg $(HV_OBJ)
	@! objdump -d $@.dbg | grep -E '(call|jmp) +\*' # hv/base/retpoline.S: not one indirect branch
	@$(OBJCOPY) --strip-debug $@.dbg $@

# The boot image. Variants: make iso HV_CMDLINE='...', or tools/mkiso.sh directly.
HV_CMDLINE ?= console=com1 com1=115200,8n1 noreboot pciback.hide=(00:03.0)(00:05.0)
$(B)/bulkhead.iso: $(B)/bulkhead.elf $(B)/control.elf $(B)/bundle.itb tools/mkiso.sh
	tools/mkiso.sh $@ '$(HV_CMDLINE)' $(B)/control.elf $(B)/bundle.itb
