# SPDX-License-Identifier: MIT
# The control domain, the guest's files and the boot bundle.
$(eval $(call service_domain,control,$(wildcard ctl-dom/*.c ctl-dom/*/*.c),-lfdt -lz -luuid -lcrypto,-Ictl-dom))

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
$(GUEST)/vmlinuz: tools/guest/fetch-kernel.sh tools/unpack-kernel $(GUEST)/kernel
	tools/guest/fetch-kernel.sh $(GUEST) $(KERNEL)
GUEST_TOOLS := $(GUEST)/diskcheck $(GUEST)/netcheck
$(GUEST_TOOLS): $(GUEST)/%: tests/guest/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -s -Wall -Wextra -Werror -pthread -o $@ $<
$(GUEST)/ramdisk.cpio: $(GUEST)/vmlinuz tools/guest/mkramdisk.sh tools/guest/init $(GUEST_TOOLS)
	tools/guest/mkramdisk.sh $(GUEST)/modules tools/guest/init $@ $(GUEST_TOOLS)

# The Linux service domains': the same kernel, with its drivers.
LINUX_SCRIPTS := $(wildcard tools/guest/linux/*)
$(GUEST)/linux-service.cpio: $(GUEST)/vmlinuz tools/guest/mklinux.sh tools/guest/linux $(LINUX_SCRIPTS)
	tools/guest/mklinux.sh $(GUEST)/drivers "$$(cat $(GUEST)/version)" tools/guest/linux $@

# A whole Debian on a disk: a minute or two of work, so not part of `all`. `make run` and `make test` want it.
$(GUEST)/debian-disk.img: tools/guest/mkdisk.sh
	@echo '  DISK $@'
	tools/guest/mkdisk.sh $@
disk: $(GUEST)/debian-disk.img
.PHONY: disk

# Debian's GRUB for PVH guests, packaged as one image: it looks for /boot/grub/grub.cfg on the guest's own disks.
GRUB_IMAGE := /usr/lib/grub-xen/grub-i386-xen_pvh.bin

# --- bundles: NAME=FILE for each image; of a kernel as it is shipped (bzImage) mkbundle takes the ELF; configurations go in as they are ---
# $(call bundle,OUT,IMAGES,CONFIGURATIONS)
define bundle
$(1): tools/mkbundle tools/unpack-kernel $(lastword $(MAKEFILE_LIST)) $(3) $(foreach i,$(2),$(lastword $(subst =, ,$(i))))
	@mkdir -p $$(@D)
	tools/mkbundle $$@ $(2) $(foreach c,$(3),$(notdir $(c))=$(c))
endef

# The one that is shipped.
BUNDLE_IMAGES := store=$(B)/store.elf pciback=$(B)/pciback.elf metrics=$(B)/metrics.elf net=$(B)/net.elf vnet=$(B)/vnet.elf blk=$(B)/blk.elf \
  debian-kernel=$(GUEST)/vmlinuz debian-ramdisk=$(GUEST)/ramdisk.cpio \
  linux-service=$(GUEST)/linux-service.cpio \
  grub=$(GRUB_IMAGE)
BUNDLE_CFGS := $(sort $(wildcard ctl-dom/bundle/*.cfg))
$(eval $(call bundle,$(B)/bundle.itb,$(BUNDLE_IMAGES),$(BUNDLE_CFGS)))
COMPONENTS += $(B)/bundle.itb
