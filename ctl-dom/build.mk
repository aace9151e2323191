# SPDX-License-Identifier: MIT
# The control domain, the guest's files and the boot bundle.
$(eval $(call service_domain,control,$(wildcard ctl-dom/*.c),-lfdt -lz -luuid -lcrypto,-Ictl-dom))

# --- the guest's kernel (KERNEL=: fetch-kernel.sh says what it may be; else Debian's) and its ramdisk ---
GUEST := $(B)/guest
KERNEL ?=
ifneq ($(file <$(GUEST)/kernel),$(KERNEL))
$(shell mkdir -p $(GUEST))
$(file >$(GUEST)/kernel,$(KERNEL))
endif
$(GUEST)/kernel:
	@mkdir -p $(@D)
	@echo '$(KERNEL)' > $@
$(GUEST)/vmlinuz: ctl-dom/guest/fetch-kernel.sh ctl-dom/bundle/unpack-kernel $(GUEST)/kernel
	ctl-dom/guest/fetch-kernel.sh $(GUEST) $(KERNEL)
GUEST_TOOLS := $(GUEST)/diskcheck $(GUEST)/netcheck
$(GUEST_TOOLS): $(GUEST)/%: tests/guest/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -s -Wall -Wextra -Werror -pthread -o $@ $<
$(GUEST)/ramdisk.cpio: $(GUEST)/vmlinuz ctl-dom/guest/mkramdisk.sh ctl-dom/guest/init $(GUEST_TOOLS)
	ctl-dom/guest/mkramdisk.sh $(GUEST)/modules ctl-dom/guest/init $@ $(GUEST_TOOLS)

# A whole Debian on a disk: a minute or two of work, so not part of `all`. `make run` and `make test` want it.
$(GUEST)/debian-disk.img: ctl-dom/guest/mkdisk.sh
	@echo '  DISK $@'
	ctl-dom/guest/mkdisk.sh $@
disk: $(GUEST)/debian-disk.img
.PHONY: disk

# Debian's GRUB for PVH guests, packaged as one image: it looks for /boot/grub/grub.cfg on the guest's own disks.
GRUB_IMAGE := /usr/lib/grub-xen/grub-i386-xen_pvh.bin

# --- the bundle: NAME=FILE for each image; of a kernel as it is shipped (bzImage) mkbundle takes the ELF; configurations go in as they are ---
BUNDLE_IMAGES := store=$(B)/store.elf pciback=$(B)/pciback.elf net=$(B)/net.elf blk=$(B)/blk.elf \
  $(foreach t,$(notdir $(wildcard domains/tests/*)),$(t)=$(B)/$(t).elf) \
  debian-kernel=$(GUEST)/vmlinuz debian-ramdisk=$(GUEST)/ramdisk.cpio \
  grub=$(GRUB_IMAGE)
BUNDLE_CFGS := $(sort $(wildcard ctl-dom/bundle/*.cfg))

$(B)/bundle.itb: ctl-dom/bundle/mkbundle ctl-dom/bundle/unpack-kernel $(BUNDLE_CFGS) $(foreach i,$(BUNDLE_IMAGES),$(lastword $(subst =, ,$(i))))
	ctl-dom/bundle/mkbundle $@ $(BUNDLE_IMAGES) $(foreach c,$(BUNDLE_CFGS),$(notdir $(c))=$(c))

COMPONENTS += $(B)/bundle.itb
